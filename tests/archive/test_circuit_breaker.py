"""While the server does not answer, few ask, and everybody is told."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from attachfs.archive.circuit_breaker import CircuitBreaker
from attachfs.errors import (
    AttachfsError,
    Busy,
    Mismatch,
    NoConnection,
    NotFound,
    ServerFault,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unreachable,
)

_TROUBLE: tuple[type[AttachfsError], ...] = (
    TimedOut, Unreachable, Unavailable, ServerFault, Busy, Unauthenticated, NoConnection
)  # fmt: skip


class _Server:
    """Answer, or fail as it is told, and count."""

    def __init__(self, kind: type[AttachfsError] | None = None, *, takes_s: float = 0.0) -> None:
        self.kind = kind
        self.takes_s = takes_s
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0

    async def ask(self, _now_s: float) -> str:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await trio.sleep(self.takes_s)
        finally:
            self.at_once -= 1
        if self.kind is not None:
            raise Mismatch("", digests={}) if self.kind is Mismatch else self.kind("no")
        return "answer"


async def _run(
    breaker: CircuitBreaker, server: _Server, *, subject: str = "a", patience_s: float = 30
) -> str:
    deadline_s = trio.current_time() + patience_s
    return await breaker.run(server.ask, subject=subject, deadline_s=deadline_s)


def _state(breaker: CircuitBreaker) -> str:
    return "settled" if breaker.settled else "open" if breaker.open else "well"


async def _outcome(work: Callable[[], Awaitable[object]]) -> str:
    try:
        return str(await work())
    except AttachfsError as error:
        return type(error).__name__


async def _fail(breaker: CircuitBreaker, kind: type[AttachfsError], times: int) -> None:
    server = _Server(kind)
    for number in range(times):
        await _outcome(partial(_run, breaker, server, subject=str(number % 4)))


async def test_a_connection_is_waited_for_ten_seconds(autojump_clock: MockClock) -> None:
    """Once it can be made the answer is had; how often it was tried grows with the pauses."""
    breaker, server = CircuitBreaker(), _Server(NoConnection)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def heal() -> None:
            await trio.sleep(9)
            server.kind = None

        assert await _run(breaker, server) == "answer"
    assert 9 <= autojump_clock.current_time() <= 10
    assert 9 <= server.asked <= 16
    assert _state(breaker) == "well"


async def test_then_it_is_final_for_everybody(autojump_clock: MockClock) -> None:
    """Who waits and who comes later are told at once, and one a second finds out."""
    breaker, server = CircuitBreaker(), _Server(NoConnection)
    outcomes: list[str] = []

    async def read() -> None:
        outcomes.append(await _outcome(partial(_run, breaker, server)))

    async with trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(read)
    assert outcomes == ["NoConnection"] * 200
    assert autojump_clock.current_time() == pytest.approx(10, abs=1.1)
    assert server.asked <= 200 + 16  # all at once before it was known, then one at a time
    assert _state(breaker) == "settled"
    asked, began_s = server.asked, autojump_clock.current_time()
    for _ in range(50):
        await read()
        await trio.sleep(0.1)
    assert autojump_clock.current_time() - began_s == pytest.approx(5)
    assert server.asked - asked <= 6
    server.kind = None
    await trio.sleep(1)
    assert await _run(breaker, server) == "answer"
    assert _state(breaker) == "well"


async def test_a_shorter_timeout_is_kept_to(autojump_clock: MockClock) -> None:
    """Whoever waits is told why before its own time is over."""
    breaker, server = CircuitBreaker(timeout_s=2), _Server(NoConnection)
    assert await _outcome(partial(_run, breaker, server, patience_s=2)) == "NoConnection"
    assert 1.6 <= autojump_clock.current_time() < 2


async def test_somebody_in_a_hurry_waits_less(autojump_clock: MockClock) -> None:
    """And everybody as long as ever again after that."""
    breaker, server = CircuitBreaker(), _Server(NoConnection)
    with breaker.hurried(2.0):
        assert await _outcome(partial(_run, breaker, server)) == "NoConnection"
    assert autojump_clock.current_time() < 3
    assert _state(breaker) != "settled"


@pytest.mark.parametrize("kind", [Unreachable, TimedOut, Unavailable])
async def test_the_eighth_failure_in_a_row_is_no_accident(
    autojump_clock: MockClock, kind: type[AttachfsError]
) -> None:
    """From then on one asks at a time, until one is answered: then all do."""
    breaker = CircuitBreaker()
    await _fail(breaker, kind, 7)
    assert _state(breaker) == "well"
    await _fail(breaker, kind, 1)
    assert _state(breaker) == "open"
    server = _Server(takes_s=1.0)
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(_run, breaker, server)
        await trio.sleep(1.5)
        assert server.most_at_once == 1
    assert server.most_at_once == 49
    assert autojump_clock.current_time() < 4


@pytest.mark.parametrize("kind", [NotFound, Mismatch, ServerFault, Busy])
async def test_an_answer_of_whatever_kind_ends_it(
    autojump_clock: MockClock, kind: type[AttachfsError]
) -> None:
    """Whoever says no is there."""
    del autojump_clock
    breaker = CircuitBreaker()
    await _fail(breaker, TimedOut, 8)
    assert _state(breaker) == "open"
    assert await _outcome(partial(_run, breaker, _Server(kind))) == kind.__name__
    assert _state(breaker) == "well"


async def test_what_is_about_one_thing_alone_settles_nothing(autojump_clock: MockClock) -> None:
    """A file whose requests always time out hides no other file, however long it does."""
    breaker, bad, good = CircuitBreaker(), _Server(TimedOut), _Server()
    for _ in range(60):
        await _outcome(partial(_run, breaker, bad))
        await trio.sleep(1)
    assert _state(breaker) == "open"
    assert await _run(breaker, good, subject="b") == "answer"
    del autojump_clock


async def test_what_is_about_several_things_settles_it(autojump_clock: MockClock) -> None:
    """After the timeout nobody waits any more."""
    breaker = CircuitBreaker(timeout_s=30)
    await _fail(breaker, TimedOut, 8)
    assert _state(breaker) != "settled"
    await trio.sleep(31)
    assert _state(breaker) == "settled"
    server = _Server(TimedOut, takes_s=20)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_outcome, partial(_run, breaker, server))
        await wait_all_tasks_blocked()
        began_s = autojump_clock.current_time()
        assert await _outcome(partial(_run, breaker, server)) == "TimedOut"
        assert autojump_clock.current_time() == began_s
    assert server.asked == 1


async def test_nobody_waits_beyond_its_own_time(autojump_clock: MockClock) -> None:
    """Who never got its turn is told why the last one failed."""
    breaker = CircuitBreaker()
    await _fail(breaker, Unavailable, 8)
    server = _Server(Unavailable, takes_s=60)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_outcome, partial(_run, breaker, server))
        await trio.sleep(2)
        assert await _outcome(partial(_run, breaker, server, patience_s=5)) == "Unavailable"
        assert autojump_clock.current_time() < 8
        nursery.cancel_scope.cancel()
    assert server.asked == 1


async def test_who_gives_up_its_turn_leaves_it_to_another(autojump_clock: MockClock) -> None:
    """A cancelled request is no failure, and holds up nobody."""
    breaker = CircuitBreaker()
    await _fail(breaker, TimedOut, 8)
    silent, server = _Server(takes_s=1000), _Server()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_run, breaker, silent)
        await trio.sleep(2)
        assert silent.asked == 1
        nursery.cancel_scope.cancel()
    assert await _run(breaker, server) == "answer"
    assert autojump_clock.current_time() < 4


async def test_a_long_download_holds_up_nobody(autojump_clock: MockClock) -> None:
    """That its body has begun to come is an answer."""
    breaker = CircuitBreaker()
    await _fail(breaker, TimedOut, 8)
    long, server = _Server(takes_s=1000), _Server()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_run, breaker, long)
        await trio.sleep(2)
        breaker.answered()
        assert await _run(breaker, server) == "answer"
        await _fail(breaker, TimedOut, 8)  # and while it goes on, the next outage has its own turns
        assert await _run(breaker, server) == "answer"
        assert autojump_clock.current_time() < 4
        nursery.cancel_scope.cancel()


async def test_failures_have_one_incident_until_an_answer(
    autojump_clock: MockClock, quiet_log: list[structlog.typing.EventDict]
) -> None:
    """It is what they are told of by; that it is over is told where more than one was."""
    del autojump_clock
    breaker = CircuitBreaker()
    incidents = []
    for kind in _TROUBLE:
        with pytest.raises(AttachfsError) as caught:
            await _run(breaker, _Server(kind))
        incidents.append(caught.value.incident)
    assert len(set(incidents)) == 1
    assert incidents[0] is not None
    incidents[0].tell()
    incidents[0].tell()
    await trio.sleep(1)
    await _run(breaker, _Server())
    with pytest.raises(TimedOut) as caught:
        await _run(breaker, _Server(TimedOut))
    assert caught.value.incident is not incidents[0]
    (over,) = [event for event in quiet_log if event["event"] == "the server answers again"]
    assert (over["log_level"], over["further_failures"]) == ("info", 1)


async def test_what_fails_late_is_part_of_the_outage_that_is_over(
    autojump_clock: MockClock, quiet_log: list[structlog.typing.EventDict]
) -> None:
    """It was asked meanwhile, and says nothing of the server as it is by then."""
    breaker = CircuitBreaker(timeout_s=30)
    silent, well = _Server(TimedOut, takes_s=10), _Server()
    async with trio.open_nursery() as nursery:
        failed: list[AttachfsError] = []

        async def ask_in_vain(number: int) -> None:
            try:
                await _run(breaker, silent, subject=str(number))
            except AttachfsError as error:
                failed.append(error)

        for number in range(9):
            nursery.start_soon(ask_in_vain, number)
        await wait_all_tasks_blocked()
        assert await _outcome(lambda: _run(breaker, _Server(NoConnection), patience_s=0))
        assert _state(breaker) == "open"
        assert await _run(breaker, well) == "answer"
    del autojump_clock
    assert len(failed) == 9
    assert (_state(breaker), breaker.error) == ("well", None)
    assert len({error.incident for error in failed}) == 1
    assert [event["event"] for event in quiet_log] == ["the server answers again"]


async def test_what_was_asked_afterwards_is_an_outage_of_its_own(
    autojump_clock: MockClock,
) -> None:
    """Its failures are told anew."""
    del autojump_clock
    breaker = CircuitBreaker(timeout_s=30)
    incidents = []
    for _ in range(2):
        with pytest.raises(NoConnection) as caught:
            await _run(breaker, _Server(NoConnection), patience_s=0)
        incidents.append(caught.value.incident)
        await trio.sleep(1)
        await _run(breaker, _Server())
    assert incidents[0] is not incidents[1]


def _readiness(breaker: CircuitBreaker) -> tuple[bool, bool]:
    return breaker.slow, breaker.away


@pytest.mark.parametrize(
    ("note", "readiness"),
    [(CircuitBreaker.note_slow, (True, False)), (CircuitBreaker.note_away, (True, True))],
)
async def test_what_was_noted_lasts_five_seconds_or_until_an_answer(
    autojump_clock: MockClock,
    note: Callable[[CircuitBreaker], None],
    readiness: tuple[bool, bool],
) -> None:
    """A server out of reach is slow, too; a slow one is not out of reach."""
    breaker = CircuitBreaker()
    assert _readiness(breaker) == (False, False)
    note(breaker)
    autojump_clock.jump(4.9)
    assert _readiness(breaker) == readiness
    autojump_clock.jump(0.1)
    assert _readiness(breaker) == (False, False)
    note(breaker)
    assert _readiness(breaker) == readiness
    breaker.note_answer()
    assert _readiness(breaker) == (False, False)


async def test_eight_may_find_out_at_a_time() -> None:
    """Who gave up its probe leaves room for another."""
    breaker = CircuitBreaker()
    assert [breaker.begin_probe() for _ in range(9)] == [True] * 8 + [False]
    breaker.end_probe()
    assert [breaker.begin_probe() for _ in range(2)] == [True, False]


async def test_a_server_is_away_once_no_connection_could_be_made_for_a_second(
    autojump_clock: MockClock,
) -> None:
    """Whoever has something to serve waits no longer; who comes much later asks anew."""
    breaker = CircuitBreaker()
    away: list[bool] = []
    breaker.failed(NoConnection("no"), subject="a")
    for jump_s in (0, 1, 4):
        autojump_clock.jump(jump_s)
        away.append(breaker.away)
    breaker.failed(NoConnection("no"), subject="a")
    away.append(breaker.away)
    breaker.answered()
    assert [*away, breaker.away] == [False, True, False, True, False]


@pytest.mark.parametrize("kind", [TimedOut, Unreachable, Unavailable, ServerFault, Busy])
async def test_a_server_that_answers_or_takes_its_time_is_not_away(
    autojump_clock: MockClock, kind: type[AttachfsError]
) -> None:
    """Something was there to be connected to."""
    breaker = CircuitBreaker()
    for number in range(9):
        breaker.failed(kind("no"), subject=str(number))
        autojump_clock.jump(1)
    assert not breaker.away
