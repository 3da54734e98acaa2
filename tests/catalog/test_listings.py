"""Listings by their age: shared, gone on from, read anew, kept over a restart."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from attachfs.catalog.clock import Clock
from attachfs.catalog.index import Index
from attachfs.catalog.listing import Listing, packed_listing
from attachfs.catalog.listings import SWEEP_EVERY_S, Listings
from attachfs.catalog.uuids import Uuids
from attachfs.errors import NotFound, Unreachable
from tests.catalog.bases import basis
from tests.catalog.collections import Collection, uuid, uuids
from tests.support.archives import index_in_memory

_TTL_S = 60.0
_KEY = b"key"
_MANY = range(10, 0, -1)


@pytest.fixture
def listings(nursery: trio.Nursery) -> Listings:
    """Listings that are believed for a minute, and served for another hour if need be."""
    return Listings(basis(nursery, stale_ok_s=3600), ttl_s=_TTL_S)


async def _begun(listings: Listings, server: Collection, key: bytes = _KEY) -> Listing:
    return await listings.get(key, server.fetch, name="x")


async def _read(listings: Listings, server: Collection, key: bytes = _KEY) -> list[str]:
    """Return a whole listing; `server.asked` is what that took."""
    server.asked.clear()
    return list(await (await _begun(listings, server, key)).upto(999))


async def test_readers_share_a_listing_within_its_lifetime(
    listings: Listings, autojump_clock: MockClock
) -> None:
    """Also one that is still under way."""
    server = Collection.of(*_MANY)
    first = await _begun(listings, server)
    assert await _begun(listings, server) is first
    await first.upto(999)
    autojump_clock.jump(_TTL_S - 1)
    assert await _begun(listings, server) is first
    assert len(server.asked) == server.pages
    assert await _begun(listings, server, b"other") is not first


async def test_within_an_hour_only_what_is_new_is_asked_for(
    listings: Listings, autojump_clock: MockClock
) -> None:
    """What has gone from further down is seen in a full sweep, which is hourly at most."""
    server = Collection.of(*_MANY)
    assert await _read(listings, server) == uuids(*_MANY)
    server.set(11, 10, 9, 8, 7, 6, 4, 3, 2, 1)
    pages = 0
    for _ in range(59):
        autojump_clock.jump(_TTL_S)
        assert await _read(listings, server) == uuids(11, *_MANY)
        pages += len(server.asked)
    assert pages == 59
    autojump_clock.jump(_TTL_S)
    assert await _read(listings, server) == uuids(11, 10, 9, 8, 7, 6, 4, 3, 2, 1)
    assert len(server.asked) == server.pages
    autojump_clock.jump(_TTL_S)
    await _read(listings, server)
    assert len(server.asked) == 1


@pytest.mark.parametrize("everything", [True, False])
async def test_a_refresh_reads_to_the_end(
    listings: Listings, autojump_clock: MockClock, *, everything: bool
) -> None:
    """Whoever asks for it wants to see what has gone as well; after it, all is as ever."""
    server = Collection.of(*_MANY)
    await _read(listings, server)
    server.set(10, 9, 8, 7, 6, 4, 3, 2, 1)
    autojump_clock.jump(1)
    if everything:
        listings.expire_all()
    else:
        listings.expire(_KEY)
    autojump_clock.jump(1)
    assert await _read(listings, server) == uuids(10, 9, 8, 7, 6, 4, 3, 2, 1)
    autojump_clock.jump(1)
    await _read(listings, server)
    assert server.asked == []
    autojump_clock.jump(_TTL_S)
    await _read(listings, server)
    assert len(server.asked) == 1


async def test_a_refresh_without_an_answer_is_not_forgotten(
    listings: Listings, autojump_clock: MockClock
) -> None:
    """The old one is served meanwhile, and the new one read to its end later."""
    server = Collection.of(*_MANY)
    await _read(listings, server)
    server.set(10, 9, 8, 7, 6, 4, 3, 2, 1)
    autojump_clock.jump(1)
    listings.expire(_KEY)
    autojump_clock.jump(1)
    server.error = Unreachable("away")
    assert await _read(listings, server) == uuids(*_MANY)
    server.error = None
    autojump_clock.jump(10)
    assert await _read(listings, server) == uuids(10, 9, 8, 7, 6, 4, 3, 2, 1)


async def test_what_is_known_is_listed_where_the_server_cannot_be_asked(
    listings: Listings, autojump_clock: MockClock
) -> None:
    """For as long as is allowed; then the error is told, never a short listing."""
    server = Collection.of(*_MANY)
    await _read(listings, server)
    server.error = Unreachable("away")
    autojump_clock.jump(_TTL_S + 3599)
    assert await _read(listings, server) == uuids(*_MANY)
    autojump_clock.jump(10)
    with pytest.raises(Unreachable):
        await _read(listings, server)


async def test_a_refusal_is_no_empty_listing(listings: Listings, autojump_clock: MockClock) -> None:
    """It takes the old one away."""
    server = Collection.of(*_MANY)
    await _read(listings, server)
    server.error = NotFound("gone")
    autojump_clock.jump(_TTL_S)
    for _ in range(2):
        with pytest.raises(NotFound):
            await _read(listings, server)


async def test_a_listing_that_fails_half_way_is_gone_on_with(
    listings: Listings, autojump_clock: MockClock
) -> None:
    """The pages it has are not asked for again, and it is kept when it is whole."""
    server = Collection.of(*_MANY)
    server.error, server.fails_at = Unreachable("away"), "6"
    for _ in range(2):
        with pytest.raises(Unreachable):
            await _read(listings, server)
        await wait_all_tasks_blocked()
    server.error = None
    assert await _read(listings, server) == uuids(*_MANY)
    assert server.asked == ["6", "4", "2"]
    autojump_clock.jump(_TTL_S)
    await _read(listings, server)
    assert server.asked == [""]


async def test_a_listing_that_ends_late_does_not_replace_a_newer_one(
    listings: Listings, autojump_clock: MockClock
) -> None:
    """A reader may take an hour for it."""
    server = Collection.of(*_MANY)
    slow = await _begun(listings, server)
    await wait_all_tasks_blocked()
    autojump_clock.jump(_TTL_S)
    server.set(11, *_MANY)
    assert await _read(listings, server) == uuids(11, *_MANY)
    assert await slow.upto(999) == uuids(*_MANY)
    assert await _read(listings, server) == uuids(11, *_MANY)
    assert server.asked == []


async def test_a_listing_outlives_a_restart(
    tmp_path: Path, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """It is believed for the rest of its lifetime, and gone on from after it."""
    clock, server = Clock(), Collection.of(*_MANY)
    for new, asked in [((), server.pages), ((), 0), ((11,), 1), ((12, 11), 1)]:
        index = Index.open(tmp_path / "index")
        index.start(nursery)
        server.set(*new, *_MANY)
        if new:
            autojump_clock.jump(_TTL_S)
        listings = Listings(basis(nursery, index=index, clock=clock), ttl_s=_TTL_S)
        assert await _read(listings, server) == uuids(*new, *_MANY)
        assert len(server.asked) == asked
        index.close()


async def test_a_sweep_that_fails_half_way_takes_nothing_away(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """What was whole before it is served, and outlives a restart."""
    index, clock, server = index_in_memory(nursery), Clock(), Collection.of(*_MANY)
    await _read(Listings(basis(nursery, index=index, clock=clock), ttl_s=_TTL_S), server)
    autojump_clock.jump(SWEEP_EVERY_S)
    server.error, server.fails_at = Unreachable("away"), "8"
    again = Listings(basis(nursery, index=index, clock=clock, stale_ok_s=1e9), ttl_s=_TTL_S)
    assert await _read(again, server) == uuids(*_MANY)
    server.fails_at = None
    last = Listings(basis(nursery, index=index, clock=clock, stale_ok_s=1e9), ttl_s=_TTL_S)
    assert await _read(last, server) == uuids(*_MANY)


@pytest.mark.parametrize("swept_s", [4e9, float("nan"), float("inf"), -1e300])
async def test_a_sweep_of_another_time_is_no_sweep(nursery: trio.Nursery, swept_s: float) -> None:
    """The machine's clock was wrong, or the index is damaged: all pages are asked for."""
    shared, server = basis(nursery), Collection.of(*_MANY)
    known = packed_listing(Uuids.of(uuids(*_MANY, 0)).packed, swept_s)
    shared.index.put(_KEY, known, shared.clock.now_s() - _TTL_S)
    assert await _read(Listings(shared, ttl_s=_TTL_S), server) == uuids(*_MANY)


