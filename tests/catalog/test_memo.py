"""Answers remembered for a while, refusals for a shorter one."""

from itertools import count

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from attachfs.catalog.memo import Memo
from attachfs.errors import (
    AttachfsError,
    BadReply,
    BlockedByScan,
    Busy,
    Denied,
    NotFound,
    ServerFault,
    TimedOut,
    Unauthenticated,
    Unreachable,
)

_NEGATIVE_TTL_S = 5.0


@pytest.fixture
def memo(nursery: trio.Nursery) -> Memo[str, str]:
    """A memo that remembers refusals for five seconds."""
    return Memo(nursery, negative_ttl_s=_NEGATIVE_TTL_S, max_entries=100)


class _Source:
    """Answer with a new value each time, or fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self._numbers = count(1)

    async def __call__(self) -> str:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return f"value {next(self._numbers)}"


async def test_an_answer_is_asked_for_once_within_its_lifetime(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """It is renewed when it is as old as it may be, and no sooner."""
    source = _Source()
    assert await memo.get("key", source, max_age_s=60) == "value 1"
    autojump_clock.jump(59.9)
    assert await memo.get("key", source, max_age_s=60) == "value 1"
    autojump_clock.jump(0.1)
    assert await memo.get("key", source, max_age_s=60) == "value 2"
    assert source.asked == 2


async def test_each_caller_says_how_old_an_answer_may_be(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """The lifetime may depend on the answer; 0 always asks."""
    source = _Source()
    await memo.get("key", source, max_age_s=60)
    autojump_clock.jump(30)
    assert await memo.get("key", source, max_age_s=lambda value: len(value) * 10.0) == "value 1"
    assert await memo.get("key", source, max_age_s=10) == "value 2"
    assert await memo.get("key", source, max_age_s=0) == "value 3"


async def test_many_callers_ask_once(memo: Memo[str, str]) -> None:
    """One fetch serves all who come while it is under way."""
    source, got = _Source(), list[str]()

    async def ask() -> None:
        got.append(await memo.get("key", source, max_age_s=60))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask)
    assert (got, source.asked) == (["value 1"] * 10, 1)


@pytest.mark.parametrize("kind", [NotFound, Denied, Unauthenticated, BlockedByScan])
async def test_a_refusal_is_remembered_for_the_negative_lifetime(
    memo: Memo[str, str], autojump_clock: MockClock, kind: type[AttachfsError]
) -> None:
    """Within it nobody is asked; after it the answer may have changed."""
    source = _Source()
    source.error = kind("no")
    for _ in range(3):
        with pytest.raises(kind):
            await memo.get("key", source, max_age_s=60)
    assert source.asked == 1
    autojump_clock.jump(_NEGATIVE_TTL_S)
    source.error = None
    assert await memo.get("key", source, max_age_s=60) == "value 1"
    assert await memo.get("key", source, max_age_s=60) == "value 1"


@pytest.mark.parametrize("kind", [Unreachable, TimedOut, Busy, BadReply, ServerFault, ValueError])
async def test_other_failures_are_not_remembered(
    memo: Memo[str, str], kind: type[Exception]
) -> None:
    """Trouble may be over by the next question, and takes no answer away."""
    source = _Source()
    await memo.get("key", source, max_age_s=60)
    source.error = kind("trouble")
    for _ in range(3):
        with pytest.raises(kind):
            await memo.get("key", source, max_age_s=0)
    assert source.asked == 4
    assert memo.peek("key") == "value 1"
    assert await memo.get("key", source, max_age_s=60) == "value 1"


async def test_a_refusal_takes_the_answer_away(memo: Memo[str, str]) -> None:
    """What may no longer be seen is forgotten, however fresh it was."""
    source = _Source()
    await memo.get("key", source, max_age_s=60)
    source.error = Denied("no more")
    with pytest.raises(Denied):
        await memo.get("key", source, max_age_s=0)
    assert memo.peek("key") is None
    with pytest.raises(Denied):
        await memo.get("key", source, max_age_s=60)


async def test_an_answer_that_comes_by_another_way_ends_a_refusal(memo: Memo[str, str]) -> None:
    """A listing that names something proves that it is there."""
    source = _Source()
    source.error = NotFound("no")
    with pytest.raises(NotFound):
        await memo.get("key", source, max_age_s=60)
    assert memo.put("key", "listed") == "listed"
    assert await memo.get("key", source, max_age_s=60) == "listed"
    assert source.asked == 1


async def test_a_remembered_refusal_does_not_grow(memo: Memo[str, str]) -> None:
    """The same error raised a thousand times holds no thousand frames."""
    source = _Source()
    source.error = NotFound("no")
    depths = []
    for _ in range(5):
        with pytest.raises(NotFound) as caught:
            await memo.get("key", source, max_age_s=60)
        traceback, depth = caught.value.__traceback__, 0
        while traceback is not None:
            traceback, depth = traceback.tb_next, depth + 1
        depths.append(depth)
    assert len(set(depths[1:])) == 1


async def test_a_renewed_answer_is_merged_with_the_old_one(nursery: trio.Nursery) -> None:
    """What the two have in common is kept as it was; its age starts anew."""
    memo: Memo[str, list[int]] = Memo(
        nursery,
        negative_ttl_s=5,
        max_entries=10,
        merge=lambda old, new: old if sorted(old) == sorted(new) else new,
    )
    first, shuffled, other = [1, 2], [2, 1], [3]
    assert memo.put("key", first) is first
    assert memo.put("key", shuffled) is first

    async def fetch(value: list[int]) -> list[int]:
        await trio.lowlevel.checkpoint()
        return value

    assert await memo.get("key", lambda: fetch(shuffled), max_age_s=0) is first
    assert await memo.get("key", lambda: fetch(other), max_age_s=0) is other
    assert memo.peek("key") is other


async def test_the_least_recently_used_is_forgotten_first(nursery: trio.Nursery) -> None:
    """A memo is bounded, refusals included."""
    memo: Memo[int, int] = Memo(nursery, negative_ttl_s=5, max_entries=3)
    for key in range(3):
        memo.put(key, key)
    assert memo.peek(0) == 0
    memo.put(3, 3)
    assert [memo.peek(key) for key in range(4)] == [0, None, 2, 3]

    async def refuse() -> int:
        await trio.lowlevel.checkpoint()
        raise NotFound("no")

    for key in range(10, 20):
        with pytest.raises(NotFound):
            await memo.get(key, refuse, max_age_s=60)
    assert len(memo._refusals) == 3


async def test_a_dropped_answer_is_asked_for_again(memo: Memo[str, str]) -> None:
    """And dropping what is not there does nothing."""
    source = _Source()
    await memo.get("key", source, max_age_s=60)
    memo.drop("key")
    memo.drop("other")
    assert await memo.get("key", source, max_age_s=60) == "value 2"


async def test_a_cancelled_caller_does_not_take_the_answer_from_others(
    memo: Memo[str, str],
) -> None:
    """The fetch goes on for those who still wait, and its answer is kept."""
    go, got = trio.Event(), list[str]()

    async def fetch() -> str:
        await go.wait()
        return "value"

    async def ask() -> None:
        got.append(await memo.get("key", fetch, max_age_s=60))

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as impatient:
                impatient.start_soon(ask)
                await wait_all_tasks_blocked()
                nursery.start_soon(ask)
                await wait_all_tasks_blocked()
                scope.cancel()
        go.set()
    assert got == ["value"]
    assert memo.peek("key") == "value"
