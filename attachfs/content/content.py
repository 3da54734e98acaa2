"""Hand out verified bytes: from memory, from the store, or from one download for all readers."""

import hashlib
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final
from weakref import WeakKeyDictionary

import structlog
import trio
from cachetools import LRUCache, TTLCache

from attachfs.archive import endpoints
from attachfs.archive.client import Archive
from attachfs.archive.identities import AttachmentPath
from attachfs.archive.streams import Streams
from attachfs.content.batches import Batches
from attachfs.content.body import Body, DiskBody, FillingBody, MemoryBody
from attachfs.content.fill import Fill
from attachfs.content.served import Served
from attachfs.content.shared import SharedStore
from attachfs.content.sinks import MemorySink
from attachfs.content.store import Draft, Store
from attachfs.content.stored import Damaged, StoredBody
from attachfs.content.verification import Expected
from attachfs.errors import AttachfsError, Closing, Mismatch, TimedOut, Unreachable
from attachfs.flights import Flights

Found = MemoryBody | StoredBody | Fill

SMALL_BYTES: Final = 1024 * 1024
# What read-ahead may hold that nobody has asked for yet; after so long, nobody will.
_AHEAD_BYTES: Final = 64 * 1024 * 1024
_MAX_AHEAD_FILE_BYTES: Final = 16 * 1024 * 1024
_AHEAD_S: Final = 30.0
_AHEAD_AT_ONCE: Final = 64
_MAX_VERDICTS: Final = 100_000
# Servers close a connection that idles for about a minute.
_CONNECT_EVERY_S: Final = 50.0
_SMALL_AT_ONCE: Final = 32
_LARGE_THREADS: Final = 8
_DISK_THREADS: Final = 4

_log = structlog.get_logger(__name__)


class _GotOn(Exception):
    """Say that an attempt has failed, but not before it took in some bytes."""


@dataclass(frozen=True, slots=True)
class ContentSettings:
    """Say how bytes are fetched and kept: bytes, and seconds.

    Verdicts and other failures are latched for `verdict_ttl_s`: the kernel repeats a failed read
    page by page (69 reads seen), which must cost no further download.
    """

    policy: endpoints.ScanPolicy
    memory_bytes: int = 256 * 1024 * 1024
    verify_first_bytes: int = 4 * 1024 * 1024
    verdict_ttl_s: float = 5.0
    timeout_s: float = 30.0


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

    def read_now(self, offset: int, size_bytes: int) -> bytes | bytearray | None:
        """Return bytes of the attachment if that needs no waiting, else None."""
        return None if self._body is None else self._body.read_now(offset, size_bytes)

    async def read(self, offset: int, size_bytes: int) -> bytes | bytearray:
        """Return bytes of the attachment: all that were asked for, fewer only at the end.

        Raises errors of `attachfs.errors`. A cancelled reader disturbs no other.
        """
        if offset >= self.size_bytes:
            return b""
        while True:
            body = self._body
            if body is None:
                body = await self._content.body(self._path, self._expected, self.digest)
                if self._body is None:
                    self._body = body
                else:  # another read of this handle was faster
                    body.close()
                    body = self._body
            try:
                return await body.read(offset, size_bytes)
            except (Damaged, OSError) as error:
                self._drop(body)
                await self._content.discard(self.digest, error)
            except AttachfsError:
                self._drop(body)
                if not body.foreign:
                    raise

    def close(self) -> None:
        """Let go of the attachment; a download that nobody else reads ends."""
        if self._body is not None:
            self._drop(self._body)

    def _drop(self, body: Body) -> None:
        body.close()
        if self._body is body:
            self._body = None