async def test_it_tells_what_the_last_whole_listing_may_have(
    listings: Listings, autojump_clock: MockClock
) -> None:
    """Without asking: all where there is none, or where something was found after it."""
    server = Collection.of(3, 2, 1)
    now_s = listings._basis.clock.now_s
    assert listings.may_have(_KEY, uuid(9), now_s())
    listing = await _begun(listings, server)
    assert not listing.complete
    assert listings.may_have(_KEY, uuid(9), 0)
    await listing.upto(99)
    assert listings.may_have(_KEY, uuid(3), 0)
    assert not listings.may_have(_KEY, uuid(9), 0)
    autojump_clock.jump(1)
    assert listings.may_have(_KEY, uuid(9), now_s())
    assert len(server.asked) == 2


async def test_whole_listings_may_come_by_another_way(
    listings: Listings, autojump_clock: MockClock
) -> None:
    """They replace what is older, in memory as well, and nothing that is newer."""
    server = Collection.of(1)
    await _read(listings, server)
    for age_s, numbers in [(-1, (1,)), (1, (2, 1))]:
        began_s = listings._basis.clock.now_s() + age_s
        packed = packed_listing(Uuids.of(uuids(2, 1)).packed, began_s)
        autojump_clock.jump(1)
        listings.learn([(_KEY, packed), (b"other", packed)], began_s)
        assert await _read(listings, server) == uuids(*numbers)
    assert await _read(listings, server, b"other") == uuids(2, 1)
    assert server.asked == []
