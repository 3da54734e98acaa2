"""Hand out verified bytes: from memory, from the stores, or from one download for all readers."""

from typing import Final, NamedTuple, Self

import trio
from cachetools import LRUCache, TTLCache

from attachfs.archive.client import Archive
from attachfs.archive.identities import AttachmentPath
from attachfs.content.body import Body, DiskBody, FillingBody, MemoryBody
from attachfs.content.downloads import Downloads
from attachfs.content.fill import Fill
from attachfs.content.levels import Levels
from attachfs.content.outcomes import Outcomes
from attachfs.content.reader import Reader
from attachfs.content.served import Served, Source
from attachfs.content.settings import ContentSettings
from attachfs.content.shared import SharedStore
from attachfs.content.store import Store
from attachfs.content.stored import StoredBody
from attachfs.content.verification import Expected
from attachfs.errors import AttachfsError, Mismatch
from attachfs.flights import Flights


class _Stored(NamedTuple):
    """Hold an object of the disk store, and which store had it."""

    body: StoredBody
    source: Source


Found = MemoryBody | _Stored | Fill

SMALL_BYTES: Final = 1024 * 1024
# What read-ahead may hold that nobody has asked for yet; after so long, nobody will.
_AHEAD_BYTES: Final = 64 * 1024 * 1024
_MAX_AHEAD_FILE_BYTES: Final = 16 * 1024 * 1024
_AHEAD_S: Final = 30.0
_AHEAD_AT_ONCE: Final = 64
_SMALL_AT_ONCE: Final = 32


