"""A listing that is read page by page, a little further than somebody wants to know."""

import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Self

import structlog
import trio

from attachfs.archive.models import Page
from attachfs.catalog.uuids import UUID_BYTES, Uuids, pack_uuid
from attachfs.errors import BadReply
from attachfs.flights import Flights

_MAX_PAGES: Final = 200_000  # a listing without end ends here; 500 records a page
# Pages may be empty where a policy hides what is on them; a listing of nothing but such ends here.
_MAX_BARREN_PAGES: Final = 1_000
# How many entries further than its reader a listing is read: as many as it has read, between
# these, so that `ls | head` costs a page too many and `find` never waits for long.
_MIN_AHEAD: Final = 1
_MAX_AHEAD: Final = 5_000
_HEADER: Final = struct.Struct("<d")

_log = structlog.get_logger(__name__)


class Listing:
    """Hold the UUIDs of a paged collection in the server's order, each once.

    Pages are asked for by `fetch(token)`, one after the other, by whoever comes first, and ahead
    of the reader in `nursery`. What has been listed stays in its place: an open directory that
    holds a listing has a stable snapshot.

    `known` is what an earlier listing held. The server lists what is newest first, so that a page
    that ends with an entry of it is followed by what followed that: nothing more is asked.
    `swept_s` is when all pages had last been asked for, by this listing or an earlier one, in
    seconds since 1970 UTC; `now_s` tells the time. `on_complete` is called once, at the end.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        fetch: Callable[[str], Awaitable[Page]],
        *,
        name: str,
        now_s: Callable[[], float] = trio.current_time,
        known: Uuids | None = None,
        swept_s: float | None = None,
        on_complete: Callable[["Listing"], None] = lambda _: None,
    ) -> None:
        self._nursery = nursery
        self._flights: Flights[str, None] = Flights(nursery)
        self._fetch = fetch
        self._name = name
        self._on_complete = on_complete
        self._ids = Uuids()
        self._met: set[bytes] = set()
        self._token: str | None = ""
        self._tokens: set[int] = set()  # hashes: 200,000 of 8 KiB would be 1.6 GB
        self._barren_pages = 0
        self._known = known
        self._began_s = now_s()
        self._wanted = 0
        self._reading_ahead = False
        self.swept_s = swept_s if known is not None else None

    @classmethod
    def loaded(cls, nursery: trio.Nursery, data: bytes, *, name: str) -> Self:
        """Return a complete listing that was dumped; raises `BadReply` for what was not."""
        if len(data) < _HEADER.size or (len(data) - _HEADER.size) % UUID_BYTES:
            raise BadReply(f"{name}: no listing")
        listing = cls(nursery, _no_page, name=name)
        (listing.swept_s,) = _HEADER.unpack_from(data)
        listing._ids = Uuids(data[_HEADER.size :])
        listing._token = None
        return listing

    def dump(self) -> bytes | None:
        """Return the listing as bytes; None while it is not complete."""
        if self._token is not None or self.swept_s is None:
            return None
        return packed_listing(self._ids.packed, self.swept_s)

    @property
    def complete(self) -> bool:
        """Tell whether the end has been reached."""
        return self._token is None

    @property
    def ids(self) -> Uuids:
        """The entries so far; grows in place."""
        return self._ids

    async def upto(self, count: int) -> Uuids:
        """Return the entries known once there are `count`, or fewer where the listing ends.

        They grow in place as pages come in. Raises where a page cannot be had: a listing that
        fails half-way is an error, never a short listing. Asking again resumes at that page.
        """
        while self._token is not None and len(self._ids) < count:
            await self._flights.join(self._token, self._next_page)
        self._wanted = max(self._wanted, count)
        if not self._reading_ahead and self._wants_more():
            self._nursery.start_soon(self._read_ahead)
            self._reading_ahead = True
        return self._ids

    async def more(self) -> Uuids:
        """Return the entries known once there is one more, or all where the listing ends."""
        return await self.upto(len(self._ids) + 1)

    async def whole(self) -> Uuids:
        """Return all entries; raises as `upto`."""
        while self._token is not None:
            await self.more()
        return self._ids

    def _wants_more(self) -> bool:
        ahead = min(max(self._wanted, _MIN_AHEAD), _MAX_AHEAD)
        return self._token is not None and len(self._ids) < self._wanted + ahead

    async def _read_ahead(self) -> None:
        try:
            with suppress(Exception):  # left to who asks for that page in earnest
                while self._token is not None and self._wants_more():
                    await self._flights.join(self._token, self._next_page)
        finally:
            self._reading_ahead = False

    async def _next_page(self) -> None:
        token = self._token
        assert token is not None  # noqa: S101 - a page is asked for before the end only
        page = await self._fetch(token)
        if token == self._token:  # else it came twice: its first reader had left
            self._take(page)

    def _take(self, page: Page) -> None:
        if page.skipped:
            _log.warning(
                "entries without identity left out", listing=self._name, count=page.skipped
            )
        following = page.next_token
        if hash(following) in self._tokens or len(self._tokens) >= _MAX_PAGES:
            raise BadReply(f"{self._name}: the listing repeats itself")
        before = len(self._ids)
        for entry in page.entries:
            self._add(pack_uuid(entry.id))
        self._barren_pages = self._barren_pages + 1 if len(self._ids) == before else 0
        if self._barren_pages > _MAX_BARREN_PAGES:
            raise BadReply(f"{self._name}: the listing does not get on")
        if not following:
            self.swept_s = self._began_s
        elif page.entries and self._known is not None:
            place = self._known.place(page.entries[-1].id)
            if place is not None:
                for packed in self._known.packed_from(place + 1):
                    self._add(packed)
                following = ""
        if following:
            self._tokens.add(hash(following))
            self._token = following
        else:
            self._token = None
            self._known = None
            self._tokens.clear()
            self._met.clear()
            self._on_complete(self)

    def _add(self, packed: bytes) -> None:
        if packed not in self._met:
            self._met.add(packed)
            self._ids.append(packed)


def packed_listing(packed: bytes, swept_s: float) -> bytes:
    """Return UUIDs of 16 bytes each as `Listing.loaded` takes them."""
    return _HEADER.pack(swept_s) + packed


async def _no_page(_token: str) -> Page:
    raise AssertionError("a complete listing asks for no page")
