"""Work that is shared by all who ask for it meanwhile."""

import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from attachfs.errors import Closing, NotFound
from attachfs.flights import Flights


@pytest.fixture
async def flights(nursery: trio.Nursery) -> AsyncIterator[Flights[str, str]]:
    """Flights in a nursery of their own, with none left over at the end."""
    flights: Flights[str, str] = Flights(nursery)
    yield flights
    assert flights._flights == {}


class _Work:
    """Wait until told to go on, and count how often it was started, ended and cancelled."""

    def __init__(self, value: str = "value", error: Exception | None = None) -> None:
        self.go = trio.Event()
        self.value, self.error = value, error
        self.started = self.cancelled = 0

    async def __call__(self) -> str:
        self.started += 1
        try:
            await self.go.wait()
        except trio.Cancelled:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return self.value


async def test_one_piece_of_work_serves_all_who_ask_meanwhile(flights: Flights[str, str]) -> None:
    """It is started once, and each waiter gets its value."""
    work, got = _Work(), list[str]()

    async def ask() -> None:
        got.append(await flights.join("key", work))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        work.go.set()
    assert (got, work.started) == (["value"] * 10, 1)


async def test_work_of_other_keys_goes_on_beside_it(flights: Flights[str, str]) -> None:
    """Keys do not wait for each other."""
    slow, quick = _Work("slow"), _Work("quick")
    quick.go.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flights.join, "a", slow)
        await wait_all_tasks_blocked()
        assert await flights.join("b", quick) == "quick"
        slow.go.set()


async def test_finished_work_is_not_remembered(flights: Flights[str, str]) -> None:
    """Whoever comes later starts anew: remembering is the memo's business."""
    work = _Work()
    work.go.set()
    assert await flights.join("key", work) == "value"
    assert await flights.join("key", work) == "value"
    assert work.started == 2


async def test_none_is_a_value(flights: Flights[str, str | None]) -> None:
    """And so is anything else that is false."""

    async def work() -> None:
        await trio.lowlevel.checkpoint()

    assert await flights.join("key", work) is None


async def test_an_error_goes_to_every_waiter_and_no_further(flights: Flights[str, str]) -> None:
    """Each gets it with its cause; the nursery of the work lives on."""
    cause = ValueError("the cause")
    error = NotFound("gone")
    error.__cause__ = cause
    work, caught = _Work(error=error), list[Exception]()

    async def ask() -> None:
        with pytest.raises(NotFound) as info:
            await flights.join("key", work)
        caught.append(info.value)
        assert info.value.__cause__ is cause

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        work.go.set()
    assert caught == [error] * 5
    work.error = None
    assert await flights.join("key", work) == "value"


async def test_an_error_told_many_times_does_not_grow(flights: Flights[str, str]) -> None:
    """The same error raised again and again carries one traceback, not all of them."""
    error = NotFound("gone")
    work = _Work(error=error)
    work.go.set()
    depths = []
    for _ in range(5):
        with pytest.raises(NotFound):
            await flights.join("key", work)
        depths.append(len(traceback.extract_tb(error.__traceback__)))
    assert len(set(depths)) == 1


async def test_unexpected_errors_go_to_the_waiters_too(flights: Flights[str, str]) -> None:
    """A defect in the work ends no background nursery, which would end the mount."""
    work = _Work(error=ZeroDivisionError())
    work.go.set()
    with pytest.raises(ZeroDivisionError):
        await flights.join("key", work)


async def test_a_cancelled_waiter_leaves_the_work_to_the_others(
    flights: Flights[str, str],
) -> None:
    """The first to come has no say over those who came later."""
    work, first = _Work(), trio.CancelScope()

    async def stay() -> None:
        assert await flights.join("key", work) == "value"

    async def leave() -> None:
        with first:
            await flights.join("key", work)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave)
        await wait_all_tasks_blocked()
        nursery.start_soon(stay)
        await wait_all_tasks_blocked()
        first.cancel()
        await wait_all_tasks_blocked()
        assert work.cancelled == 0
        work.go.set()
    assert work.started == 1


async def test_the_last_waiter_to_leave_ends_the_work(flights: Flights[str, str]) -> None:
    """Nobody wants it any more; the next who does starts anew, even before it is gone."""
    abandoned, wanted = _Work("old"), _Work("new")
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(flights.join, "key", abandoned)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    wanted.go.set()
    assert await flights.join("key", wanted) == "new"
    await wait_all_tasks_blocked()
    assert (abandoned.started, abandoned.cancelled, wanted.started) == (1, 1, 1)


@pytest.mark.parametrize("later", [True, False])
async def test_work_that_is_kept_goes_on_without_a_waiter(
    flights: Flights[str, str], *, later: bool
) -> None:
    """If any of those who waited wanted it so; the next who asks gets its outcome."""
    work, got = _Work(), list[str]()

    async def ask() -> None:
        got.append(await flights.join("key", work))

    async with trio.open_nursery() as nursery:
        for kept in (not later, later):
            nursery.start_soon(partial(flights.join, "key", work, kept=kept))
            await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await wait_all_tasks_blocked()
    assert work.cancelled == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        work.go.set()
    assert (got, work.started) == (["value"], 1)


