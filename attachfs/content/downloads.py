"""Downloads: one of a body for all its readers, seen through to its end."""

from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

import structlog
import trio

from attachfs.archive import endpoints
from attachfs.archive.client import Archive
from attachfs.archive.http.deadline import Deadline
from attachfs.archive.identities import AttachmentPath
from attachfs.content.fill import Fill
from attachfs.content.levels import Levels
from attachfs.content.settings import ContentSettings
from attachfs.content.sinks import MemorySink
from attachfs.content.store import Draft
from attachfs.content.verification import Expected
from attachfs.errors import AttachfsError, Closing, TimedOut, Unreachable

_LARGE_AT_ONCE: Final = 8
_KEEP_S: Final = 5.0  # at the end of the process

_log = structlog.get_logger(__name__)

OnEnd = Callable[[AttachmentPath, str, AttachfsError | None], object]
"""Take note that the download of a path, and of a SHA-256, has ended well, or with an error."""


class _GotOn(Exception):
    """Say that an attempt has failed, but not before it took in some bytes."""


class Downloads:
    """Download bodies: small ones at once, large ones while they are read.

    `on_end` is told of the large ones. Raises errors of `attachfs.errors`.
    """

    def __init__(
        self,
        archive: Archive,
        levels: Levels,
        nursery: trio.Nursery,
        *,
        settings: ContentSettings,
        on_end: OnEnd,
    ) -> None:
        self._archive = archive
        self._levels = levels
        self._nursery = nursery
        self._settings = settings
        self._on_end = on_end
        self._fills: dict[str, Fill] = {}
        self._owners: WeakKeyDictionary[Fill, AttachmentPath] = WeakKeyDictionary()
        self._large = trio.CapacityLimiter(_LARGE_AT_ONCE)
        self._keeping = trio.CapacityLimiter(_LARGE_AT_ONCE)

    async def small(self, path: AttachmentPath, expected: Expected) -> bytes:
        """Return a body, whole and not yet verified."""
        return await self._archive.take(
            self._download(path, expected),
            max_bytes=expected.size_bytes,
            check_announced=expected.check_announced,
        )

    def under_way(self, digest: str) -> Fill | None:
        """Return the download of a large body that readers can join."""
        fill = self._fills.get(digest)
        return None if fill is None or fill.given_up else fill

    async def settle(self, digest: str | None = None) -> None:
        """Wait until bodies that have come are stored: all of them, or that with a SHA-256."""
        for key, fill in list(self._fills.items()):
            if digest in (None, key):
                await fill.settle()

    def owner(self, fill: Fill) -> AttachmentPath | None:
        """Return by the right to which path a download goes."""
        return self._owners.get(fill)

    def is_of(self, fill: Fill, path: AttachmentPath) -> bool:
        """Tell whether a download goes by the right to a path."""
        return self._owners.get(fill) == path

    async def begin(self, path: AttachmentPath, expected: Expected, digest: str) -> Fill:
        """Begin to download a large body."""
        draft = await self._levels.draft(expected.size_bytes)
        try:  # who asked for it may have gone meanwhile
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            await self._levels.drop(draft)
            raise
        if draft is None and expected.size_bytes > self._settings.memory_bytes:
            raise AttachfsError(
                f"{expected.size_bytes} bytes fit neither the cache directory nor --memory-cache"
            )
        fill = Fill(
            draft or MemorySink(),
            expected,
            verify_first=expected.size_bytes <= self._settings.verify_first_bytes,
        )
        self._fills[digest] = fill
        self._owners[fill] = path
        self._nursery.start_soon(self._run, path, digest, fill, draft)
        return fill

    async def _run(
        self, path: AttachmentPath, digest: str, fill: Fill, draft: Draft | None
    ) -> None:
        """See a download through to its end, whatever that is."""
        outcome: AttachfsError | None = Closing("the download was given up")
        try:
            outcome = await self._take_in(path, digest, fill, draft)
        finally:
            if self._fills.get(digest) is fill:
                del self._fills[digest]
            if outcome is not None:
                fill.give_up()
            if outcome is not None and not isinstance(outcome, Closing):
                self._on_end(path, digest, outcome)
            fill.finish(outcome)

    async def _take_in(
        self, path: AttachmentPath, digest: str, fill: Fill, draft: Draft | None
    ) -> AttachfsError | None:
        download = self._download(path, fill.expected)
        try:
            try:
                await self._pumped(fill, download)
            except OSError as error:  # the disk is full, or worse: go on in memory
                if draft is None:
                    raise
                self._levels.do_without(error)
                if fill.size_bytes > self._settings.memory_bytes:
                    raise
                await trio.to_thread.run_sync(fill.move_to, MemorySink())
                await self._levels.drop(draft)
                draft = None
                await self._pumped(fill, download)
            self._on_end(path, digest, None)
            fill.release()
            # Its readers have gone, perhaps, and so may the process be about to.
            with trio.move_on_after(_KEEP_S, shield=True):
                if draft is not None and await self._levels.keep(draft, fill.digest, self._keeping):
                    draft = None
        except AttachfsError as error:
            return error
        except OSError as error:
            return AttachfsError(f"{path.path}: no room for a local copy: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - it ends no other download
            _log.error("a download ended unexpectedly", path=path.path, exc_info=error)
            return AttachfsError(f"{path.path}: {type(error).__name__}: {error}")
        finally:
            await self._levels.drop(draft)
        return None

    async def _pumped(self, fill: Fill, download: endpoints.Download) -> None:
        """Pump until the body is whole; an attempt that got on earns the next ones.

        Their time counts from the last bytes that had not come before.
        """
        policy = self._archive.policy

        async def pump(deadline: Deadline) -> None:
            before_bytes = fill.digest.size_bytes
            try:
                async with self._large:
                    await fill.pump(
                        self._archive, download, deadline, on_answer=policy.breaker.answered
                    )
            except (Unreachable, TimedOut):
                if fill.digest.size_bytes > before_bytes:
                    raise _GotOn from None
                raise

        while True:
            left_s = self._settings.timeout_s - fill.stagnant_s()
            try:
                return await policy.run(pump, subject=download.path, left_s=left_s)
            except _GotOn:
                pass

    def _download(self, path: AttachmentPath, expected: Expected) -> endpoints.Download:
        return endpoints.download(path, self._settings.policy, expected.source)
