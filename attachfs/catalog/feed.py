"""The events of all assets at once, while somebody goes through the assets one by one."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from math import inf
from typing import Final

import structlog
import trio
from cachetools import LRUCache

from attachfs.archive.identities import Holder
from attachfs.archive.models import Listed, Page
from attachfs.catalog.keys import ALL_EVENTS, events_key
from attachfs.catalog.listing import Listing, packed_listing
from attachfs.catalog.listings import SWEEP_EVERY_S, Listings
from attachfs.catalog.memo import CANNOT_ASK, Basis
from attachfs.catalog.uuids import Uuids, pack_uuid
from attachfs.errors import AttachfsError, BadReply
from attachfs.flights import Flights

# A walk: the events of so many assets are asked for, each so soon after the one before. Desktops
# and people open a few; `find`, `grep -r` and `cp -r` go on.
_MIN_STEPS: Final = 8
_MAX_PAUSE_S: Final = 2.0
# A server that refuses the wildcard (contract section 7) is asked again after this long.
_REFUSED_S: Final = 600.0
# One that cannot be asked, or is slow to say what is new: nobody waits for longer than a second.
_TROUBLED_S: Final = 5.0
_PATIENCE_S: Final = 1.0
_KEPT_AT_ONCE: Final = 500
_MAX_DOUBTED: Final = 1_000

_log = structlog.get_logger(__name__)


class _Gathered:
    """Hold the events met so far, by asset; a sweep meets them newest first.

    An asset whose creation was met is whole, as long as nothing came out of order.
    """

    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.events: dict[str, bytearray] = {}
        self._whole: set[str] = set()
        self._last_ns: float = inf
        self._ordered = True

    def add(self, entry: Listed) -> None:
        """Take the next event of a page."""
        if entry.asset is None:
            return
        self._ordered = self._ordered and entry.accepted_ns <= self._last_ns
        self._last_ns = entry.accepted_ns
        self.events.setdefault(entry.asset, bytearray()).extend(pack_uuid(entry.id))
        if entry.creation:
            self._whole.add(entry.asset)

    def whole(self, asset: str) -> bytes | None:
        """Return the events of an asset if no older one can follow, 16 bytes each."""
        return self.packed(asset) if self._ordered and asset in self._whole else None

    def packed(self, asset: str) -> bytes:
        """Return the events of an asset, each once: pages repeat some where others are new."""
        return b"".join(dict.fromkeys(Uuids(self.events[asset]).packed_from(0)))


class Feed:
    """Know the events of every asset, once a walk has made reading all of them worth it.

    `fetch(token)` asks for a page of all events, newest first. The first time all pages are read,
    behind the walk: whoever comes to an asset whose events have not all come asks for it alone.
    From then on, only the new ones are, and all of them at most hourly. It is in the index, and
    outlives a restart.
    """

    def __init__(
        self,
        basis: Basis,
        fetch: Callable[[str], Awaitable[Page]],
        listings: Listings,
        *,
        ttl_s: float,
    ) -> None:
        self._basis = basis
        self._listings = listings
        self._fetch = fetch
        self._ttl_s = ttl_s
        self._flights: Flights[str, None] = Flights(basis.nursery)
        self._listing: Listing | None = None
        # When all events were last known, in seconds since 1970 UTC.
        self.current_s = -inf
        self._swept_s = inf
        self._gathered: _Gathered | None = None
        self._sweeping = False
        self._refused_until_s = -inf
        self._sweep_from_s = -inf
        self._renewing_until_s: float | None = None
        self._valid_from_s = -inf
        self._doubted: LRUCache[str, float] = LRUCache(_MAX_DOUBTED)
        self._steps: set[str] = set()
        self._stepped_s = -inf
        self._step = trio.Event()
        self._load()

    def step(self, asset: str) -> None:
        """Take note that the events of an asset are asked for."""
        now_s = trio.current_time()
        if now_s - self._stepped_s > _MAX_PAUSE_S:
            self._steps.clear()
        self._stepped_s = now_s
        if len(self._steps) < _MIN_STEPS:
            self._steps.add(asset)
            return
        self._step.set()
        due = self._listing is None or self._basis.clock.now_s() - self._swept_s > SWEEP_EVERY_S
        if due and not self._sweeping and now_s >= max(self._refused_until_s, self._sweep_from_s):
            self._basis.nursery.start_soon(self._sweep)
            self._sweeping = True

    async def is_current(self) -> bool:
        """Tell whether every event is known that there was within the lifetime.

        While somebody walks, the new ones are asked for. Raises nothing.
        """
        if self._listing is None:
            return False
        if self._is_recent(self.current_s):
            return True
        now_s = trio.current_time()
        if not self._walking or self._basis.breaker.slow or now_s < self._refused_until_s:
            return False
        if self._renewing_until_s is None:
            self._renewing_until_s = now_s + _PATIENCE_S
        with trio.CancelScope(deadline=self._renewing_until_s):
            try:
                await self._flights.join("renew", self._renew, kept=True)
            except AttachfsError:
                return False
            return self._listing is not None
        return False

    async def events(self, asset: str) -> Listing | None:
        """Return the events of an asset; None where it has to be asked for by itself."""
        doubted_s = max(self._valid_from_s, self._doubted.get(asset, -inf))
        gathered = self._gathered
        if gathered is not None and self._is_recent(gathered.began_s):
            packed = gathered.whole(asset) if doubted_s <= gathered.began_s else None
            if packed is not None:
                return self._loaded(packed_listing(packed, 0.0))
        if not await self.is_current() or doubted_s > self.current_s:
            return None
        return self._known(asset)

    def expire(self) -> None:
        """Believe nothing of it before it has been asked for again, to its end."""
        self._listing = None
        self.current_s = -inf
        self._valid_from_s = self._basis.clock.now_s()

    def doubt(self, asset: str) -> None:
        """Believe nothing of one asset before it has been asked for again."""
        self._doubted[asset] = self._basis.clock.now_s()

    @property
    def _walking(self) -> bool:
        paused_s = trio.current_time() - self._stepped_s
        return len(self._steps) >= _MIN_STEPS and paused_s <= _MAX_PAUSE_S

    def _is_recent(self, at_s: float) -> bool:
        return 0 <= self._basis.clock.now_s() - at_s < self._ttl_s

    async def _sweep(self) -> None:
        """Read all pages, behind the walk; resting while nobody walks."""
        began_s = self._basis.clock.now_s()
        gathered = self._gathered = _Gathered(began_s)
        try:
            listing = self._begin(gathered, None)
            while not listing.complete:
                await listing.more()
                if not self._walking:
                    self._step = trio.Event()
                    await self._step.wait()
            await self._keep_swept(gathered, listing.swept_s or began_s)
            self._settle(listing, began_s)
        except AttachfsError as error:
            self._put_off(error)
            self._sweep_from_s = trio.current_time() + _REFUSED_S
        except Exception:  # noqa: BLE001 - the mount goes on, whatever it was
            _log.exception("events were not listed for all assets at once")
            self._sweep_from_s = trio.current_time() + _REFUSED_S
        finally:
            self._gathered = None
            self._sweeping = False

    async def _renew(self) -> None:
        """Read the pages that are new."""
        began_s = self._basis.clock.now_s()
        gathered = _Gathered(began_s)
        try:
            listing = self._begin(gathered, self._listing)
            await listing.whole()
            self._keep_new(gathered, began_s)
            self._settle(listing, began_s)
        except AttachfsError as error:
            self._put_off(error)
            raise
        finally:
            self._renewing_until_s = None

    def _put_off(self, error: AttachfsError) -> None:
        for_s = _TROUBLED_S if isinstance(error, CANNOT_ASK) else _REFUSED_S
        self._refused_until_s = trio.current_time() + for_s
        _log.info("events cannot be listed for all assets at once", reason=str(error))

    def _begin(self, gathered: _Gathered, previous: Listing | None) -> Listing:
        return Listing(
            self._basis.nursery,
            partial(self._page, gathered),
            name="all events",
            now_s=self._basis.clock.now_s,
            known=None if previous is None else previous.ids,
            swept_s=None if previous is None else previous.swept_s,
        )

    async def _page(self, gathered: _Gathered, token: str) -> Page:
        page = await self._fetch(token)
        for entry in page.entries:
            gathered.add(entry)
        return page

    async def _keep_swept(self, gathered: _Gathered, swept_s: float) -> None:
        """Remember the events of each asset, in place of what was known."""
        assets = list(gathered.events)
        for at in range(0, len(assets), _KEPT_AT_ONCE):
            self._learn(
                {
                    asset: packed_listing(gathered.packed(asset), swept_s)
                    for asset in assets[at : at + _KEPT_AT_ONCE]
                },
                swept_s,
            )
            await self._basis.index.room()

    def _keep_new(self, gathered: _Gathered, began_s: float) -> None:
        """Remember the new events of each asset before those that were known."""
        found: dict[str, bytes] = {}
        for asset, packed in gathered.events.items():
            known = self._known(asset)
            if known is not None:
                ids = dict.fromkeys((*Uuids(packed).packed_from(0), *known.ids.packed_from(0)))
                found[asset] = packed_listing(b"".join(ids), known.swept_s or began_s)
            elif gathered.whole(asset) is not None:
                found[asset] = packed_listing(gathered.packed(asset), began_s)
        self._learn(found, began_s)

    def _learn(self, listings: Mapping[str, bytes], at_s: float) -> None:
        named = [(events_key(Holder(asset)), packed) for asset, packed in listings.items()]
        self._listings.learn(named, at_s)

    def _known(self, asset: str) -> Listing | None:
        """Return the events known of an asset, None where the last sweep has not met it."""
        known = self._listings.known(events_key(Holder(asset)))
        # It may still have events of its own: they are asked for alone.
        if known is None or known.at_s < self._swept_s or not known.value.complete:
            return None
        return known.value

    def _settle(self, listing: Listing, began_s: float) -> None:
        if began_s < self._valid_from_s:
            return  # told to be asked for again meanwhile
        self._listing = listing
        self.current_s = began_s
        self._swept_s = listing.swept_s if listing.swept_s is not None else began_s
        data = listing.dump()
        if data is not None:
            self._basis.index.put(ALL_EVENTS, data, began_s)

    def _load(self) -> None:
        entry = self._basis.index.get(ALL_EVENTS)
        listing = None if entry is None else self._loaded(entry.value)
        swept_s = None if listing is None else listing.swept_s
        # A clock that was set back makes sweeps of the future, which never are long ago.
        if entry is not None and swept_s is not None and swept_s <= self._basis.clock.now_s():
            self._listing = listing
            self.current_s = entry.at_s
            self._swept_s = swept_s

    def _loaded(self, data: bytes) -> Listing | None:
        try:
            return Listing.loaded(self._basis.nursery, data, name="events")
        except BadReply:
            return None
