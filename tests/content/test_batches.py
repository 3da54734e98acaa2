"""Jobs that go to one thread together."""

import threading
from functools import partial

import pytest
import trio
import trio.testing

from attachfs.content.batches import Batches


async def test_jobs_keep_their_order_and_their_outcomes(nursery: trio.Nursery) -> None:
    """Each caller gets what its own job returned or raised."""
    batches = Batches(nursery)
    begun: list[int] = []
    outcomes: dict[int, str] = {}

    def work(number: int) -> str:
        begun.append(number)
        if number % 2:
            raise ValueError(str(number))
        return str(number)

    async def ask(number: int) -> None:
        try:
            outcomes[number] = await batches.run(partial(work, number))
        except ValueError as error:
            outcomes[number] = f"raised {error}"

    async with trio.open_nursery() as callers:
        for number in range(100):
            callers.start_soon(ask, number)
            await trio.testing.wait_all_tasks_blocked()
    assert begun == sorted(begun) == list(range(100))
    assert outcomes == {n: f"raised {n}" if n % 2 else str(n) for n in range(100)}


async def test_what_gathers_while_a_job_runs_goes_together(nursery: trio.Nursery) -> None:
    """One thread does it all, and the event loop goes on meanwhile."""
    batches = Batches(nursery)
    gate = threading.Event()
    threads: set[int] = set()

    def work() -> None:
        gate.wait()
        threads.add(threading.get_ident())

    async with trio.open_nursery() as callers:
        for _ in range(40):
            callers.start_soon(batches.run, work)
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert len(threads) <= 2  # trio may lend another thread for the second batch
    assert threading.get_ident() not in threads


async def test_a_cancelled_job_that_has_not_begun_never_does(nursery: trio.Nursery) -> None:
    """And the others are none the worse for it."""
    batches = Batches(nursery)
    gate = threading.Event()
    done: list[str] = []

    async with trio.open_nursery() as callers:
        callers.start_soon(batches.run, gate.wait)
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as given_up:
                given_up.start_soon(batches.run, partial(done.append, "given up"))
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        callers.start_soon(batches.run, partial(done.append, "other"))
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert done == ["other"]


async def test_a_closed_nursery_takes_no_job() -> None:
    """Nobody waits for what will never be done."""
    async with trio.open_nursery() as nursery:
        batches = Batches(nursery)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await batches.run(list)
