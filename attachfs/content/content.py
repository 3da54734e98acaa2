"""Hand out verified bytes: from memory, or else from one download that all readers share."""

from functools import partial
from pathlib import Path
from typing import Final

import stamina
import trio
from cachetools import LRUCache, TTLCache

from attachfs.archive import endpoints
from attachfs.archive.client import Archive
from attachfs.archive.faults import may_retry
from attachfs.archive.identities import AttachmentPath
from attachfs.content.body import Body, MemoryBody
from attachfs.content.fill import into_file, into_memory
from attachfs.content.verification import Expected
from attachfs.errors import AttachfsError
from attachfs.flights import Flights

# Larger bodies go to an anonymous file, and never into the memory cache.
_MAX_MEMORY_BODY_BYTES: Final = 16 * 1024 * 1024
_MAX_VERDICTS: Final = 100_000
# Of a download whose body breaks off; until its headers are there, the request has its own.
_ATTEMPTS: Final = 3


class Reader:
    """Read one open attachment; nothing is downloaded before the first byte is asked for."""

    def __init__(
        self, content: "Content", path: AttachmentPath, expected: Expected, digest: str
    ) -> None:
        self._content = content
        self._path = path
        self._expected = expected
        self._body: Body | None = None
        self.digest = digest

    @property
    def size_bytes(self) -> int:
        """The attachment's size."""
        return self._expected.size_bytes

    async def read(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes of the verified body: all that were asked for, fewer only at the end.

        Raises errors of `attachfs.errors`; the whole body has been verified before the first of
        its bytes is returned. The download ends when its last reader is cancelled.
        """
        if offset >= self.size_bytes:
            return b""
        if self._body is None:
            self._body = await self._content.body(self._path, self._expected, self.digest)
        return self._body.read(offset, size_bytes)


class Content:
    """Hold the bytes of one archive's attachments.

    `memory_bytes` bounds the bodies kept in memory, the least recently used evicted. Verdicts and
    other failures are latched for `verdict_ttl_s` seconds: the kernel repeats a failed read page
    by page (69 reads seen), which must cost no further download. `spool_dir` takes large bodies.
    """

    def __init__(
        self,
        archive: Archive,
        nursery: trio.Nursery,
        *,
        policy: endpoints.ScanPolicy,
        memory_bytes: int,
        spool_dir: Path,
        verdict_ttl_s: float,
    ) -> None:
        self._archive = archive
        self._policy = policy
        self._spool_dir = spool_dir
        self._memory: LRUCache[str, MemoryBody] = LRUCache(memory_bytes, getsizeof=len)
        self._max_memory_body_bytes = min(memory_bytes, _MAX_MEMORY_BODY_BYTES)
        self._flights: Flights[tuple[AttachmentPath, str], Body] = Flights(nursery)
        self._verdicts: TTLCache[tuple[AttachmentPath, str], AttachfsError] = TTLCache(
            _MAX_VERDICTS, verdict_ttl_s, timer=trio.current_time
        )
        self._failures: LRUCache[AttachmentPath, str] = LRUCache(_MAX_VERDICTS)

    def open(self, path: AttachmentPath, expected: Expected) -> Reader:
        """Return a reader; raises `Mismatch` where the declarations alone rule the bytes out."""
        try:
            return Reader(self, path, expected, expected.digest())
        except AttachfsError as error:
            self.note_failure(path, error)
            raise

    async def body(self, path: AttachmentPath, expected: Expected, digest: str) -> Body:
        """Return the verified body with that SHA-256, downloaded by this path if need be."""
        body = self._memory.get(digest)
        if body is not None:
            self._check_length(path, body, expected, digest)
            self._failures.pop(path, None)
            return body
        key = (path, digest)
        verdict = self._verdicts.get(key)
        if verdict is not None:
            raise verdict.with_traceback(None)
        return await self._flights.join(key, partial(self._fill, path, expected, digest))

    def last_error(self, path: AttachmentPath) -> str | None:
        """Return why the last open or read of an attachment failed; None if it did not."""
        return self._failures.get(path)

    def note_failure(self, path: AttachmentPath, error: AttachfsError) -> None:
        """Remember why an attachment could not be opened or read."""
        self._failures[path] = str(error)

    async def _fill(self, path: AttachmentPath, expected: Expected, digest: str) -> Body:
        try:
            body = await self._download(path, expected)
        except OSError as error:
            # Never surfaced as what it is: the disk is our trouble, the reader's is the size.
            failure = AttachfsError(f"{path.path}: no room for a local copy: {error.strerror}")
            self._latch((path, digest), failure)
            raise failure from error
        except AttachfsError as error:
            self._latch((path, digest), error)
            raise
        self._failures.pop(path, None)
        if isinstance(body, MemoryBody):
            self._memory[digest] = body
        return body

    async def _download(self, path: AttachmentPath, expected: Expected) -> Body:
        request = endpoints.download(path, self._policy)
        begun = False

        def broke_off(error: Exception) -> bool | float:
            return begun and may_retry(error)

        async for attempt in stamina.retry_context(on=broke_off, attempts=_ATTEMPTS, timeout=None):
            with attempt:
                begun = False
                async with self._archive.download(request) as incoming:
                    begun = True
                    if expected.size_bytes <= self._max_memory_body_bytes:
                        return await into_memory(incoming, expected)
                    return await into_file(incoming, expected, self._spool_dir)
        raise AssertionError("a retry loop ends by return or raise")

    def _check_length(
        self, path: AttachmentPath, body: MemoryBody, expected: Expected, digest: str
    ) -> None:
        """Raise `Mismatch` where bytes verified for another path are not as long as this one's."""
        try:
            expected.check(len(body), digest)
        except AttachfsError as error:
            self.note_failure(path, error)
            raise

    def _latch(self, key: tuple[AttachmentPath, str], error: AttachfsError) -> None:
        self._verdicts[key] = error
        self.note_failure(key[0], error)
