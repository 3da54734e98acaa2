"""Whether the server can be asked, as far as is known."""

from collections.abc import Callable

import pytest
from trio.testing import MockClock

from attachfs.catalog.trouble import Trouble


def _state(trouble: Trouble) -> tuple[bool, bool]:
    return trouble.slow, trouble.away


async def test_at_first_there_is_none() -> None:
    """Nobody has asked yet."""
    assert _state(Trouble()) == (False, False)


@pytest.mark.parametrize(
    ("note", "state"), [(Trouble.note_slow, (True, False)), (Trouble.note_away, (True, True))]
)
async def test_trouble_lasts_five_seconds_or_until_an_answer(
    autojump_clock: MockClock, note: Callable[[Trouble], None], state: tuple[bool, bool]
) -> None:
    """A server out of reach is slow, too; a slow one is not out of reach."""
    trouble = Trouble()
    note(trouble)
    autojump_clock.jump(4.9)
    assert _state(trouble) == state
    autojump_clock.jump(0.1)
    assert _state(trouble) == (False, False)
    note(trouble)
    assert _state(trouble) == state
    trouble.note_answer()
    assert _state(trouble) == (False, False)


async def test_eight_may_find_out_at_a_time() -> None:
    """Who gave up its probe leaves room for another."""
    trouble = Trouble()
    assert [trouble.begin_probe() for _ in range(9)] == [True] * 8 + [False]
    trouble.end_probe()
    assert [trouble.begin_probe() for _ in range(2)] == [True, False]
