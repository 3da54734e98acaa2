"""A listing that is read page by page."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from attachfs.archive.models import Listed, Page
from attachfs.catalog.listing import Listing
from attachfs.errors import BadReply, Unreachable


def _entry(number: int) -> Listed:
    return Listed(f"{number:08d}-0000-4000-8000-000000000000", b"{}")


def _ids(*numbers: int) -> list[str]:
    return [_entry(number).id for number in numbers]


class _Server:
    """Answer with pages by their token, and remember what was asked and learnt."""

    def __init__(self, pages: dict[str, tuple[list[int], str]]) -> None:
        self.pages = pages
        self.asked: list[str] = []
        self.learnt: list[str] = []
        self.failures: list[Exception] = []
        self.go = trio.Event()
        self.go.set()
        self.skipped = 0

    async def fetch(self, token: str) -> Page:
        self.asked.append(token)
        await self.go.wait()
        await trio.lowlevel.checkpoint()
        if self.failures:
            raise self.failures.pop(0)
        numbers, following = self.pages[token]
        self.learnt += _ids(*numbers)
        return Page(tuple(map(_entry, numbers)), following, self.skipped)

    def listing(self, nursery: trio.Nursery) -> Listing:
        return Listing(nursery, self.fetch, name="x")


@pytest.fixture
def server() -> _Server:
    """Three pages of two entries."""
    return _Server({"": ([1, 2], "a"), "a": ([3, 4], "b"), "b": ([5, 6], "")})


async def test_a_page_is_asked_for_when_its_entries_are(
    nursery: trio.Nursery, server: _Server
) -> None:
    """No further than somebody wants to know, and no page twice."""
    listing = server.listing(nursery)
    assert server.asked == []
    for wanted, asked in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (7, 3), (99, 3)]:
        await listing.upto(wanted)
        assert len(server.asked) == asked
    assert await listing.upto(99) == _ids(1, 2, 3, 4, 5, 6)
    assert server.learnt == _ids(1, 2, 3, 4, 5, 6)


async def test_an_empty_listing_ends_at_once(nursery: trio.Nursery) -> None:
    """One request says that there is nothing."""
    server = _Server({"": ([], "")})
    listing = server.listing(nursery)
    assert await listing.upto(1) == []
    assert await listing.upto(1) == []
    assert server.asked == [""]


async def test_empty_pages_on_the_way_are_passed(nursery: trio.Nursery) -> None:
    """A page may be empty because of what its reader may not see; the listing goes on."""
    server = _Server({"": ([], "a"), "a": ([], "b"), "b": ([1], "c"), "c": ([], "")})
    assert await server.listing(nursery).upto(2) == _ids(1)
    assert server.asked == ["", "a", "b", "c"]


async def test_what_comes_twice_is_listed_once(nursery: trio.Nursery) -> None:
    """Something new moves all others back by one while a listing is under way."""
    server = _Server({"": ([1, 2], "a"), "a": ([2, 3, 3], "")})
    assert await server.listing(nursery).upto(9) == _ids(1, 2, 3)
    assert server.learnt == _ids(1, 2, 2, 3, 3)


@pytest.mark.parametrize(
    "pages",
    [
        {"": ([1], "a"), "a": ([2], "a")},
        {"": ([1], "a"), "a": ([2], "b"), "b": ([3], "a")},
        {"": ([], "a"), "a": ([], "a")},
    ],
)
async def test_a_listing_that_goes_in_circles_is_an_error(
    nursery: trio.Nursery, pages: dict[str, tuple[list[int], str]]
) -> None:
    """A token that comes back would be followed for ever."""
    server = _Server(pages)
    with pytest.raises(BadReply, match="repeats"):
        await server.listing(nursery).upto(99)
    assert len(server.asked) <= 3


async def test_a_listing_that_fails_half_way_is_an_error_and_goes_on_from_there(
    nursery: trio.Nursery, server: _Server
) -> None:
    """It is never taken for a short one; what was known stays known."""
    listing = server.listing(nursery)
    await listing.upto(2)
    server.failures = [Unreachable("down"), Unreachable("still down")]
    for _ in range(2):
        with pytest.raises(Unreachable):
            await listing.upto(3)
    assert await listing.upto(99) == _ids(1, 2, 3, 4, 5, 6)
    assert server.asked == ["", "a", "a", "a", "b"]


async def test_readers_at_once_share_each_page(nursery: trio.Nursery, server: _Server) -> None:
    """However many there are and wherever they stand."""
    listing, got = server.listing(nursery), list[list[str]]()

    async def read(count: int) -> None:
        got.append(list(await listing.upto(count))[:count])

    server.go = trio.Event()
    async with trio.open_nursery() as readers:
        for count in (1, 2, 3, 6, 6, 99):
            readers.start_soon(read, count)
        await wait_all_tasks_blocked()
        assert server.asked == [""]
        server.go.set()
    assert sorted(map(len, got)) == [1, 2, 3, 6, 6, 6]
    assert server.asked == ["", "a", "b"]


async def test_a_reader_who_leaves_does_not_stop_the_others(
    nursery: trio.Nursery, server: _Server
) -> None:
    """And if it was the only one, the next starts the page anew."""
    listing = server.listing(nursery)
    server.go = trio.Event()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as readers:
            readers.start_soon(listing.upto, 1)
            await wait_all_tasks_blocked()
            scope.cancel()
    server.go.set()
    assert await listing.upto(1) == _ids(1, 2)
    assert server.asked == ["", ""]


async def test_entries_left_out_are_told_in_the_log(
    nursery: trio.Nursery,
    server: _Server,
    expected_warnings: set[str],
    quiet_log: list[dict[str, object]],
) -> None:
    """A listing with garbage in it is still one, but not in silence."""
    expected_warnings.add("left out")
    server.skipped = 3
    await server.listing(nursery).upto(2)
    assert [(event["listing"], event["count"]) for event in quiet_log] == [("x", 3)]


@given(
    pages=st.lists(st.lists(st.integers(0, 20), max_size=4), min_size=1, max_size=6),
    wanted=st.lists(st.integers(0, 30), max_size=5),
)
async def test_any_paging_gives_the_same_entries(pages: list[list[int]], wanted: list[int]) -> None:
    """However entries are cut into pages and asked for, they come in order, each once."""
    tokens = ["", *(f"t{number}" for number in range(1, len(pages))), ""]
    server = _Server({tokens[i]: (page, tokens[i + 1]) for i, page in enumerate(pages)})
    expected = _ids(*dict.fromkeys(number for page in pages for number in page))
    async with trio.open_nursery() as nursery:
        listing = server.listing(nursery)
        for count in wanted:
            known = await listing.upto(count)
            assert len(known) >= min(count, len(expected))
            assert known == expected[: len(known)]
        assert await listing.upto(999) == expected
    assert len(server.asked) == len(pages)
