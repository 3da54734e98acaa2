"""An open attachment, whatever its bytes come from."""

from typing import Final, Protocol

from attachfs.archive.identities import AttachmentPath
from attachfs.content.body import Body
from attachfs.content.stored import Damaged
from attachfs.content.verification import Expected
from attachfs.errors import AttachfsError

# What is damaged is fetched again; a disk that damages that, too, is of no use.
_MAX_DAMAGES: Final = 3


class Bodies(Protocol):
    """Offer bodies by their SHA-256."""

    def body_now(self, path: AttachmentPath, expected: Expected, digest: str) -> Body | None:
        """Return what `body` would if that needs no waiting, else None."""

    async def body(self, path: AttachmentPath, expected: Expected, digest: str) -> Body:
        """Return the body with that SHA-256; raises errors of `attachfs.errors`."""

    async def discard(self, digest: str, error: Exception) -> None:
        """Drop a stored object that turned out damaged or unreadable."""


class Reader:
    """Read one open attachment; nothing is downloaded before the first byte is asked for."""

    def __init__(
        self, bodies: Bodies, path: AttachmentPath, expected: Expected, digest: str
    ) -> None:
        self._bodies = bodies
        self._path = path
        self._expected = expected
        self._body: Body | None = None
        self._sources: dict[str, None] = {}
        self.digest = digest

    @property
    def size_bytes(self) -> int:
        """The attachment's size."""
        return self._expected.size_bytes

    @property
    def source(self) -> str:
        """Where the bytes came from, "" before any did; `cache+server` where it was not one."""
        return "+".join(self._sources)

    def read_now(self, offset: int, size_bytes: int) -> bytes | bytearray | None:
        """Return bytes of the attachment if that needs no waiting, else None."""
        body = self._body
        if body is None:
            body = self._bodies.body_now(self._path, self._expected, self.digest)
            if body is None:
                return None
            self._begin(body)
        return body.read_now(offset, size_bytes)

    async def read(self, offset: int, size_bytes: int) -> bytes | bytearray:
        """Return bytes of the attachment: all that were asked for, fewer only at the end.

        Raises errors of `attachfs.errors`. A cancelled reader disturbs no other.
        """
        if offset >= self.size_bytes:
            return b""
        damages = 0
        while True:
            body = self._body
            if body is None:
                body = await self._bodies.body(self._path, self._expected, self.digest)
                if self._body is None:
                    self._begin(body)
                else:  # another read of this handle was faster
                    body.close()
                    body = self._body
            try:
                return await body.read(offset, size_bytes)
            except (Damaged, OSError) as error:
                self._drop(body)
                await self._bodies.discard(self.digest, error)
                damages += 1
                if damages == _MAX_DAMAGES:
                    raise AttachfsError(
                        f"what this machine's disk holds cannot be read: {error}; look at the "
                        "disk, or give another --cache-dir"
                    ) from error
            except AttachfsError:
                self._drop(body)
                if not body.foreign:
                    raise

    def close(self) -> None:
        """Let go of the attachment; a download that nobody else reads ends."""
        if self._body is not None:
            self._drop(self._body)

    def _begin(self, body: Body) -> None:
        self._body = body
        self._sources[body.source.value] = None

    def _drop(self, body: Body) -> None:
        body.close()
        if self._body is body:
            self._body = None
