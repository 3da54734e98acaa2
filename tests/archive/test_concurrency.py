"""How many requests are under way, and who waits."""

from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from attachfs.archive import endpoints
from attachfs.archive.concurrency import MAX_CONCURRENT, ConcurrencyLimiter
from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.identities import Holder
from attachfs.errors import Busy
from tests.catalog.collections import uuid
from tests.support.archives import PATH, said, scripted

_FIRST = 32


def _size(limiter: ConcurrencyLimiter) -> int:
    return limiter.slots.total


def _round(limiter: ConcurrencyLimiter, elapsed_s: float = 0.01) -> int:
    """Have as many answers as there may be requests under way; return how many there may be now."""
    for _ in range(_size(limiter)):
        limiter.answered(elapsed_s)
    return _size(limiter)


async def test_ready_answers_let_it_grow_to_its_bound() -> None:
    """Twice as many a round; where answers come at once, 64 keep all busy."""
    for elapsed_s, rounds in ((0.009, (64, 64)), (0.05, (64, 128, 256, 256))):
        limiter = ConcurrencyLimiter()
        assert _size(limiter) == _FIRST
        assert [_round(limiter, elapsed_s) for _ in rounds] == list(rounds)


async def test_a_refusal_halves_it_and_it_grows_slowly_from_there(
    autojump_clock: MockClock,
) -> None:
    """One more a round, from where the server was overtaxed on."""
    limiter = ConcurrencyLimiter()
    limiter.refused(Busy("slow down"), longest_wait_s=30)
    assert _size(limiter) == _FIRST // 2
    for _ in range(10):
        _round(limiter)
    assert 24 <= _size(limiter) <= 26
    autojump_clock.jump(1)
    limiter.refused(Busy("slow down"), longest_wait_s=30)
    assert 12 <= _size(limiter) <= 13


async def test_a_burst_of_refusals_is_one_reason_to_slow_down(autojump_clock: MockClock) -> None:
    """All that were under way are refused at once; a second later it is another."""
    limiter = ConcurrencyLimiter()
    for _ in range(_FIRST):
        limiter.refused(Busy("slow down"), longest_wait_s=30)
    assert _size(limiter) == _FIRST // 2
    for expected in (8, 4, 2, 1, 1, 1):
        autojump_clock.jump(1)
        limiter.refused(Busy("slow down"), longest_wait_s=30)
        assert _size(limiter) == expected


@pytest.mark.parametrize(
    ("quickest_s", "elapsed_s", "slow"),
    [(0.01, 0.4, False), (0.01, 0.6, True), (0.3, 1.1, False), (0.3, 1.3, True), (5, 5, False)],
)
async def test_an_answer_is_slow_beside_the_quickest(
    quickest_s: float, elapsed_s: float, *, slow: bool
) -> None:
    """Half a second is nothing where the line alone takes as long."""
    limiter = ConcurrencyLimiter()
    limiter.answered(quickest_s)
    before = _size(limiter)
    limiter.answered(elapsed_s)
    assert (_size(limiter) < before) is slow


async def test_slow_answers_of_one_round_are_one_reason_to_slow_down(
    autojump_clock: MockClock,
) -> None:
    """They had been asked for before it was halved; those asked for since are another."""
    limiter = ConcurrencyLimiter()
    limiter.answered(0.01)
    before = _size(limiter)
    autojump_clock.jump(5)
    for _ in range(before):
        limiter.answered(5.0)
        autojump_clock.jump(0.1)
    assert _size(limiter) == before // 2
    autojump_clock.jump(5)
    for _ in range(before):
        limiter.answered(3.0)
    assert _size(limiter) == before // 4


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["answered", "refused"]), st.floats(0, 100)), max_size=60
    )
)
async def test_it_stays_within_its_bounds(steps: list[tuple[str, float]]) -> None:
    """One at least, 256 at most, whatever the server does."""
    limiter = ConcurrencyLimiter()
    for step, seconds in steps:
        limiter._shrunk_s = float("-inf")
        if step == "answered":
            limiter.answered(seconds)
        else:
            limiter.refused(Busy("slow down", retry_after_s=seconds), longest_wait_s=30)
        assert 1 <= _size(limiter) <= MAX_CONCURRENT


