"""What need not be asked for again: events for good, assets while nothing has happened to them."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from attachfs.archive.client import Archive
from attachfs.archive.identities import Holder
from attachfs.catalog.catalog import Catalog
from attachfs.errors import NotFound
from tests.catalog.service import Service, asset
from tests.support.archives import index_in_memory, scripted

_TTL_S = 60.0
_DAY_S = 86400.0
_HOUR_S = 3600.0
_ASSETS = range(1, 21)
_A_WALK = 9  # assets after which it is one


@pytest.fixture
def service() -> Service:
    """Twenty assets of yesterday."""
    service = Service()
    for number in _ASSETS:
        service.create(number, at_s=time.time() - _DAY_S)
    return service


@asynccontextmanager
async def _catalog(service: Service, nursery: trio.Nursery) -> AsyncIterator[Catalog]:
    async with scripted(service) as archive:
        catalog = Catalog(archive, nursery, index_in_memory(nursery))
        _keep_time(archive, catalog)
        yield catalog


def _keep_time(archive: Archive, catalog: Catalog, *, ahead_s: float = 0.0) -> None:
    """Have the server's clock go with the test's."""
    archive.server_now_s = lambda: catalog._clock.now_s() + ahead_s  # type: ignore[method-assign]


async def _walk(catalog: Catalog, service: Service) -> list[str]:
    """Go through all assets as `find` does; return what was asked for them once it was a walk."""
    for number in _ASSETS:
        if number == _A_WALK:
            service.took()
        await catalog.record(asset(number))
        listing = await catalog.events(asset(number))
        while not listing.complete:
            await listing.upto(len(listing.ids) + 1)
        for event in listing.ids:
            await catalog.record(Holder(asset(number).asset, event))
    await wait_all_tasks_blocked()
    return service.took()


async def _walked(catalog: Catalog, service: Service, clock: MockClock) -> None:
    """Have everything known, and come back when it is too old."""
    for _ in range(2):
        await _walk(catalog, service)
    clock.jump(_TTL_S)


async def test_an_asset_to_which_nothing_has_happened_is_not_asked_for(
    nursery: trio.Nursery, autojump_clock: MockClock, service: Service
) -> None:
    """All that happened is known: a walk costs pages, not a request an asset."""
    async with _catalog(service, nursery) as catalog:
        await _walked(catalog, service, autojump_clock)
        await _walk(catalog, service)
        for _ in range(30):
            autojump_clock.jump(_TTL_S)
            assert await _walk(catalog, service) == []
        autojump_clock.jump(_TTL_S)
        for number in range(1, _A_WALK):
            await catalog.record(asset(number))
            await catalog.events(asset(number))
        assert len(service.took()) == 2 * (_A_WALK - 2) + 2


async def test_an_asset_to_which_something_has_happened_is(
    nursery: trio.Nursery, autojump_clock: MockClock, service: Service
) -> None:
    """And its new event is there; until five minutes have gone, once a lifetime."""
    async with _catalog(service, nursery) as catalog:
        await _walked(catalog, service, autojump_clock)
        await _walk(catalog, service)
        now_s = catalog._clock.now_s
        autojump_clock.jump(_TTL_S)
        event = service.happen(asset(15), at_s=now_s())
        service.assets[asset(15).asset]["attributes"] = {"arc_display_name": "changed"}
        assert await _walk(catalog, service) == [asset(15).path]
        assert (await catalog.record(asset(15))).label == "changed"
        assert event.event in (await catalog.events(asset(15))).ids
        for _ in range(6):
            autojump_clock.jump(_TTL_S)
            await _walk(catalog, service)
        autojump_clock.jump(_TTL_S)
        assert await _walk(catalog, service) == []


@pytest.mark.parametrize("ahead_s", [-2 * _HOUR_S, 2 * _HOUR_S])
async def test_an_event_counts_by_the_servers_clock(
    nursery: trio.Nursery, autojump_clock: MockClock, service: Service, ahead_s: float
) -> None:
    """However wrong this machine's is."""
    async with scripted(service) as archive:
        catalog = Catalog(archive, nursery, index_in_memory(nursery))
        _keep_time(archive, catalog, ahead_s=ahead_s)
        await _walked(catalog, service, autojump_clock)
        await _walk(catalog, service)
        autojump_clock.jump(10 * _TTL_S)
        service.happen(asset(15), at_s=archive.server_now_s() - 1)
        service.assets[asset(15).asset]["attributes"] = {"arc_display_name": "changed"}
        await _walk(catalog, service)
        assert (await catalog.record(asset(15))).label == "changed"


