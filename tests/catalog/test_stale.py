"""What is too old and cannot be renewed: who is served it, for how long, and who waits."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from attachfs.catalog.memo import Memo
from attachfs.errors import (
    AttachfsError,
    BadReply,
    Busy,
    Closing,
    Denied,
    NotFound,
    ServerFault,
    TimedOut,
    Unauthenticated,
    Unreachable,
)
from tests.catalog.bases import TEXT, Source, basis

_TTL_S = 60.0
_STALE_OK_S = 100.0
_REFUSALS = [NotFound, Denied, Unauthenticated]


@pytest.fixture
def memo(nursery: trio.Nursery) -> Memo[str, str]:
    """A memo that serves what is too old for another hundred seconds."""
    return Memo(basis(nursery, stale_ok_s=_STALE_OK_S), TEXT, max_entries=100)


async def _old(memo: Memo[str, str], clock: MockClock, age_s: float = _TTL_S) -> Source:
    """Return a source whose only answer so far, `value 1`, is of that age."""
    source = Source()
    assert await memo.get("key", source, max_age_s=_TTL_S) == "value 1"
    clock.jump(age_s)
    return source


async def _get(memo: Memo[str, str], source: Source, *, strict: bool = False) -> tuple[str, float]:
    """Return an answer and how long it took."""
    began_s = trio.current_time()
    value = await memo.get("key", source, max_age_s=_TTL_S, strict=strict)
    return value, trio.current_time() - began_s


@pytest.mark.parametrize("kind", [Unreachable, TimedOut, ServerFault, Busy])
async def test_what_is_known_is_served_where_the_server_cannot_be_asked_and_no_longer(
    memo: Memo[str, str], autojump_clock: MockClock, kind: type[AttachfsError]
) -> None:
    """Until it is `stale_ok_s` too old; from then on the trouble is told."""
    source = await _old(memo, autojump_clock)
    source.error = kind("trouble")
    assert await _get(memo, source) == ("value 1", 0)
    assert source.asked == 2
    autojump_clock.jump(_STALE_OK_S - 0.001)
    assert await _get(memo, source) == ("value 1", 0)
    autojump_clock.jump(0.001)
    for _ in range(2):
        with pytest.raises(kind):
            await _get(memo, source)
    assert memo.peek("key") == "value 1"


@pytest.mark.parametrize("kind", [*_REFUSALS, BadReply, ValueError])
@pytest.mark.parametrize("strict", [True, False])
async def test_an_answer_that_is_a_refusal_or_garbage_is_not_covered_up(
    memo: Memo[str, str], autojump_clock: MockClock, kind: type[Exception], *, strict: bool
) -> None:
    """The server could be asked, and what it said counts."""
    source = await _old(memo, autojump_clock)
    source.error = kind("no")
    with pytest.raises(kind):
        await _get(memo, source, strict=strict)
    assert (memo.peek("key") is None) is (kind in _REFUSALS)


async def test_who_waited_a_second_is_served_and_the_answer_remembered(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """It comes behind the reader, who never waits for it again."""
    source = await _old(memo, autojump_clock)
    source.delay_s = 3
    assert await _get(memo, source) == ("value 1", 1)
    await trio.sleep(2)
    await wait_all_tasks_blocked()
    assert (memo.peek("key"), source.asked, source.cancelled) == ("value 2", 2, 0)
    assert await _get(memo, source) == ("value 2", 0)


async def test_an_answer_within_a_second_is_waited_for(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """An old entry is asked for again first."""
    source = await _old(memo, autojump_clock)
    source.delay_s = 0.9
    value, elapsed_s = await _get(memo, source)
    assert (value, elapsed_s < 1) == ("value 2", True)


async def test_nobody_waits_for_a_server_that_was_slow_a_moment_ago(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """Every other answer would cost a second; after five the next one tries."""
    source = await _old(memo, autojump_clock)
    source.delay_s = 1000
    assert await _get(memo, source) == ("value 1", 1)
    assert await _get(memo, source) == ("value 1", 0)
    await trio.sleep(5)
    assert await _get(memo, source) == ("value 1", 1)
    assert source.asked == 2


async def test_within_five_seconds_of_a_failure_no_reader_waits(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """What each wants is asked for behind it, and the first answer ends the trouble."""
    source = await _old(memo, autojump_clock)
    source.error = Unreachable("away")
    assert await _get(memo, source) == ("value 1", 0)
    source.error, source.delay_s = None, 0.5
    assert await _get(memo, source) == ("value 1", 0)
    await trio.sleep(0.5)
    await wait_all_tasks_blocked()
    assert await _get(memo, source) == ("value 2", 0)
    assert source.asked == 3


async def test_a_late_refusal_takes_the_answer_away(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """Whoever was served what is known had no right any more; the next one is told."""
    source = await _old(memo, autojump_clock)
    source.delay_s, source.error = 2, Denied("no more")
    assert await _get(memo, source) == ("value 1", 1)
    await trio.sleep(2)
    await wait_all_tasks_blocked()
    assert memo.peek("key") is None
    with pytest.raises(Denied):
        await _get(memo, source)


async def test_a_confirmation_is_waited_for(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """A slow server extends no right, not even where it was slow a moment ago."""
    source = await _old(memo, autojump_clock)
    source.delay_s = 20
    assert await _get(memo, source) == ("value 1", 1)
    value, _ = await _get(memo, source, strict=True)
    assert value == "value 2"
    autojump_clock.jump(_TTL_S)
    assert await _get(memo, source, strict=True) == ("value 3", 20)


@pytest.mark.parametrize(
    ("kind", "forgiven"),
    [(Unreachable, True), (TimedOut, True), (ServerFault, False), (Busy, False)],
)
async def test_only_a_server_out_of_reach_confirms_by_what_is_known(
    memo: Memo[str, str], autojump_clock: MockClock, kind: type[AttachfsError], *, forgiven: bool
) -> None:
    """A server that answers with errors says nothing of a right, and extends none."""
    source = await _old(memo, autojump_clock)
    source.error = kind("trouble")
    if not forgiven:
        with pytest.raises(kind):
            await _get(memo, source, strict=True)
        return
    assert await _get(memo, source, strict=True) == ("value 1", 0)
    autojump_clock.jump(_STALE_OK_S)
    with pytest.raises(kind):
        await _get(memo, source, strict=True)


async def test_a_right_withdrawn_while_the_server_was_away_is_noticed_at_once(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """It is asked for behind the first who come after it; the next is refused."""
    source = await _old(memo, autojump_clock)
    source.error = Unreachable("away")
    assert await _get(memo, source, strict=True) == ("value 1", 0)
    source.error = Denied("no more")
    assert await _get(memo, source, strict=True) == ("value 1", 0)
    await wait_all_tasks_blocked()
    with pytest.raises(Denied):
        await _get(memo, source, strict=True)


async def test_few_find_out_whether_the_server_answers_again(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """A thousand readers of what is known do not send a thousand requests to nowhere."""
    keys = [f"key {number}" for number in range(100)]
    for key in keys:
        memo.put(key, "known", memo._basis.clock.now_s())
    autojump_clock.jump(_TTL_S)
    away = Source()
    away.error = Unreachable("away")
    assert await memo.get(keys[0], away, max_age_s=_TTL_S) == "known"
    silent = Source()
    silent.delay_s = 30
    for key in keys:
        assert await memo.get(key, silent, max_age_s=_TTL_S) == "known"
    await wait_all_tasks_blocked()
    assert silent.asked == 8


async def test_a_defect_behind_the_reader_ends_nothing(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """An error that nobody foresaw is raised in who asks in earnest, not in the background."""
    source = await _old(memo, autojump_clock)
    source.error = Unreachable("away")
    await _get(memo, source)
    source.error = ZeroDivisionError()
    assert await _get(memo, source) == ("value 1", 0)
    await wait_all_tasks_blocked()
    await trio.sleep(6)
    with pytest.raises(ZeroDivisionError):
        await _get(memo, source)


async def test_a_reader_who_leaves_does_not_end_a_renewal(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """It has been asked for: the next reader finds it."""
    source = await _old(memo, autojump_clock)
    source.delay_s = 0.9
    with trio.move_on_after(0.1):
        await _get(memo, source)
    await trio.sleep(0.8)
    await wait_all_tasks_blocked()
    assert (memo.peek("key"), source.cancelled) == ("value 2", 0)


async def test_without_anything_known_the_reader_waits(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """And `cannot ask` is told as such: it never reads as `does not exist`."""
    source = Source()
    source.delay_s = 20
    assert await _get(memo, source) == ("value 1", 20)
    autojump_clock.jump(_TTL_S + _STALE_OK_S)
    source.delay_s, source.error = 0, Unreachable("away")
    for _ in range(2):
        with pytest.raises(Unreachable):
            await _get(memo, source)


async def test_what_was_expired_is_served_where_the_server_is_away(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """A refresh without a server takes nothing away."""
    source = await _old(memo, autojump_clock, 1)
    memo.expire_all()
    autojump_clock.jump(1)
    source.error = Unreachable("away")
    assert await _get(memo, source) == ("value 1", 0)


async def test_after_the_end_nobody_waits(autojump_clock: MockClock) -> None:
    """A background that is gone gives an error, not a wait."""
    async with trio.open_nursery() as background:
        memo: Memo[str, str] = Memo(basis(background), TEXT, max_entries=1)
        source = Source()
        source.delay_s = 100

        async def ask() -> None:
            with pytest.raises(Closing):
                await memo.get("key", source, max_age_s=1)

        async with trio.open_nursery() as readers:
            readers.start_soon(ask)
            await wait_all_tasks_blocked()
            background.cancel_scope.cancel()
    assert autojump_clock.current_time() == 0
