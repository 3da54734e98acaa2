"""The events of all assets at once: when they are read, what is believed of them, and for how long.

Assets are numbers from 1 on; each has a creation event, and perhaps others.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from attachfs.archive.identities import Holder
from attachfs.archive.models import Listed
from attachfs.catalog.clock import Clock
from attachfs.catalog.feed import Feed
from attachfs.catalog.keys import ALL_EVENTS, events_key
from attachfs.catalog.listing import packed_listing
from attachfs.catalog.listings import Listings
from attachfs.catalog.memo import Basis
from attachfs.catalog.uuids import Uuids
from attachfs.errors import (
    AttachfsError,
    BadReply,
    Denied,
    NotFound,
    ServerFault,
    TimedOut,
    Unauthenticated,
    Unreachable,
)
from tests.catalog.bases import basis
from tests.catalog.collections import Collection, uuid
from tests.support.archives import index_in_memory

_TTL_S = 60.0
_HOUR_S = 3600.0
_REFUSED_S = 600.0


class Events(Collection):
    """Serve the events of assets, the newest first."""

    def __init__(self, assets: int, *, page_size: int = 4) -> None:
        super().__init__((), page_size=page_size)
        self._numbers = count(1)
        for asset in range(1, assets + 1):
            self.happen(asset, creation=True)

    def happen(self, asset: int, *, creation: bool = False, at_ns: int | None = None) -> str:
        """Record an event of an asset."""
        number = next(self._numbers)
        event = uuid(number, "e")
        at_ns = number if at_ns is None else at_ns
        self.entries.insert(0, Listed(event, b"{}", uuid(asset, "a"), at_ns, creation))
        return event

    def of_asset(self, asset: int) -> list[str]:
        """Return the events of an asset, the newest first."""
        return [entry.id for entry in self.entries if entry.asset == uuid(asset, "a")]


def _feed(nursery: trio.Nursery, server: Events, shared: Basis | None = None) -> Feed:
    shared = shared or basis(nursery, stale_ok_s=_HOUR_S)
    listings = Listings(shared, ttl_s=_TTL_S)
    return Feed(shared, server.fetch, listings, ttl_s=_TTL_S)


async def _come_to(feed: Feed, asset: int) -> list[str] | None:
    """Ask for the events of an asset; None where they are to be asked for alone."""
    feed.step(uuid(asset, "a"))
    listing = await feed.events(uuid(asset, "a"))
    if listing is None:
        return None
    assert listing.complete
    return list(listing.ids)


async def _walk(feed: Feed, assets: Sequence[int] = range(1, 13)) -> list[list[str] | None]:
    return [await _come_to(feed, asset) for asset in assets]


async def _swept(feed: Feed, server: Events) -> None:
    """Have all events been read, and forget what was asked for it."""
    await _walk(feed)
    await wait_all_tasks_blocked()
    server.asked.clear()


@asynccontextmanager
async def _held(server: Events) -> AsyncIterator[None]:
    """Hold the server's answers up for the block, and let what then happens happen."""
    server.go = trio.Event()
    yield
    server.go.set()
    await wait_all_tasks_blocked()


@pytest.fixture
def server() -> Events:
    """Twenty assets with two events each."""
    server = Events(20)
    for asset in range(1, 21):
        server.happen(asset)
    return server


@pytest.mark.parametrize(
    ("assets", "pause_s", "walk"),
    [
        (range(1, 10), 0.0, True),
        (range(1, 10), 1.9, True),
        ((*range(1, 9), 1), 0.0, True),
        (range(1, 9), 0.0, False),
        ([1] * 50, 0.0, False),
        ([1, 2, 3] * 20, 0.0, False),
        (range(1, 100), 2.1, False),
    ],
)
async def test_a_walk_is_many_assets_one_soon_after_the_other(
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    server: Events,
    *,
    assets: Sequence[int],
    pause_s: float,
    walk: bool,
) -> None:
    """An asset opened now and then starts nothing, nor does one that is opened all the time."""
    feed = _feed(nursery, server)
    for asset in assets:
        assert await _come_to(feed, asset) is None
        autojump_clock.jump(pause_s)
    await wait_all_tasks_blocked()
    assert bool(server.asked) is walk