class Content:
    """Hold the bytes of one archive's attachments.

    One download per digest: readers of any path share it, each path's right confirmed by its own
    open. Bodies up to 1 MiB are held in memory, the least recently used evicted; all are in the
    store, if there is one.
    """

    def __init__(
        self,
        archive: Archive,
        streams: Streams,
        store: Store | None,
        nursery: trio.Nursery,
        settings: ContentSettings,
        *,
        shared: SharedStore | None = None,
    ) -> None:
        self._archive = archive
        self._shared = shared
        self._streams = streams
        self._store = store
        self._nursery = nursery
        self._settings = settings
        self._memory: LRUCache[str, MemoryBody] = LRUCache(settings.memory_bytes, getsizeof=len)
        self._flights: Flights[str, Found] = Flights(nursery)
        self._fills: dict[str, Fill] = {}
        self._owners: WeakKeyDictionary[Fill, AttachmentPath] = WeakKeyDictionary()
        self._verdicts: TTLCache[tuple[AttachmentPath, str], AttachfsError] = TTLCache(
            _MAX_VERDICTS, settings.verdict_ttl_s, timer=trio.current_time
        )
        self._failures: LRUCache[AttachmentPath, str] = LRUCache(_MAX_VERDICTS)
        self._small = trio.CapacityLimiter(_SMALL_AT_ONCE)
        self._large = trio.CapacityLimiter(_LARGE_THREADS)
        self._small_ahead = trio.CapacityLimiter(_AHEAD_AT_ONCE)
        self._batches = Batches(nursery)
        self._ahead: TTLCache[str, int] = TTLCache(
            min(_AHEAD_BYTES, settings.memory_bytes // 2),
            _AHEAD_S,
            timer=trio.current_time,
            getsizeof=lambda size_bytes: size_bytes,
        )
        self.wasted_bytes = 0
        self.served = Served()
        self._disk = trio.CapacityLimiter(_DISK_THREADS)
        self._told = False
        self._connect_after_s = -inf

    def open(self, path: AttachmentPath, expected: Expected) -> Reader:
        """Return a reader; raises `Mismatch` where the declarations alone rule the bytes out."""
        try:
            return Reader(self, path, expected, expected.digest())
        except AttachfsError as error:
            self.note_failure(path, error)
            raise

    def expect(self) -> None:
        """Take note that a body may be asked for soon: have a connection ready for a large one.

        It takes one round trip of four to the first byte of a path nobody has looked at.
        """
        if trio.current_time() >= self._connect_after_s:
            self._connect_after_s = trio.current_time() + _CONNECT_EVERY_S
            self._nursery.start_soon(self._connect)

    async def _connect(self) -> None:
        await trio.to_thread.run_sync(
            self._streams.connect, limiter=self._disk, abandon_on_cancel=True
        )

    async def body(self, path: AttachmentPath, expected: Expected, digest: str) -> Body:
        """Return the body with that SHA-256, downloaded by this path if need be."""
        self._ahead.pop(digest, None)
        return await self._body(path, expected, digest, self._small)

    async def fetch_ahead(self, path: AttachmentPath, expected: Expected) -> None:
        """Fetch a body that will be asked for; do nothing where that would take too much room.

        Never takes a thread from those who read. What nobody asked for within 30 s counts as
        `wasted_bytes`. Raises what reading it would.
        """
        digest, size_bytes = expected.digest(), expected.size_bytes
        self.wasted_bytes += sum(wasted for _, wasted in self._ahead.expire() or ())
        too_large = size_bytes > (_MAX_AHEAD_FILE_BYTES if self._store else SMALL_BYTES)
        known = digest in self._memory or digest in self._ahead or digest in self._fills
        if too_large or known or self._ahead.currsize + size_bytes > self._ahead.maxsize:
            return
        self._ahead[digest] = size_bytes
        body = await self._body(path, expected, digest, self._small_ahead)
        try:
            if isinstance(body, FillingBody):
                await body.read(max(0, size_bytes - 1), 1)  # once the last byte is there, it is all
        finally:
            body.close()

    async def _body(
        self,
        path: AttachmentPath,
        expected: Expected,
        digest: str,
        slots: trio.CapacityLimiter,
    ) -> Body:
        while True:
            body = self._memory.get(digest)
            if body is not None:
                self._check_length(path, body, expected, digest)
                self._failures.pop(path, None)
                self.served.memory += 1
                return body
            verdict = self._verdicts.get((path, digest))
            if verdict is not None:
                raise verdict.with_traceback(None)
            fill = self._fills.get(digest)
            if fill is not None and not fill.given_up:
                self.served.shared += 1
                return self._readable(path, fill)
            mine = False

            async def find() -> Found:
                nonlocal mine
                mine = True
                return await self._find(path, expected, digest, slots)

            try:
                return self._readable(path, await self._flights.join(digest, find))
            except AttachfsError as error:
                if mine:
                    self._latch(path, digest, error)
                    raise
                # Another path's download failed: that says nothing of this one.

    @property
    def memory_bytes(self) -> int:
        """How many bytes of bodies are held in memory."""
        return int(self._memory.currsize)

    @property
    def max_stored_bytes(self) -> int:
        """How many bytes the store holds at most; 0 where there is none."""
        return 0 if self._store is None else self._store.max_bytes

    def last_error(self, path: AttachmentPath) -> str | None:
        """Return why the last open or read of an attachment failed; None if it did not."""
        return self._failures.get(path)

    def note_failure(self, path: AttachmentPath, error: AttachfsError) -> None:
        """Remember why an attachment could not be opened or read."""
        self._failures[path] = str(error)

    async def holds(self, digest: str, size_bytes: int) -> bool:
        """Tell whether a body is in the store; it is looked for, and not verified."""
        return await self._stored(digest, size_bytes) is not None

    async def discard(self, digest: str, error: Exception) -> None:
        """Drop a stored object that turned out damaged or unreadable: it is a miss from now on."""
        if self._store is not None:
            await trio.to_thread.run_sync(
                self._store.discard, digest, str(error), limiter=self._disk
            )

    def _readable(self, path: AttachmentPath, found: Found) -> Body:
        if isinstance(found, Fill):
            foreign = self._owners.get(found) != path
            return FillingBody(found, timeout_s=self._settings.timeout_s, foreign=foreign)
        if isinstance(found, StoredBody):
            return DiskBody(found, self._disk, self._nursery)
        return found

    async def _find(
        self,
        path: AttachmentPath,
        expected: Expected,
        digest: str,
        slots: trio.CapacityLimiter,
    ) -> Found:
        """Find a body in the store or begin to download it; the small ones come whole."""
        if expected.size_bytes > SMALL_BYTES:
            stored = await self._stored(digest, expected.size_bytes)
            if stored is not None:
                self.served.disk += 1
                return stored
            if self._shared is not None and self._store is not None:
                stored = await self._shared.fetch(digest, expected.size_bytes, self._store)
                if stored is not None:
                    self.served.shared_store += 1
                    return stored
            self.served.fetched += 1
            return await self._begin(path, expected, digest)
        data = await self._small_stored(digest, expected.size_bytes)
        if data is not None:
            self.served.disk += 1
        else:
            data = await self._small_shared(expected, digest)
            if data is not None:
                self.served.shared_store += 1
            else:
                data = await self._small_fetched(path, expected, digest, slots)
                self.served.fetched += 1
        body = MemoryBody(data)
        if len(body) <= self._memory.maxsize:
            self._memory[digest] = body
        self._failures.pop(path, None)
        return body

    async def _small_shared(self, expected: Expected, digest: str) -> bytes | None:
        """Return a small body that another host has shared, verified and stored."""
        if self._shared is None:
            return None
        data = await self._shared.get(digest, expected.size_bytes)
        if data is None:
            return None
        try:
            await self._batches.run(partial(self._accept, data, expected, digest))
        except Mismatch:
            self._shared.refuse(digest)
            return None
        return data

    async def _small_fetched(
        self,
        path: AttachmentPath,
        expected: Expected,
        digest: str,
        slots: trio.CapacityLimiter,
    ) -> bytes:
        async with slots:
            data = await self._archive.take(
                self._download(path, expected),
                max_bytes=expected.size_bytes,
                check_announced=expected.check_announced,
            )
        await self._batches.run(partial(self._accept, data, expected, digest))
        if self._shared is not None:
            self._shared.offer(digest, data)
        return data

    async def _small_stored(self, digest: str, size_bytes: int) -> bytes | None:
        if self._store is None:
            return None
        return await self._batches.run(partial(self._store.get, digest, size_bytes))

    def _accept(self, data: bytes, expected: Expected, digest: str) -> None:
        """Verify a small body and store it; blocks. Raises `Mismatch`."""
        expected.check_so_far(len(data))
        expected.check(len(data), hashlib.sha256(data).hexdigest())
        if self._store is not None:
            try:
                self._store.put(data, digest)
            except OSError as error:
                self._without_store(error)

    async def _stored(self, digest: str, size_bytes: int) -> StoredBody | None:
        if self._store is None:
            return None
        return await trio.to_thread.run_sync(
            self._store.find, digest, size_bytes, limiter=self._disk
        )

    async def _begin(self, path: AttachmentPath, expected: Expected, digest: str) -> Fill:
        sink = await self._draft(expected.size_bytes)
        fill = Fill(
            sink or MemorySink(),
            expected,
            verify_first=expected.size_bytes <= self._settings.verify_first_bytes,
        )
        self._fills[digest] = fill
        self._owners[fill] = path
        self._nursery.start_soon(self._run, path, digest, fill, sink)
        return fill

    async def _draft(self, size_bytes: int) -> Draft | None:
        """Return a draft of the store; None where a body must do with memory."""
        if self._store is not None:
            try:
                return await trio.to_thread.run_sync(
                    self._store.create, size_bytes, limiter=self._disk
                )
            except OSError as error:
                self._without_store(error)
        if size_bytes > self._settings.memory_bytes:
            raise AttachfsError(
                f"{size_bytes} bytes fit neither the cache directory nor --memory-cache"
            )
        return None

    async def _run(
        self, path: AttachmentPath, digest: str, fill: Fill, draft: Draft | None
    ) -> None:
        """See a download through to its end, whatever that is."""
        outcome: AttachfsError | None = Closing("the download was given up")
        try:
            outcome = await self._take_in(path, fill, draft)
        finally:
            if self._fills.get(digest) is fill:
                del self._fills[digest]
            if outcome is None:
                self._failures.pop(path, None)
            else:
                fill.give_up()
                if not isinstance(outcome, Closing):
                    self._latch(path, digest, outcome)
            fill.finish(outcome)

    async def _take_in(
        self, path: AttachmentPath, fill: Fill, draft: Draft | None
    ) -> AttachfsError | None:
        download = self._download(path, fill.expected)
        try:
            try:
                await self._pumped(fill, download)
            except OSError as error:  # the disk is full, or worse: go on in memory
                if draft is None:
                    raise
                self._without_store(error)
                if fill.size_bytes > self._settings.memory_bytes:
                    raise
                await trio.to_thread.run_sync(fill.move_to, MemorySink(), limiter=self._large)
                draft.drop()
                draft = None
                await self._pumped(fill, download)
            if draft is not None and self._store is not None:
                try:
                    stored = await trio.to_thread.run_sync(
                        self._store.keep, draft, fill.digest, limiter=self._large
                    )
                    draft = None
                    if self._shared is not None:
                        self._shared.offer_stored(stored)
                except OSError as error:  # who reads it now has all of it nevertheless
                    self._without_store(error)
        except AttachfsError as error:
            return error
        except OSError as error:
            return AttachfsError(f"{path.path}: no room for a local copy: {error.strerror}")
        finally:
            if draft is not None:
                draft.drop()
        return None

    async def _pumped(self, fill: Fill, download: endpoints.Download) -> None:
        """Pump until the body is whole; an attempt that got on earns the next ones.

        Their time counts from the last bytes that had not come before.
        """
        outage = self._archive.outage

        async def pump(patience_s: float) -> None:
            before_bytes = fill.digest.size_bytes
            try:
                await trio.to_thread.run_sync(
                    partial(
                        fill.pump, self._streams, download, patience_s, on_answer=outage.answered
                    ),
                    limiter=self._large,
                    abandon_on_cancel=True,
                )
            except (Unreachable, TimedOut):
                if fill.digest.size_bytes > before_bytes:
                    raise _GotOn from None
                raise

        while True:
            left_s = self._settings.timeout_s - fill.stagnant_s()
            try:
                return await self._archive.retried(pump, subject=download.path, left_s=left_s)
            except _GotOn:
                pass

    def _download(self, path: AttachmentPath, expected: Expected) -> endpoints.Download:
        url = expected.url or endpoints.attachment_url(path)
        return endpoints.download(url, self._settings.policy)

    def _without_store(self, error: OSError) -> None:
        """Say once that the store takes nothing more."""
        if not self._told:
            self._told = True
            _log.warning("the cache directory is of no use, going on in memory", reason=str(error))

    def _check_length(
        self, path: AttachmentPath, body: MemoryBody, expected: Expected, digest: str
    ) -> None:
        """Raise `Mismatch` where bytes verified for another path are not as long as this one's."""
        try:
            expected.check(len(body), digest)
        except AttachfsError as error:
            self.note_failure(path, error)
            raise

    def _latch(self, path: AttachmentPath, digest: str, error: AttachfsError) -> None:
        self.served.mismatches += isinstance(error, Mismatch)
        self._verdicts[path, digest] = error
        self.note_failure(path, error)