async def test_an_asset_is_asked_for_where_nobody_walks(
    nursery: trio.Nursery, autojump_clock: MockClock, service: Service
) -> None:
    """A single one costs less than finding out what happened."""
    async with _catalog(service, nursery) as catalog:
        await _walked(catalog, service, autojump_clock)
        await catalog.record(asset(5))
        assert service.took() == [asset(5).path]


async def test_a_refresh_asks_for_an_asset_to_which_nothing_has_happened(
    nursery: trio.Nursery, autojump_clock: MockClock, service: Service
) -> None:
    """Some things change without an event, such as what a token may see."""
    async with _catalog(service, nursery) as catalog:
        await _walked(catalog, service, autojump_clock)
        await _walk(catalog, service)
        autojump_clock.jump(_TTL_S)
        catalog.expire(asset(15))
        service.assets[asset(15).asset]["attributes"] = {"arc_display_name": "changed"}
        assert await _walk(catalog, service) == [asset(15).path]
        assert (await catalog.record(asset(15))).label == "changed"


@pytest.mark.parametrize("everything", [True, False])
async def test_a_refresh_asks_for_the_events_that_all_events_have_told(
    nursery: trio.Nursery, autojump_clock: MockClock, service: Service, *, everything: bool
) -> None:
    """Within their lifetime, too: what has gone is gone at once."""
    async with _catalog(service, nursery) as catalog:
        for _ in range(2):
            await _walk(catalog, service)
        event = Holder(asset(15).asset, (await catalog.events(asset(15))).ids[0])
        service.remove(event)
        assert event.event in (await catalog.events(asset(15))).ids
        autojump_clock.jump(1)
        if everything:
            catalog.expire_all()
        else:
            catalog.expire(asset(15))
        autojump_clock.jump(1)
        assert list((await catalog.events(asset(15))).ids) == []


async def test_a_confirmation_is_asked_for_whatever_happened(
    nursery: trio.Nursery, autojump_clock: MockClock, service: Service
) -> None:
    """Rights may change without an event."""
    async with _catalog(service, nursery) as catalog:
        await _walked(catalog, service, autojump_clock)
        await _walk(catalog, service)
        autojump_clock.jump(_TTL_S)
        assert await _walk(catalog, service) == []
        await catalog.confirmed_record(asset(15))
        assert service.took() == [asset(15).path]


async def test_a_first_listing_tells_of_what_was_known_before_it(
    nursery: trio.Nursery, autojump_clock: MockClock, service: Service
) -> None:
    """An asset that was opened by name may have changed by then; what is equal is the same."""
    async with _catalog(service, nursery) as catalog:
        changed: list[Holder] = []
        catalog.watch(lambda holder, _old, _new: changed.append(holder))
        equal = await catalog.record(asset(4))
        await catalog.record(asset(5))
        service.assets[asset(5).asset]["attributes"] = {"arc_display_name": "changed"}
        autojump_clock.jump(1)
        await (await catalog.assets()).upto(99)
        assert changed == [asset(5)]
        assert catalog.known_record(asset(4)) is equal


