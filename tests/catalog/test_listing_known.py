"""A listing that goes on from what an earlier one held, and how it is kept."""

import math

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from attachfs.archive.models import Page
from attachfs.catalog.listing import Listing, packed_listing
from attachfs.catalog.uuids import Uuids
from attachfs.errors import BadReply
from tests.catalog.collections import Collection, uuid, uuids

_NOW_S = 1_000_000.0
_SWEPT_S = 999_000.0


class _Completed:
    """Count how often a listing has ended."""

    def __init__(self) -> None:
        self.listings: list[Listing] = []

    def __call__(self, listing: Listing) -> None:
        assert listing.complete
        self.listings.append(listing)


def _listing(
    nursery: trio.Nursery, server: Collection, *known: int, completed: _Completed | None = None
) -> Listing:
    return Listing(
        nursery,
        server.fetch,
        name="x",
        now_s=lambda: _NOW_S,
        known=Uuids.of(uuids(*known)) if known else None,
        swept_s=_SWEPT_S if known else None,
        on_complete=completed or _Completed(),
    )


@pytest.mark.parametrize(
    ("served", "expected", "asked"),
    [
        pytest.param([6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1], 1, id="nothing new"),
        pytest.param([7, 6, 5, 4, 3, 2, 1], [7, 6, 5, 4, 3, 2, 1], 1, id="one new"),
        pytest.param([9, 8, 7, 6, 5, 4, 3, 2, 1], [9, 8, 7, 6, 5, 4, 3, 2, 1], 2, id="a page new"),
        pytest.param([6, 4, 3, 2, 1], [6, 4, 3, 2, 1], 1, id="gone from the first page"),
        pytest.param([5, 4, 3, 2, 1], [5, 4, 3, 2, 1], 1, id="the newest gone"),
        pytest.param([7, 2, 1], [7, 2, 1], 1, id="many gone"),
        pytest.param([6, 5, 4, 2, 1], [6, 5, 4, 3, 2, 1], 1, id="gone further down: seen later"),
        pytest.param([6], [6], 1, id="all gone but one"),
        pytest.param([], [], 1, id="all gone"),
        pytest.param([8], [8], 1, id="all others"),
        pytest.param([3, 6, 5, 4, 2, 1], [3, 6, 5, 4, 2, 1], 1, id="moved to the front"),
    ],
)
async def test_it_ends_where_it_meets_what_is_known(
    nursery: trio.Nursery, served: list[int], expected: list[int], asked: int
) -> None:
    """What followed there follows here: nothing more is asked."""
    server, completed = Collection.of(*served), _Completed()
    listing = _listing(nursery, server, 6, 5, 4, 3, 2, 1, completed=completed)
    assert await listing.upto(99) == uuids(*expected)
    assert len(server.asked) == asked
    assert completed.listings == [listing]
    await listing.upto(99)
    assert (len(server.asked), len(completed.listings)) == (asked, 1)


async def test_a_page_that_ends_with_something_new_is_gone_on_from(nursery: trio.Nursery) -> None:
    """Even where others on it are known."""
    server = Collection.of(3, 9, 2, 1)
    assert await _listing(nursery, server, 3, 2, 1).upto(99) == uuids(3, 9, 2, 1)
    assert len(server.asked) == 2


async def test_an_empty_page_on_the_way_meets_nothing(nursery: trio.Nursery) -> None:
    """It may be empty because of what its reader may not see."""
    pages = {"": Page((), "a"), "a": Page(tuple(Collection.of(3).entries), "b")}

    async def fetch(token: str) -> Page:
        await trio.lowlevel.checkpoint()
        return pages[token]

    known = Uuids.of(uuids(3, 2, 1))
    listing = Listing(nursery, fetch, name="x", known=known, swept_s=1.0)
    assert await listing.upto(99) == uuids(3, 2, 1)


@pytest.mark.parametrize(
    ("known", "served", "swept_s"),
    [
        ((), (2, 1), _NOW_S),
        ((2, 1), (3, 2, 1), _SWEPT_S),
        ((6, 5, 4), (9, 8, 7), _NOW_S),
    ],
)
async def test_it_knows_when_all_pages_had_last_been_asked_for(
    nursery: trio.Nursery, known: tuple[int, ...], served: tuple[int, ...], swept_s: float
) -> None:
    """By itself, or by the one that it went on from."""
    listing = _listing(nursery, Collection.of(*served), *known)
    assert listing.dump() is None
    await listing.upto(99)
    assert listing.swept_s == swept_s
    data = listing.dump()
    assert data is not None
    again = Listing.loaded(nursery, data, name="x")
    assert again.complete
    assert (again.swept_s, again.ids) == (swept_s, listing.ids)
    assert (await again.upto(99), again.dump()) == (listing.ids, data)


