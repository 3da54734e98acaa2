"""An open file of fsspec's."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from fsspec.spec import AbstractBufferedFile

from attachfs.access.portal import Portal
from attachfs.fsspec import asking
from attachfs.fsspec.failures import failures

if TYPE_CHECKING:
    from attachfs.tree.nodes import Handle

BLOCK_BYTES: Final = 1024 * 1024


class _OfArchive(Protocol):
    """Stand for the file system that a file is of."""

    @property
    def portal(self) -> Portal:
        """The archive, open."""


class ArchivistFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """Read an attachment, or another file of the tree, as it was when it was opened.

    In a process that was forked since then, it is opened once more.
    """

    def __init__(
        self,
        fs: _OfArchive,
        path: str,
        *,
        block_size: int | None = None,
        cache_type: str = "readahead",
        cache_options: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Open it: the right to read is confirmed now. Raises `OSError`."""
        self._portal: Portal
        self._handle: Handle
        self._reopen(fs, path)
        super().__init__(
            fs,
            path,
            "rb",
            block_size=block_size or BLOCK_BYTES,
            cache_type=cache_type,
            cache_options=dict(cache_options or {}),
            size=self._handle.size_bytes,
        )

    def close(self) -> None:
        """Let go of the bytes."""
        if not self.closed:
            # Soon, not now: the garbage collector may call this in any thread, the portal's too.
            self._portal.call_soon(self._handle.close)
        super().close()

    def _reopen(self, fs: _OfArchive, path: str) -> None:
        portal = fs.portal
        with failures(path):
            self._handle = portal.call(asking.opened, portal.fs, path)
        self._portal = portal

    def _fetch_range(self, start: int, end: int) -> bytes:
        if self._portal is not self.fs.portal:
            self._reopen(self.fs, self.path)
        with failures(self.path):
            return self._portal.call(asking.read, self._handle, start, end)