async def test_kept_work_that_nobody_waits_for_ends_in_silence(
    flights: Flights[str, str],
) -> None:
    """Whatever becomes of it."""
    work = _Work(error=ZeroDivisionError())
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(flights.join, "key", work, kept=True))
            await wait_all_tasks_blocked()
            scope.cancel()
    work.go.set()
    await wait_all_tasks_blocked()
    assert flights._flights == {}


async def test_work_that_a_task_leads_serves_all_who_ask_meanwhile(
    flights: Flights[str, str],
) -> None:
    """It goes on when they leave; its error is theirs, too."""
    for work in (_Work(), _Work(error=NotFound("gone"))):
        got = list[object]()

        async def ask(share: Callable[[str, _Work], Awaitable[str]], work: _Work = work) -> None:
            try:
                got.append(await share("key", work))  # noqa: B023 - it is this one's
            except NotFound as error:
                got.append(str(error))  # noqa: B023

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, flights.lead)
            await wait_all_tasks_blocked()
            with trio.move_on_after(0):
                await flights.join("key", _Work())
            nursery.start_soon(ask, flights.join)
            nursery.start_soon(ask, flights.lead)
            await wait_all_tasks_blocked()
            work.go.set()
        assert (work.started, work.cancelled) == (1, 0)
        assert got == ["gone" if work.error else "value"] * 3


async def test_a_leader_that_is_cancelled_leaves_nobody_waiting(
    flights: Flights[str, str],
) -> None:
    """They are told that the work was given up."""
    told: list[Closing] = []

    async def join() -> None:
        try:
            await flights.join("key", _Work())
        except Closing as error:
            told.append(error)

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(join)
            nursery.start_soon(_cancelled_soon, scope)
            await flights.lead("key", _Work())
    assert len(told) == 1


async def _cancelled_soon(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()


async def test_work_that_is_slow_to_end_does_not_disturb_its_successor(
    flights: Flights[str, str],
) -> None:
    """Cancelled work may clean up while the next flight of its key is under way."""
    cleaned = trio.Event()

    async def reluctant() -> str:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await cleaned.wait()

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flights.join, "key", reluctant)
            await wait_all_tasks_blocked()
            scope.cancel()
    work = _Work()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flights.join, "key", work)
        await wait_all_tasks_blocked()
        cleaned.set()
        await wait_all_tasks_blocked()
        assert list(flights._flights) == ["key"]
        work.go.set()


async def test_work_outlives_the_deadline_of_who_started_it(
    flights: Flights[str, str], autojump_clock: MockClock
) -> None:
    """It runs in the background, under nobody's scope."""
    got: list[str] = []

    async def work() -> str:
        await trio.sleep(10)
        return "late"

    async def patient() -> None:
        got.append(await flights.join("key", work))

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            nursery.start_soon(patient)
            await flights.join("key", work)
    assert got == ["late"]
    assert autojump_clock.current_time() == 10


async def test_the_end_of_the_background_ends_all_waiting(nursery: trio.Nursery) -> None:
    """When a mount goes down its waiters learn it; none waits for ever."""
    background = await nursery.start(_background)
    flights: Flights[str, str] = Flights(background)
    nursery.start_soon(_cancel_when_blocked, background)
    with pytest.raises(Closing):
        await flights.join("key", _Work())
    assert flights._flights == {}


async def test_a_background_that_has_ended_takes_no_work() -> None:
    """Asking after the end is an error each time, and never waits."""
    async with trio.open_nursery() as background:
        flights: Flights[str, str] = Flights(background)
    for _ in range(2):
        with trio.fail_after(1), pytest.raises(RuntimeError):
            await flights.join("key", _Work())


async def _background(task_status: trio.TaskStatus[trio.Nursery]) -> None:
    async with trio.open_nursery() as nursery:
        task_status.started(nursery)
        await trio.sleep_forever()


async def _cancel_when_blocked(nursery: trio.Nursery) -> None:
    await wait_all_tasks_blocked()
    nursery.cancel_scope.cancel()


_STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "cancel", "finish"]), st.integers(0, 5)), max_size=25
)


@given(steps=_STEPS)
async def test_any_order_of_coming_and_going_leaves_nothing_behind(
    steps: list[tuple[str, int]],
) -> None:
    """Whoever is not cancelled gets a value; no work runs without a waiter; none is left over."""
    running = 0
    waiters: dict[int, trio.CancelScope] = {}
    gate = trio.Event()

    async def work() -> str:
        nonlocal running
        running += 1
        try:
            await gate.wait()
        finally:
            running -= 1
        return "value"

    async def wait(number: int, scope: trio.CancelScope) -> None:
        with scope:
            assert await shared.join("key", work) == "value"
        if waiters.get(number) is scope:
            del waiters[number]

    async with trio.open_nursery() as nursery:
        shared: Flights[str, str] = Flights(nursery)
        for action, number in steps:
            if action == "join" and number not in waiters:
                waiters[number] = trio.CancelScope()
                nursery.start_soon(wait, number, waiters[number])
            elif action == "cancel" and number in waiters:
                waiters.pop(number).cancel()
            elif action == "finish":
                gate.set()
                await wait_all_tasks_blocked()
                gate = trio.Event()
            await wait_all_tasks_blocked()
            assert running == len(shared._flights) == (1 if waiters else 0)
        gate.set()
        await wait_all_tasks_blocked()
        assert (waiters, running, shared._flights) == ({}, 0, {})