async def test_nobody_waits_for_all_events(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """Meanwhile, each asset's are asked for alone; afterwards none is, for as long as they live."""
    feed = _feed(nursery, server)
    async with _held(server):
        assert await _walk(feed) == [None] * 12
        await wait_all_tasks_blocked()
        assert await _walk(feed) == [None] * 12
    assert len(server.asked) == server.pages
    expected = [server.of_asset(asset) for asset in range(1, 21)]
    for _ in range(2):
        assert await _walk(feed, range(1, 21)) == expected
        autojump_clock.jump(_TTL_S - 1)
    assert await _come_to(feed, 99) is None
    assert len(server.asked) == server.pages


async def test_assets_whose_creation_has_come_are_whole_before_the_end(
    nursery: trio.Nursery, server: Events
) -> None:
    """What comes after it is older, and none of theirs."""
    server.page_size, server.fails_at = 30, "10"
    server.error = Unreachable("away")
    server.go = trio.Event()
    feed = _feed(nursery, server)
    await _walk(feed)
    gathered: list[list[str] | None] = []

    async def fetch(token: str) -> object:
        if token:
            gathered.extend(await _walk(feed, range(1, 21)))
        return await server.fetch(token)

    feed._fetch = fetch  # type: ignore[assignment]
    server.go.set()
    await wait_all_tasks_blocked()
    assert gathered[:10] == [None] * 10
    assert gathered[10:20] == [server.of_asset(asset) for asset in range(11, 21)]


async def test_events_out_of_order_make_no_asset_whole(
    nursery: trio.Nursery, server: Events
) -> None:
    """An older one may still follow; at the end, all are."""
    server.page_size = 30
    server.entries.insert(0, Listed(uuid(999, "e"), b"{}", uuid(20, "a"), 0))
    feed = _feed(nursery, server)
    gathered: list[list[str] | None] = []

    async def fetch(token: str) -> object:
        if token:
            gathered.extend(await _walk(feed, [20]))
        return await server.fetch(token)

    feed._fetch = fetch  # type: ignore[assignment]
    await _swept(feed, server)
    assert gathered == [None]
    assert await _walk(feed, [20]) == [server.of_asset(20)]


async def test_an_event_that_comes_twice_is_there_once(
    nursery: trio.Nursery, server: Events
) -> None:
    """Something new moves others to the next page while pages are read."""
    feed = _feed(nursery, server)

    async def fetch(token: str) -> object:
        page = await server.fetch(token)
        repeated = server.entries[max(len(server.entries) - int(token or 0) - 1, 0)]
        return type(page)((repeated, *page.entries), page.next_token) if token else page

    feed._fetch = fetch  # type: ignore[assignment]
    await _swept(feed, server)
    everything = range(1, 21)
    assert await _walk(feed, everything) == [server.of_asset(asset) for asset in everything]


async def test_events_of_no_asset_are_passed_over(nursery: trio.Nursery, server: Events) -> None:
    """Nobody can ask for them."""
    server.entries.insert(3, Listed(uuid(999, "e"), b"{}"))
    feed = _feed(nursery, server)
    await _swept(feed, server)
    assert await _walk(feed, [20]) == [server.of_asset(20)]


@pytest.mark.parametrize("kind", [Denied, Unauthenticated, BadReply, NotFound])
async def test_a_server_that_refuses_is_asked_again_after_ten_minutes(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events, kind: type[AttachfsError]
) -> None:
    """Until then, each asset is asked for alone."""
    feed = _feed(nursery, server)
    server.error = kind("no wildcard")
    for _ in range(5):
        assert await _walk(feed) == [None] * 12
        await wait_all_tasks_blocked()
        autojump_clock.jump(_REFUSED_S / 5 - 0.01)
    assert len(server.asked) == 1
    server.error = None
    autojump_clock.jump(1)
    await _swept(feed, server)
    assert await _walk(feed, [5]) == [server.of_asset(5)]


@pytest.mark.parametrize("kind", [Denied, BadReply])
async def test_a_server_that_refuses_what_is_new_is_asked_again_after_ten_minutes(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events, kind: type[AttachfsError]
) -> None:
    """It may have stopped to tell all events at once; a walk is not slowed down by that."""
    feed = _feed(nursery, server)
    await _swept(feed, server)
    autojump_clock.jump(_TTL_S)
    server.error = kind("no more")
    for _ in range(5):
        await _walk(feed, range(1, 9))
        assert await _walk(feed) == [None] * 12
        autojump_clock.jump(_REFUSED_S / 5 - 0.01)
    assert len(server.asked) == 1
    server.error = None
    autojump_clock.jump(1)
    await _walk(feed)
    assert await _walk(feed, [5]) == [server.of_asset(5)]


async def test_after_its_lifetime_only_what_is_new_is_asked_for(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """New events and new assets are there, and a page is all it takes."""
    feed = _feed(nursery, server)
    await _swept(feed, server)
    for minutes in range(1, 6):
        autojump_clock.jump(_TTL_S)
        server.happen(7)
        server.happen(20 + minutes, creation=True)
        everything = range(1, 21 + minutes)
        await _walk(feed)
        assert await _walk(feed, everything) == [server.of_asset(asset) for asset in everything]
        assert len(server.asked) == minutes


async def test_nothing_is_renewed_while_nobody_walks(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """The few who open an asset ask for it alone."""
    feed = _feed(nursery, server)
    await _swept(feed, server)
    autojump_clock.jump(_TTL_S)
    assert await _walk(feed, [1, 2, 3]) == [None] * 3
    assert not await feed.is_current()
    assert server.asked == []


async def test_walkers_share_a_renewal(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """However many there are."""
    feed = _feed(nursery, server)
    await _swept(feed, server)
    autojump_clock.jump(_TTL_S)
    async with trio.open_nursery() as walkers:
        for _ in range(10):
            walkers.start_soon(_walk, feed, range(1, 21))
    assert len(server.asked) == 1


async def test_nobody_waits_long_for_a_renewal(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """A second at most, all who come meanwhile together; what comes late is remembered."""
    feed = _feed(nursery, server)
    await _swept(feed, server)
    autojump_clock.jump(_TTL_S)
    server.go = trio.Event()
    began_s = trio.current_time()
    assert await _walk(feed) == [None] * 12
    assert trio.current_time() == pytest.approx(began_s + 1)
    server.go.set()
    await wait_all_tasks_blocked()
    assert await _walk(feed, [5]) == [server.of_asset(5)]
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", [Unreachable, TimedOut, ServerFault])
async def test_a_renewal_in_trouble_is_tried_again_a_little_later(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events, kind: type[AttachfsError]
) -> None:
    """Not for every asset that somebody comes to."""
    feed = _feed(nursery, server)
    await _swept(feed, server)
    autojump_clock.jump(_TTL_S)
    server.error = kind("trouble")
    await _walk(feed)
    assert await _walk(feed, range(1, 21)) == [None] * 20
    assert len(server.asked) == 1
    server.error = None
    autojump_clock.jump(5)
    await _walk(feed)
    assert await _walk(feed, [5]) == [server.of_asset(5)]


async def test_an_event_that_went_is_gone_after_an_hour(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """All pages are read at most hourly, and again only for a walk."""
    feed = _feed(nursery, server)
    await _swept(feed, server)
    gone = server.entries.pop(-5)
    asset = int(str(gone.asset)[1:8])
    for _ in range(58):
        autojump_clock.jump(_TTL_S)
        await _walk(feed)
        assert gone.id in ((await _walk(feed, [asset]))[0] or ())
    assert len(server.asked) == 58
    autojump_clock.jump(3 * _TTL_S)
    server.asked.clear()
    await _walk(feed)
    await wait_all_tasks_blocked()
    assert len(server.asked) == server.pages + 1
    assert await _walk(feed, [asset]) == [server.of_asset(asset)]


async def test_an_asset_whose_events_all_went_is_asked_for_alone(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """It may be gone, or may not be seen: who is asked for it will say."""
    feed = _feed(nursery, server)
    await _swept(feed, server)
    server.entries = [entry for entry in server.entries if entry.asset != uuid(3, "a")]
    autojump_clock.jump(_HOUR_S + _TTL_S)
    await _swept(feed, server)
    assert await _walk(feed, [3, 4]) == [None, server.of_asset(4)]


async def test_it_outlives_a_restart(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """With its lifetime, with what it may go on from, and with the hour of its sweep."""
    index, clock = index_in_memory(nursery), Clock()

    def restarted() -> Feed:
        return _feed(nursery, server, basis(nursery, index=index, clock=clock))

    await _swept(restarted(), server)
    assert await _walk(restarted(), [5]) == [server.of_asset(5)]
    assert server.asked == []
    autojump_clock.jump(_TTL_S)
    server.happen(5)
    feed = restarted()
    assert await _walk(feed, [5]) == [None]
    await _walk(feed)
    assert await _walk(feed, [5]) == [server.of_asset(5)]
    assert len(server.asked) == 1
    autojump_clock.jump(_HOUR_S)
    server.asked.clear()
    await _walk(restarted())
    await wait_all_tasks_blocked()
    assert len(server.asked) == server.pages + 1


@pytest.mark.parametrize("damage", ["future", "garbage", "nan"])
async def test_what_is_of_no_use_in_the_index_is_read_anew(
    nursery: trio.Nursery, server: Events, damage: str
) -> None:
    """A sweep of the future would never be over."""
    shared = basis(nursery)
    now_s = shared.clock.now_s()
    data = {
        "future": packed_listing(Uuids.of([uuid(1, "e")]).packed, now_s + 1e6),
        "garbage": b"garbage",
        "nan": packed_listing(b"", float("nan")),
    }[damage]
    shared.index.put(ALL_EVENTS, data, now_s)
    feed = _feed(nursery, server, shared)
    assert not await feed.is_current()
    await _walk(feed)
    await wait_all_tasks_blocked()
    assert await _walk(feed, [5]) == [server.of_asset(5)]


async def test_a_damaged_entry_of_an_asset_is_asked_for_alone(
    nursery: trio.Nursery, server: Events
) -> None:
    """The others are good."""
    shared = basis(nursery)
    feed = _feed(nursery, server, shared)
    await _swept(feed, server)
    shared.index.put(events_key(Holder(uuid(5, "a"))), b"garbage", shared.clock.now_s())
    shared.index.delete(events_key(Holder(uuid(6, "a"))))
    assert await _walk(feed, [5, 6, 7]) == [None, None, server.of_asset(7)]


async def test_after_a_refresh_all_pages_are_read_anew(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """Nothing is believed before."""
    feed = _feed(nursery, server)
    await _swept(feed, server)
    del server.entries[-5]
    autojump_clock.jump(1)
    feed.expire()
    autojump_clock.jump(1)
    assert not await feed.is_current()
    assert await _walk(feed) == [None] * 12
    await wait_all_tasks_blocked()
    assert len(server.asked) == server.pages
    everything = range(1, 21)
    assert await _walk(feed, everything) == [server.of_asset(asset) for asset in everything]


@pytest.mark.parametrize("renewal", [True, False])
async def test_a_refresh_while_pages_are_read_is_not_forgotten(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events, *, renewal: bool
) -> None:
    """What was asked for before it is not believed when it comes."""
    feed = _feed(nursery, server)
    if renewal:
        await _swept(feed, server)
        autojump_clock.jump(_TTL_S)
    async with _held(server), trio.open_nursery() as walkers:
        walkers.start_soon(_walk, feed)
        await wait_all_tasks_blocked()
        server.happen(5)
        autojump_clock.jump(1.5)
        feed.expire()
    assert (await _walk(feed, [5]))[0] in (None, server.of_asset(5))
    await _walk(feed)
    await wait_all_tasks_blocked()
    assert await _walk(feed, [5]) == [server.of_asset(5)]


async def test_an_asset_in_doubt_is_asked_for_alone(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """Until what is new has been asked for after the doubt; others are not in doubt."""
    feed = _feed(nursery, server)
    await _swept(feed, server)
    autojump_clock.jump(1)
    feed.doubt(uuid(5, "a"))
    assert await _walk(feed, [5, 6]) == [None, server.of_asset(6)]
    autojump_clock.jump(_TTL_S)
    await _walk(feed)
    assert await _walk(feed, [5]) == [server.of_asset(5)]


@pytest.mark.parametrize("reason", ["age", "doubt", "refresh"])
async def test_what_a_resting_sweep_has_gathered_is_not_believed_for_ever(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events, reason: str
) -> None:
    """Its walk has stopped: whoever opens one asset an hour later wants what is there now."""
    server.page_size = 30
    feed = _feed(nursery, server)
    async with _held(server):
        await _walk(feed)
        await wait_all_tasks_blocked()
        autojump_clock.jump(3)
    assert server.asked == [""]
    assert await _walk(feed, [20]) == [server.of_asset(20)]
    autojump_clock.jump(1)
    if reason == "age":
        autojump_clock.jump(_TTL_S)
    elif reason == "doubt":
        feed.doubt(uuid(20, "a"))
    else:
        feed.expire()
    assert await _walk(feed, [20]) == [None]
    assert server.asked == [""]


async def test_a_sweep_rests_while_nobody_walks(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """And goes on with the next walk, whose new events it has, too."""
    feed = _feed(nursery, server)
    async with _held(server):
        await _walk(feed)
        await wait_all_tasks_blocked()
        autojump_clock.jump(3)
    read = len(server.asked)
    assert read < server.pages
    autojump_clock.jump(10 * _TTL_S)
    server.happen(5)
    await _walk(feed)
    await wait_all_tasks_blocked()
    await _walk(feed)
    assert await _walk(feed, [5]) == [server.of_asset(5)]
    assert server.asked.count("") == 2


async def test_a_sweep_does_not_undo_what_was_asked_for_meanwhile(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """An asset's own listing is newer than a page that was asked for before it."""
    shared = basis(nursery)
    listings = Listings(shared, ttl_s=_TTL_S)
    feed = Feed(shared, server.fetch, listings, ttl_s=_TTL_S)
    key = events_key(Holder(uuid(5, "a")))
    async with _held(server):
        await _walk(feed)
        await wait_all_tasks_blocked()
        autojump_clock.jump(1)
        server.happen(5)
        alone = Collection(e for e in server.entries if e.asset == uuid(5, "a"))
        assert list(await (await listings.get(key, alone.fetch, name="x")).upto(9)) == (
            server.of_asset(5)
        )
    assert await _walk(feed, [5]) == [server.of_asset(5)]


async def test_what_listings_know_in_memory_is_as_new(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """An event that all events have told is listed, also where its asset was asked for before."""
    shared = basis(nursery)
    listings = Listings(shared, ttl_s=_TTL_S)
    feed = Feed(shared, server.fetch, listings, ttl_s=_TTL_S)
    key = events_key(Holder(uuid(5, "a")))
    alone = Collection(e for e in server.entries if e.asset == uuid(5, "a"))
    await (await listings.get(key, alone.fetch, name="x")).upto(9)
    event = server.happen(5)
    autojump_clock.jump(1)
    await _swept(feed, server)
    assert listings.may_have(key, event, 0)
    assert list((await listings.get(key, alone.fetch, name="x")).ids) == server.of_asset(5)


async def test_a_sweep_that_fails_half_way_is_not_believed(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """It is tried again after ten minutes; a defect ends nothing but itself."""
    feed = _feed(nursery, server)
    server.error, server.fails_at = Unreachable("away"), "8"
    await _swept(feed, server)
    assert not await feed.is_current()
    assert await _walk(feed) == [None] * 12
    await wait_all_tasks_blocked()
    assert server.asked == []
    server.error = None
    autojump_clock.jump(_REFUSED_S)
    await _swept(feed, server)
    assert await feed.is_current()


async def test_a_defect_ends_no_background(
    nursery: trio.Nursery, server: Events, expected_warnings: set[str]
) -> None:
    """It is told in the log, and each asset is asked for alone."""
    expected_warnings.add("events were not listed")
    feed = _feed(nursery, server)
    server.error = ZeroDivisionError()
    for _ in range(2):
        assert await _walk(feed) == [None] * 12
        await wait_all_tasks_blocked()
    assert len(server.asked) == 1


async def test_after_the_machine_was_busy_an_hour_two_sweeps_are_not_under_way(
    nursery: trio.Nursery, autojump_clock: MockClock, server: Events
) -> None:
    """However many walk, and however long it takes."""
    feed = _feed(nursery, server)
    async with _held(server):
        for _ in range(20):
            await _walk(feed)
            autojump_clock.jump(_HOUR_S)
        await wait_all_tasks_blocked()
        assert server.asked == [""]
        await _walk(feed)