@pytest.mark.parametrize("data", [b"", b"short", packed_listing(b"", 1.0)[:-1], b"x" * 23])
async def test_what_is_no_listing_is_not_taken_for_one(nursery: trio.Nursery, data: bytes) -> None:
    """Nor for an empty one."""
    with pytest.raises(BadReply, match="no listing"):
        Listing.loaded(nursery, data, name="x")


@given(data=st.binary(max_size=80))
async def test_no_bytes_raise_anything_but_bad_reply(data: bytes) -> None:
    """An index may hold anything."""
    async with trio.open_nursery() as nursery:
        try:
            listing = Listing.loaded(nursery, data, name="x")
        except BadReply:
            return
        assert listing.complete
        assert len(listing.ids) == (len(data) - 8) // 16
        assert listing.swept_s is not None
        assert listing.dump() == data or math.isnan(listing.swept_s)


@given(
    old=st.integers(0, 12),
    new=st.integers(0, 6),
    gone=st.sets(st.integers(1, 18)),
    page_size=st.integers(1, 5),
)
async def test_it_is_what_the_server_has_but_for_what_went_further_down(
    old: int, new: int, gone: set[int], page_size: int
) -> None:
    """All that is there is there in order, each once; pages that were read hold nothing else."""
    known = list(range(old, 0, -1))
    server = Collection.of(
        *(n for n in range(old + new, 0, -1) if n not in gone), page_size=page_size
    )
    there = [entry.id for entry in server.entries]
    async with trio.open_nursery() as nursery:
        listing = _listing(nursery, server, *known)
        found = list(await listing.upto(99))
    read = len(server.asked) * page_size
    assert found[:read] == there[:read] or found[: len(there)] == there
    assert [name for name in found if name in there] == there
    assert len(set(found)) == len(found)
    assert set(found) - set(there) <= {uuid(number) for number in gone}


async def test_a_listing_of_nothing_but_empty_pages_ends(nursery: trio.Nursery) -> None:
    """With an error: it does not get on, and is not short."""
    asked = 0

    async def fetch(_token: str) -> Page:
        nonlocal asked
        asked += 1
        await trio.lowlevel.checkpoint()
        return Page((), str(asked))

    listing = Listing(nursery, fetch, name="x")
    for most in (1001, 1002):
        with pytest.raises(BadReply, match="does not get on"):
            await listing.upto(1)
        assert asked == most
    assert listing.dump() is None


async def test_pages_are_fetched_ahead_of_a_reader_who_goes_on(nursery: trio.Nursery) -> None:
    """As far as it has come itself, and a page at least."""
    server = Collection.of(*range(100), page_size=10)
    listing = _listing(nursery, server)
    for wanted, ahead in [(1, 1), (10, 2), (11, 3), (30, 6), (60, 10)]:
        await listing.upto(wanted)
        await wait_all_tasks_blocked()
        assert len(server.asked) == ahead
    assert listing.complete


async def test_a_page_ahead_that_fails_is_left_to_who_asks_for_it(nursery: trio.Nursery) -> None:
    """A defect, too: it ends no background."""
    for error in (BadReply("no"), ZeroDivisionError()):
        server = Collection.of(*range(6))
        server.error, server.fails_at = error, "4"
        listing = _listing(nursery, server)
        assert len(await listing.upto(2)) == 2
        await wait_all_tasks_blocked()
        with pytest.raises(type(error)):
            await listing.upto(3)
        server.error = None
        assert len(await listing.upto(99)) == 6


async def test_a_page_that_comes_after_its_reader_has_left_is_no_repetition(
    nursery: trio.Nursery,
) -> None:
    """The next reader asks for the same page: it may come twice, and counts once."""
    server = Collection.of(*range(6))
    server.go, server.shielded = trio.Event(), True
    listing = _listing(nursery, server)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as readers:
            readers.start_soon(listing.upto, 1)
            await wait_all_tasks_blocked()
            scope.cancel()
    async with trio.open_nursery() as readers:
        readers.start_soon(listing.upto, 99)
        await wait_all_tasks_blocked()
        server.go.set()
    assert listing.ids == uuids(*range(6))


async def test_an_open_listing_is_a_stable_snapshot(nursery: trio.Nursery) -> None:
    """What has been listed stays in its place, whatever comes."""
    server = Collection.of(*range(10, 0, -1))
    listing = _listing(nursery, server)
    seen = list(await listing.upto(4))
    server.set(12, 11, *range(8, 0, -1))
    assert (await listing.upto(99))[: len(seen)] == seen
    assert listing.ids == uuids(*range(10, 6, -1), *range(6, 0, -1))
