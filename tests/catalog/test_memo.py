"""Answers remembered for a while, refusals for a shorter one."""

from math import inf

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from attachfs.archive.models import LARGE_ANSWER_BYTES
from attachfs.catalog.clock import Clock
from attachfs.catalog.memo import Codec, Memo
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
from tests.catalog.bases import NEGATIVE_TTL_S, TEXT, Source, basis


@pytest.fixture
async def clock() -> Clock:
    """The clock of the memo: two differ by the time between their starts."""
    return Clock()


@pytest.fixture
def memo(nursery: trio.Nursery, clock: Clock) -> Memo[str, str]:
    """A memo that remembers refusals for five seconds, and serves nothing that is too old."""
    return Memo(basis(nursery, clock=clock), TEXT, max_entries=100)


async def test_an_answer_is_asked_for_once_within_its_lifetime(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """It is renewed when it is as old as it may be, and no sooner."""
    source = Source()
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
    source = Source()
    await memo.get("key", source, max_age_s=60)
    autojump_clock.jump(30)
    assert await memo.get("key", source, max_age_s=lambda value: len(value) * 10.0) == "value 1"
    assert await memo.get("key", source, max_age_s=10) == "value 2"
    assert await memo.get("key", source, max_age_s=0) == "value 3"


async def test_many_callers_ask_once(memo: Memo[str, str]) -> None:
    """One fetch serves all who come while it is under way."""
    source, got = Source(), list[str]()

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
    source = Source()
    source.error = kind("no")
    for _ in range(3):
        with pytest.raises(kind):
            await memo.get("key", source, max_age_s=60)
    assert source.asked == 1
    autojump_clock.jump(NEGATIVE_TTL_S)
    source.error = None
    assert await memo.get("key", source, max_age_s=60) == "value 1"
    assert await memo.get("key", source, max_age_s=60) == "value 1"


@pytest.mark.parametrize("kind", [Unreachable, TimedOut, Busy, BadReply, ServerFault, ValueError])
async def test_other_failures_are_not_remembered(
    memo: Memo[str, str], kind: type[Exception]
) -> None:
    """Trouble may be over by the next question, and takes no answer away."""
    source = Source()
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
    source = Source()
    await memo.get("key", source, max_age_s=60)
    source.error = Denied("no more")
    with pytest.raises(Denied):
        await memo.get("key", source, max_age_s=0)
    assert memo.peek("key") is None
    with pytest.raises(Denied):
        await memo.get("key", source, max_age_s=60)


async def test_an_answer_that_comes_by_another_way_ends_a_refusal(
    memo: Memo[str, str], clock: Clock
) -> None:
    """A listing that names something proves that it is there."""
    source = Source()
    source.error = NotFound("no")
    with pytest.raises(NotFound):
        await memo.get("key", source, max_age_s=60)
    assert memo.put("key", "listed", clock.now_s()) == "listed"
    assert await memo.get("key", source, max_age_s=60) == "listed"
    assert source.asked == 1


async def test_a_remembered_refusal_does_not_grow(memo: Memo[str, str]) -> None:
    """The same error raised a thousand times holds no thousand frames."""
    source = Source()
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


async def test_an_answer_that_says_nothing_new_is_the_one_that_was(
    nursery: trio.Nursery, clock: Clock
) -> None:
    """What is equal keeps its bytes; its age starts anew."""
    changes: list[tuple[str, str | None]] = []
    memo: Memo[str, str] = Memo(
        basis(nursery, clock=clock),
        Codec(TEXT.pack, TEXT.dump, TEXT.load, lambda old, new: sorted(old) == sorted(new)),
        max_entries=10,
        on_change=lambda _key, old, new: changes.append((old, new)),
    )
    now_s = clock.now_s()
    first, shuffled, other = "one two", "two one", "three"
    assert memo.put("key", first, now_s) is first
    assert memo.put("key", shuffled, now_s) is first

    async def fetch(value: str) -> str:
        await trio.lowlevel.checkpoint()
        return value

    assert await memo.get("key", lambda: fetch(shuffled), max_age_s=0) is first
    assert changes == []
    assert await memo.get("key", lambda: fetch(other), max_age_s=0) is other
    assert memo.peek("key") is other
    assert changes == [(first, other)]
    memo.forget("key")
    assert changes == [(first, other), (other, None)]


async def test_few_are_held_in_memory_and_all_in_the_index(
    nursery: trio.Nursery, clock: Clock
) -> None:
    """A memo is bounded, refusals included; what it lets go of is read again."""
    memo: Memo[str, str] = Memo(basis(nursery, clock=clock), TEXT, max_entries=3)
    for key in map(str, range(9)):
        memo.put(key, key, clock.now_s())
    assert len(memo._parsed) == 3
    assert [memo.peek(str(key)) for key in range(10)] == [*map(str, range(9)), None]

    async def refuse() -> str:
        await trio.lowlevel.checkpoint()
        raise NotFound("no")

    for key in map(str, range(10, 20)):
        with pytest.raises(NotFound):
            await memo.get(key, refuse, max_age_s=60)
    assert len(memo._refusals) == 3


async def test_a_forgotten_answer_is_asked_for_again(memo: Memo[str, str]) -> None:
    """And forgetting what is not there does nothing."""
    source = Source()
    await memo.get("key", source, max_age_s=60)
    memo.forget("key")
    memo.forget("other")
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


async def test_what_takes_long_to_parse_is_parsed_once_and_not_kept_in_the_index(
    nursery: trio.Nursery, clock: Clock
) -> None:
    """The event loop would stand still while it is read back; an index of others may hold some."""
    loaded: list[int] = []

    def load(_key: str, data: bytes) -> str:
        loaded.append(len(data))
        return data.decode()

    shared = basis(nursery, clock=clock)
    codec = Codec(pack=str.encode, dump=str.encode, load=load, same=lambda old, new: old == new)
    memo: Memo[str, str] = Memo(shared, codec, max_entries=1)
    large = "x" * (LARGE_ANSWER_BYTES + 1)
    memo.put("large", large, clock.now_s())
    assert memo.peek("large") == large
    memo.put("other", "small", clock.now_s())  # for which the large one makes room
    assert memo.peek("large") is None
    shared.index.put(b"large", large.encode(), clock.now_s())
    assert memo.peek("large") is None
    memo.update(memo.compare([("other", large.encode())]), clock.now_s())
    assert memo.peek("other") is None
    assert max(loaded, default=0) <= LARGE_ANSWER_BYTES


async def test_more_marks_to_ask_again_than_there_is_room_for_are_heeded(
    nursery: trio.Nursery, clock: Clock, autojump_clock: MockClock
) -> None:
    """What the oldest said, everything of that time is asked for again."""
    memo = Memo(basis(nursery, clock=clock), TEXT, max_entries=3)
    sources = {key: Source() for key in "abcdefgh"}
    for key, source in sources.items():
        await memo.get(key, source, max_age_s=60)
    autojump_clock.jump(1)
    for key in sources:
        memo.expire(key)
    for key, source in sources.items():
        assert await memo.get(key, source, max_age_s=60) == "value 2", key


async def test_until_when_an_answer_is_believed_is_told(
    memo: Memo[str, str], clock: Clock, autojump_clock: MockClock
) -> None:
    """Of what is not known, or is to be asked for again, it is not."""
    assert memo.until_s("key", 60) == -inf
    asked_s = clock.now_s()
    await memo.get("key", Source(), max_age_s=60)
    assert memo.until_s("key", 60) == pytest.approx(asked_s + 60)
    autojump_clock.jump(1)
    memo.expire("key")
    assert memo.until_s("key", 60) == -inf


async def test_each_change_of_what_is_known_is_another_revision(
    nursery: trio.Nursery, clock: Clock
) -> None:
    """What is learnt for the first time, or says nothing new, is none."""
    ground = basis(nursery, clock=clock)
    memo = Memo(ground, TEXT, max_entries=3)
    seen = [ground.revision.number]

    def changed() -> bool:
        seen.append(ground.revision.number)
        return seen[-1] != seen[-2]

    memo.put("key", "value", 1.0)
    assert not changed()
    memo.put("key", "value", 2.0)
    assert not changed()
    memo.put("key", "other", 3.0)
    assert changed()
    memo.expire("key")
    assert changed()
    memo.expire_all()
    assert changed()
    memo.forget("key")
    assert changed()
    memo.forget("key")
    assert not changed()
