"""Who asks for things in order, and what comes next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.tree.sequences import InOrder

_KEYS = range(1000)


def _told(steps: list[int], *, max_ahead: int = 64) -> list[list[int]]:
    order = InOrder(_KEYS, max_ahead=max_ahead)
    return [list(order.step(step)) for step in steps]


def test_the_window_grows_with_each_step_in_order() -> None:
    """The first step says nothing; then 4, 16 and at most 64 are fetched, each once."""
    told = _told(list(range(6)))
    assert told[0] == []
    assert told[1] == list(range(2, 6))
    assert told[2] == list(range(6, 19))
    assert told[3] == list(range(19, 68))
    assert told[4:] == [[68], [69]]


def test_leaving_out_a_few_is_still_in_order() -> None:
    """Such as files that are there already; a leap begins anew."""
    assert _told([10, 12])[1] == [13, 14, 15, 16]
    assert _told([10, 18])[1] == [19, 20, 21, 22]
    assert _told([10, 19]) == [[], []]


@pytest.mark.parametrize("again", [[5], [6], [5, 6, 5]])
def test_going_back_changes_nothing(again: list[int]) -> None:
    """A file is looked up, opened, and looked up again."""
    assert _told([5, 6, *again, 7]) == [
        [],
        [7, 8, 9, 10],
        *([[]] * len(again)),
        _told([5, 6, 7])[2],
    ]


def test_the_end_is_the_end() -> None:
    """Nothing is told beyond the last."""
    assert _told([997, 998, 999]) == [[], [999], []]


def test_nothing_is_told_where_nothing_is_wanted() -> None:
    """A window of 0 stays 0; a key of another directory is no step."""
    assert _told([1, 2, 3], max_ahead=0) == [[], [], []]
    assert _told([1, 5000, 2]) == [[], [], [3, 4, 5, 6]]


@given(st.lists(st.integers(0, 60), max_size=60), st.integers(0, 64))
def test_what_is_told_comes_later_and_not_too_far(steps: list[int], max_ahead: int) -> None:
    """Whatever the order of the steps."""
    for step, told in zip(steps, _told(steps, max_ahead=max_ahead), strict=True):
        assert all(step < key <= step + max_ahead for key in told)
        assert told == sorted(set(told))
