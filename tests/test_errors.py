"""What an error is, inside the groups that nurseries make of it."""

import pytest

from attachfs.errors import Denied, Unreachable, first_cause

_DENIED = Denied("denied")


def _group(*errors: BaseException) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("of a nursery", errors)


@pytest.mark.parametrize(
    "error",
    [
        _DENIED,
        _group(_DENIED),
        _group(_group(_DENIED)),
        _group(_DENIED, Unreachable("as well")),
        _group(_group(_DENIED, Unreachable("as well")), Unreachable("and there")),
    ],
)
def test_the_first_of_ours_is_what_went_wrong(error: BaseException) -> None:
    """However many tasks met the same trouble."""
    assert first_cause(error) is _DENIED


def test_the_only_one_is_what_went_wrong() -> None:
    """Whosever it is."""
    error = KeyError("a bug")
    assert first_cause(_group(_group(error))) is error


@pytest.mark.parametrize("other", [KeyError("a bug"), KeyboardInterrupt(), _group(SystemExit())])
def test_nothing_else_is_hidden_behind_ours(other: BaseException) -> None:
    """A bug, or the end, is told with it."""
    group = _group(_DENIED, other)
    assert first_cause(group) is group