@pytest.mark.parametrize(("retry_after_s", "waits_s"), [(None, 0), (5, 5), (29, 29), (30, 0)])
async def test_a_wait_that_the_server_asked_for_is_everybodys(
    autojump_clock: MockClock, retry_after_s: float | None, waits_s: float
) -> None:
    """Longer ones than anybody would wait are left to each."""
    limiter = ConcurrencyLimiter()
    limiter.refused(Busy("slow down", retry_after_s=retry_after_s), longest_wait_s=30)
    await limiter.resumed()
    assert autojump_clock.current_time() == waits_s


async def test_a_wait_that_grows_is_waited_for_to_its_end(autojump_clock: MockClock) -> None:
    """And one that would end sooner does not cut it short."""
    limiter = ConcurrencyLimiter()
    limiter.refused(Busy("slow down", retry_after_s=2), longest_wait_s=30)

    async def more() -> None:
        await trio.sleep(1)
        limiter.refused(Busy("slow down", retry_after_s=9), longest_wait_s=30)
        limiter.refused(Busy("slow down", retry_after_s=1), longest_wait_s=30)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(more)
        await limiter.resumed()
        assert autojump_clock.current_time() == 10


async def test_who_waits_for_a_turn_waits_for_the_server_too(autojump_clock: MockClock) -> None:
    """A hundred that had queued up before a refusal are not sent before its time is over."""
    sent_s: list[float] = []
    holders = [Holder(uuid(number)) for number in range(100)]

    async def answer(request: object) -> object:
        sent_s.append(autojump_clock.current_time())
        refused = len(sent_s) == 1
        await trio.sleep(0.1)
        asset = str(getattr(request, "url", "")).rpartition("/")[2]
        record = {"identity": f"assets/{asset}", "attributes": {}}
        return said(429, **{"retry-after": "5"}) if refused else said(200, record)

    async with scripted(answer) as archive, trio.open_nursery() as calls:
        for holder in holders:
            calls.start_soon(archive.ask, endpoints.record(holder))
    assert len(sent_s) == 101
    assert [at_s for at_s in sent_s if 0.1 < at_s < 5] == []


async def test_no_more_are_under_way_than_the_server_answers_readily(
    autojump_clock: MockClock,
) -> None:
    """And never more than there may be, however many want something."""
    most = running = 0

    async def answer(request: object) -> object:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await trio.sleep(0.1)
        running -= 1
        asset = str(getattr(request, "url", "")).rpartition("/")[2]
        return said(200, {"identity": f"assets/{asset}", "attributes": {}})

    async with scripted(answer) as archive, trio.open_nursery() as calls:
        for number in range(1000):
            calls.start_soon(archive.ask, endpoints.record(Holder(uuid(number))))
    assert most == MAX_CONCURRENT
    assert autojump_clock.current_time() < 1.0


async def test_a_refused_download_has_all_others_wait(autojump_clock: MockClock) -> None:
    """The limit is of requests of whatever kind."""
    sent_s: list[float] = []

    def answer(_: object) -> object:
        sent_s.append(autojump_clock.current_time())
        if len(sent_s) == 1:
            return said(429, **{"retry-after": "5"})
        return said(200, {"identity": f"assets/{uuid(1)}", "attributes": {}})

    download = endpoints.download(PATH, ScanPolicy.BLOCK_BAD)
    async with scripted(answer) as archive, trio.open_nursery() as calls:
        take = partial(archive.take, download, max_bytes=999, check_announced=lambda _: None)
        calls.start_soon(take)
        await wait_all_tasks_blocked()
        await archive.ask(endpoints.record(Holder(uuid(1))))
        assert autojump_clock.current_time() >= 5
    assert len(sent_s) == 3


async def test_a_refusal_is_told_once_and_heeded_untold(autojump_clock: MockClock) -> None:
    """Others are told of what makes a difference; what they tell goes no further."""
    limiter = ConcurrencyLimiter(8)
    told: list[float | None] = []
    limiter.on_refused = lambda error: told.append(error.retry_after_s)
    for retry_after_s in (None, None, 2, 2.05, 9):
        limiter.refused(Busy("slow down", retry_after_s=retry_after_s), longest_wait_s=30)
    assert told == [None, 2, 9]
    assert limiter.slots.total == 4
    await trio.sleep(20)
    assert limiter.heed(Busy("slow down", retry_after_s=3), longest_wait_s=30)
    await limiter.resumed()
    assert autojump_clock.current_time() == 23
    assert told == [None, 2, 9]