class Content:
    """Hold the bytes of one archive's attachments.

    One download per digest: readers of any path share it, each path's right confirmed by its own
    open. Bodies up to 1 MiB are held in memory, the least recently used evicted; all are in the
    store, if there is one.
    """

    def __init__(
        self,
        archive: Archive,
        store: Store | None,
        nursery: trio.Nursery,
        settings: ContentSettings,
        *,
        shared: SharedStore | None = None,
        served: Served | None = None,
        memory: LRUCache[str, MemoryBody] | None = None,
        each_for_itself: bool = False,
    ) -> None:
        """Take counts and bodies of another one, if they are to be shared.

        With `each_for_itself`, what is downloaded for one attachment does not stand for another one
        with the same SHA-256, whose bytes the server may have lost or changed.
        """
        self.served = served or Served()
        self.wasted_bytes = 0
        self._archive = archive
        self._store = store
        self._shared = shared
        self._nursery = nursery
        self._settings = settings
        if memory is None:
            memory = LRUCache(settings.memory_bytes, getsizeof=len)
        self._memory = memory
        self._levels = Levels(store, shared, nursery, self.served)
        self._downloads = Downloads(
            archive, self._levels, nursery, settings=settings, on_end=self._take_note
        )
        self._flights: Flights[tuple[str, int, str], Found] = Flights(nursery)
        self._outcomes = Outcomes(settings.verdict_ttl_s)
        # By the SHA-256 of what has been downloaded, for which attachments it was.
        self._fetched: dict[str, set[str]] | None = {} if each_for_itself else None
        self._small = trio.CapacityLimiter(_SMALL_AT_ONCE)
        self._small_ahead = trio.CapacityLimiter(_AHEAD_AT_ONCE)
        self._max_ahead_file_bytes = _MAX_AHEAD_FILE_BYTES if store else SMALL_BYTES
        self._ahead: TTLCache[str, int] = TTLCache(
            min(_AHEAD_BYTES, settings.memory_bytes // 2),
            _AHEAD_S,
            timer=trio.current_time,
            getsizeof=lambda size_bytes: size_bytes,
        )

    def beside(self, nursery: trio.Nursery, *, offline: bool) -> Self:
        """Return one that has the same bytes in memory and in the stores, and no failure behind it.

        What failed lately by this one is tried again by that one. It downloads for each attachment
        by itself; `offline`, nothing.
        """
        archive = self._archive.offline() if offline else self._archive
        return type(self)(
            archive,
            self._store,
            nursery,
            self._settings,
            shared=self._shared,
            served=self.served,
            memory=self._memory,
            each_for_itself=True,
        )

    @property
    def memory_bytes(self) -> int:
        """How many bytes of bodies are held in memory."""
        return int(self._memory.currsize)

    @property
    def max_stored_bytes(self) -> int:
        """How many bytes the store holds at most; 0 where there is none."""
        return self._levels.max_bytes

    def open(self, path: AttachmentPath, expected: Expected, *, digest: str = "") -> Reader:
        """Return a reader; raises `Mismatch` where the declarations alone rule the bytes out.

        The `digest` that they agree on is taken from who knows it.
        """
        try:
            return Reader(self, path, expected, digest or expected.digest())
        except AttachfsError as error:
            self.note_failure(path, error)
            raise

    def body_now(self, path: AttachmentPath, expected: Expected, digest: str) -> Body | None:
        """Return what `body` would if it is in memory, else None."""
        body = None if self._is_of_others(digest, path) else self._memory.get(digest)
        if body is None or len(body) != expected.size_bytes:
            return None
        self._ahead.pop(digest, None)
        self._outcomes.succeeded(path)
        self.served.memory += 1
        return body

    async def body(self, path: AttachmentPath, expected: Expected, digest: str) -> Body:
        """Return the body with that SHA-256, downloaded by this path if need be."""
        self._ahead.pop(digest, None)
        return await self._body(path, expected, digest)

    async def fetch_ahead(self, path: AttachmentPath, expected: Expected) -> None:
        """Fetch a body that will be asked for; do nothing where that would take too much room.

        Never takes a thread from those who read. What nobody asked for within 30 s counts as
        `wasted_bytes`. Raises what reading it would.
        """
        digest, size_bytes = expected.digest(), expected.size_bytes
        self.wasted_bytes += sum(wasted for _, wasted in self._ahead.expire() or ())
        known = digest in self._memory or digest in self._ahead or self._downloads.under_way(digest)
        too_large = size_bytes > self._max_ahead_file_bytes
        if too_large or known or self._ahead.currsize + size_bytes > self._ahead.maxsize:
            return
        self._ahead[digest] = size_bytes
        body = await self._body(path, expected, digest, ahead=True)
        try:
            if isinstance(body, FillingBody):
                await body.read(max(0, size_bytes - 1), 1)  # once the last byte is there, it is all
        finally:
            body.close()

    async def holds(self, digest: str, size_bytes: int) -> bool:
        """Tell whether a body is in the store; it is looked for, and not verified."""
        return await self._levels.holds(digest, size_bytes)

    async def settle(self, digest: str | None = None) -> None:
        """Wait until bodies that were read to their end are stored, or could not be.

        All of them, or the one with a SHA-256: its readers do not wait for that.
        """
        await trio.lowlevel.checkpoint()
        await self._downloads.settle(digest)

    async def discard(self, digest: str, error: Exception) -> None:
        """Drop a stored object that turned out damaged or unreadable: it is a miss from now on."""
        await self._levels.discard(digest, error)

    def last_error(self, path: AttachmentPath) -> str | None:
        """Return why the last open or read of an attachment failed; None if it did not."""
        return self._outcomes.last_error(path)

    def note_failure(self, path: AttachmentPath, error: AttachfsError) -> None:
        """Remember why an attachment could not be opened or read."""
        self._outcomes.note(path, error)

    async def _body(
        self,
        path: AttachmentPath,
        expected: Expected,
        digest: str,
        *,
        ahead: bool = False,
    ) -> Body:
        slots = self._small_ahead if ahead else self._small
        share = self._flights.lead if ahead else self._flights.join
        # Another length than others declare is found out by a download of its own.
        key = digest, expected.size_bytes, "" if self._fetched is None else path.attachment
        while True:
            body = self.body_now(path, expected, digest)
            if body is not None:
                return body
            self._outcomes.check(path, digest)
            fill = self._downloads.under_way(digest)
            if fill is not None and self._may_join(fill, path, expected):
                self.served.shared += 1
                return self._readable(path, fill)
            mine = False

            async def find() -> Found:
                nonlocal mine
                mine = True
                return await self._find(path, expected, digest, slots)

            try:
                return self._readable(path, await share(key, find))
            except AttachfsError as error:
                if mine:
                    self._take_note(path, digest, error)
                    raise
                # Another path's download failed: that says nothing of this one.

    def _is_of_others(self, digest: str, path: AttachmentPath) -> bool:
        """Return whether what there is was downloaded here, and for other attachments only."""
        fetched = None if self._fetched is None else self._fetched.get(digest)
        return fetched is not None and path.attachment not in fetched

    def _may_join(self, fill: Fill, path: AttachmentPath, expected: Expected) -> bool:
        if fill.size_bytes != expected.size_bytes:
            return False
        owner = self._downloads.owner(fill)
        return self._fetched is None or (owner is not None and owner.attachment == path.attachment)

    def _readable(self, path: AttachmentPath, found: Found) -> Body:
        if isinstance(found, Fill):
            foreign = not self._downloads.is_of(found, path)
            return FillingBody(found, timeout_s=self._settings.timeout_s, foreign=foreign)
        if isinstance(found, _Stored):
            return DiskBody(found.body, self._levels.disk, self._nursery, found.source)
        return found

    async def _find(
        self,
        path: AttachmentPath,
        expected: Expected,
        digest: str,
        slots: trio.CapacityLimiter,
    ) -> Found:
        """Find a body in the stores or begin to download it; the small ones come whole."""
        source = Source.SERVER

        def on_found(where: Source) -> None:
            nonlocal source
            source = where

        if expected.size_bytes > SMALL_BYTES:
            stored = await self._levels.large(digest, expected.size_bytes, on_found=on_found)
            if stored is not None and not self._is_of_others(digest, path):
                return _Stored(stored, source)
            self._note_fetch(digest)
            self.served.fetched += 1
            return await self._downloads.begin(path, expected, digest)
        data = await self._levels.small(expected, digest, on_found=on_found)
        if data is None or self._is_of_others(digest, path):
            source = Source.SERVER
            self._note_fetch(digest)
            async with slots:
                data = await self._downloads.small(path, expected)
            await self._levels.accept(data, expected, digest)
            self._note_fetch(digest, path)
            self.served.fetched += 1
        body = MemoryBody(data, source)
        if len(body) <= self._memory.maxsize:
            self._memory[digest] = MemoryBody(data)
        self._outcomes.succeeded(path)
        return body

    def _note_fetch(self, digest: str, path: AttachmentPath | None = None) -> None:
        """Remember that a body is downloaded, and once it is there, for which attachment."""
        if self._fetched is not None:
            fetched = self._fetched.setdefault(digest, set())
            if path is not None:
                fetched.add(path.attachment)

    def _take_note(self, path: AttachmentPath, digest: str, error: AttachfsError | None) -> None:
        """Remember how a download ended."""
        if error is None:
            self._note_fetch(digest, path)
            self._outcomes.succeeded(path)
            return
        self.served.mismatches += isinstance(error, Mismatch)
        self._outcomes.failed(path, digest, error)
