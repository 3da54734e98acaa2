"""Faults that do not pass are errors by the deadline, however often the kernel repeats a read."""

from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path

import pytest

from tests.support import faultproxy
from tests.support.faultproxy import Fault
from tests.support.grounds import PLACES, Case, Met, all_played, grounds, judge

pytestmark = pytest.mark.mount

_TIMEOUT_S = 3.0
_MOUNTS = 3


def _case(name: str, fault: Fault, errno: str) -> Case:
    return Case(f"{name}, for good", fault, dict.fromkeys(PLACES, errno), inf)


_CASES = (
    _case("500", faultproxy.Status(500), "EIO"),
    _case("502 with HTML", faultproxy.Status(502, {}, b"<h1>Bad Gateway</h1>"), "EIO"),
    _case("503", faultproxy.Status(503), "EIO"),
    _case("504", faultproxy.Status(504), "ETIMEDOUT"),
    _case("a stall before the headers", faultproxy.Stall(), "ETIMEDOUT"),
    _case("a stall in the body", faultproxy.Stall(0.5), "ETIMEDOUT"),
    _case("a reset before the headers", faultproxy.ResetBeforeHeaders(), "EHOSTUNREACH"),
    _case("a body cut at 0", faultproxy.CutBody(0), "EHOSTUNREACH"),
    _case("an answer that is not HTTP", faultproxy.NotHttp(), "EHOSTUNREACH"),
)
# Whoever is told to slow down does so in all that it asks.
_RATE_LIMITS = (
    _case("429", faultproxy.Status(429), "EBUSY"),
    _case("429, a day to wait", faultproxy.Status(429, {"Retry-After": "86400"}), "EBUSY"),
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, list[Met]]]:
    """What became of all cases."""
    directory = tmp_path_factory.mktemp("deadlines")
    expected = ["[warning"]  # each of them is one
    with grounds(directory, _MOUNTS, timeout_s=_TIMEOUT_S, expected_warnings=expected) as made:
        yield all_played(made, _CASES)


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_it_ends_in_time(played: Mapping[str, list[Met]], case: Case) -> None:
    """Every reader gets the errno for it by the deadline, and the mount goes on."""
    judge("Deadlines", case, played[case.name], timeout_s=_TIMEOUT_S)


@pytest.mark.parametrize("case", _RATE_LIMITS, ids=lambda case: case.name)
def test_a_rate_limit_ends_in_time(tmp_path: Path, case: Case) -> None:
    """It is for all that is asked; once it is over, everything is had again."""
    with grounds(tmp_path, 1, timeout_s=_TIMEOUT_S, expected_warnings=["[warning"]) as (ground,):
        judge("Deadlines", case, ground.played(case, others=False), timeout_s=_TIMEOUT_S)
        ground.proxy.clear()
        ground.recover()
