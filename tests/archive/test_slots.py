"""Slots, whose number may change."""

import pytest
import trio
from trio.testing import MockClock

from attachfs.archive.slots import Slots


async def _hold(slots: Slots, order: list[int], number: int, hold_s: float) -> None:
    await slots.take()
    order.append(number)
    try:
        await trio.sleep(hold_s)
    finally:
        slots.give_back()


async def test_so_many_are_let_in_at_a_time_in_their_order(autojump_clock: MockClock) -> None:
    """A newcomer does not overtake who waits, also where a slot has just become free."""
    slots, order = Slots(2), list[int]()
    began_s = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(_hold, slots, order, number, 1.0)
            await trio.sleep(0.1)
        assert (slots.used, order, slots.take_now()) == (2, [0, 1], False)
    assert (slots.used, order) == (0, list(range(6)))
    assert trio.current_time() - began_s == pytest.approx(3.1)
    assert autojump_clock.autojump_threshold == 0


async def test_more_slots_let_more_in_and_fewer_take_none_away(mock_clock: MockClock) -> None:
    """What was let in goes on."""
    slots = Slots(1)
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(_hold, slots, [], number, 1.0)
        await trio.testing.wait_all_tasks_blocked()
        slots.total = 3
        await trio.testing.wait_all_tasks_blocked()
        slots.total = 1
        assert (slots.total, slots.used) == (1, 3)
        for left in (1, 1, 0):
            mock_clock.jump(1)
            await trio.testing.wait_all_tasks_blocked()
            assert slots.used == left


async def test_who_is_cancelled_at_the_moment_of_its_turn_takes_no_slot_with_it(
    autojump_clock: MockClock,
) -> None:
    """The deadline of one who waits may end just as a slot becomes free."""
    slots = Slots(1)

    async def wait_until(at_s: float) -> None:
        with trio.move_on_at(at_s):
            await slots.take()
            slots.give_back()

    for _ in range(50):  # tasks of one moment run in random order
        async with trio.open_nursery() as nursery:
            end_s = trio.current_time() + 1
            nursery.start_soon(_hold, slots, [], 0, 1.0)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(3):
                nursery.start_soon(wait_until, end_s)
        assert slots.used == 0
    assert slots.take_now()
    assert autojump_clock.autojump_threshold == 0