async def test_an_accepted_event_is_asked_for_once_ever(
    nursery: trio.Nursery, autojump_clock: MockClock, service: Service
) -> None:
    """The page that it was on is enough; only the right to see it is asked for again."""
    event = service.happen(asset(5), at_s=time.time() - _DAY_S)
    async with _catalog(service, nursery) as catalog:
        await catalog.events(asset(5))
        for _ in range(3):
            service.took()
            assert (await catalog.record(event)).id == event.event
            assert service.took() == []
            autojump_clock.jump(30 * _DAY_S)
        await catalog.confirmed_record(event)
        assert service.took() == [event.path]
        catalog.expire_all()
        await catalog.record(event)
        assert service.took() == []


@pytest.mark.parametrize(
    "changes",
    [{"confirmation_status": "PENDING"}, {"timestamp_accepted": "1970-01-01T00:00:00Z"}, {}],
)
async def test_an_event_that_is_not_accepted_yet_may_change(
    nursery: trio.Nursery, autojump_clock: MockClock, service: Service, changes: dict[str, str]
) -> None:
    """It is asked for again after its lifetime."""
    event = service.happen(asset(5), at_s=time.time() - _DAY_S, **changes)
    async with _catalog(service, nursery) as catalog:
        await catalog.record(event)
        service.took()
        autojump_clock.jump(_TTL_S)
        await catalog.record(event)
        assert service.took() == ([event.path] if changes else [])


async def test_an_event_that_is_no_longer_listed_is_asked_for(
    nursery: trio.Nursery, autojump_clock: MockClock, service: Service
) -> None:
    """Whether it is gone or hidden: it must not be there for good."""
    event = service.happen(asset(5), at_s=time.time() - _DAY_S)
    async with _catalog(service, nursery) as catalog:
        await catalog.events(asset(5))
        await catalog.record(event)
        service.remove(event)
        autojump_clock.jump(2 * _HOUR_S)
        assert event.event not in (await catalog.events(asset(5))).ids
        with pytest.raises(NotFound):
            await catalog.record(event)
        assert catalog.known_record(event) is None


async def test_an_event_newer_than_the_listing_is_asked_for_once(
    nursery: trio.Nursery, autojump_clock: MockClock, service: Service
) -> None:
    """That an older listing lacks it says nothing."""
    async with _catalog(service, nursery) as catalog:
        await catalog.events(asset(5))
        autojump_clock.jump(_TTL_S)
        event = service.happen(asset(5), at_s=time.time())
        service.took()
        for _ in range(3):
            await catalog.record(event)
            autojump_clock.jump(_DAY_S)
        assert service.took() == [event.path]


@pytest.mark.parametrize(
    ("moment_s", "asked"),
    [
        (-_DAY_S, [1, 1, 1, 1]),
        (-_TTL_S, [1, 2, 3, 3]),
        (_HOUR_S, [1, 2, 3, 3]),
        (30 * _DAY_S, [1, 2, 3, 4]),
    ],
    ids=["yesterday", "a minute ago", "in an hour", "in a month"],
)
async def test_a_record_of_a_time_is_final_five_minutes_after_it(
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    service: Service,
    moment_s: float,
    asked: list[int],
) -> None:
    """What was answered before that says nothing of what happened until then."""
    async with _catalog(service, nursery) as catalog:
        at_ns = int((catalog._clock.now_s() + moment_s) * 10**9)
        told = []
        for pause_s in (_TTL_S, 2 * _HOUR_S, _DAY_S, 1):
            await catalog.record_at(asset(5), "a time", at_ns)
            told.append(len(service.asked))
            autojump_clock.jump(pause_s)
        assert told == asked


async def test_a_record_of_a_time_is_asked_for_again_only_where_it_may_change(
    nursery: trio.Nursery, autojump_clock: MockClock, service: Service
) -> None:
    """A refresh changes nothing of the past."""
    async with _catalog(service, nursery) as catalog:
        now_s = catalog._clock.now_s()
        past, future = int((now_s - _DAY_S) * 10**9), int((now_s + _DAY_S) * 10**9)
        for asked in (2, 1):
            await catalog.record_at(asset(5), "past", past)
            await catalog.record_at(asset(5), "future", future)
            assert len(service.took()) == asked
            autojump_clock.jump(1)
            catalog.expire_all()
            autojump_clock.jump(1)
