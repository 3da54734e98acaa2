"""Faults of the transport are survived: right bytes, late, and never later than the deadline."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from math import inf
from pathlib import Path

import pytest

from tests.support import faultproxy
from tests.support.faultproxy import Exchange, Fault
from tests.support.grounds import (
    LARGE,
    LARGE_BYTES,
    PLACES,
    Case,
    Met,
    all_played,
    grounds,
    judge,
)
from tests.support.outcomes import WELL
from tests.support.resolving import HOST, resolving

pytestmark = pytest.mark.mount

_TIMEOUT_S = 9.0
_MOUNTS = 3


@dataclass(frozen=True)
class _RateLimit(Fault):
    """Refusals from the first request on, until a time has passed."""

    headers: Mapping[str, str]
    lasts_s: float = 1.0
    begun_s: list[float] = field(default_factory=list)

    async def play(self, exchange: Exchange) -> None:
        now_s = exchange.now_s()
        self.begun_s.append(now_s)
        refused = now_s < self.begun_s[0] + self.lasts_s
        other = faultproxy.Status(429, self.headers) if refused else faultproxy.WithHeaders({})
        await other.play(exchange)


def _case(name: str, fault: Fault, times: float = 1, places: Iterable[str] = PLACES) -> Case:
    return Case(name, fault, dict.fromkeys(places, WELL), times)


_DATES = {
    "Date": formatdate(1e9, usegmt=True),  # the server's own clock, which is all that counts
    "Retry-After": formatdate(1e9 + 1, usegmt=True),
}
_CASES = (
    _case("500, twice", faultproxy.Status(500), 2),
    _case("502 with HTML, twice", faultproxy.Status(502, {}, b"<h1>Bad Gateway</h1>"), 2),
    _case("503, twice", faultproxy.Status(503), 2),
    _case("504, twice", faultproxy.Status(504), 2),
    _case("429 without a word on how long", faultproxy.Status(429)),
    _case(
        "429 with Archivist-Rate-Limit-Reset", _RateLimit({"Archivist-Rate-Limit-Reset": "1"}), inf
    ),
    _case("429 with Retry-After in seconds", _RateLimit({"Retry-After": "1"}), inf),
    _case("429 with Retry-After as a date", _RateLimit(_DATES), inf),
    _case("reset before the headers, twice", faultproxy.ResetBeforeHeaders(), 2),
    _case("reset in the headers", faultproxy.ResetInHeaders()),
    _case("reset behind the headers", faultproxy.ResetInBody(0)),
    _case("reset in the body, twice", faultproxy.ResetInBody(), 2),
    _case("body cut at 0", faultproxy.CutBody(0)),
    _case("body cut in the middle, twice", faultproxy.CutBody(), 2),
    _case("body one byte short", faultproxy.CutBody(1, 1)),
    _case("chunks that are none", faultproxy.ChunkedGarbage()),
    _case("an answer that is not HTTP", faultproxy.NotHttp()),
    _case("a kept connection closed when it is used again", faultproxy.CloseWhenReused()),
    _case("a stall before the headers", faultproxy.Stall()),
    _case("a stall in the body", faultproxy.Stall(0.5)),
    _case("a body in small pieces", faultproxy.Drip(LARGE_BYTES // 20, 0.05), places=[LARGE]),
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, list[Met]]]:
    """What became of all cases."""
    directory = tmp_path_factory.mktemp("transport")
    with grounds(directory, _MOUNTS, timeout_s=_TIMEOUT_S) as made:
        yield all_played(made, _CASES)


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_it_is_survived(played: Mapping[str, list[Met]], case: Case) -> None:
    """Every reader gets right bytes, and the fault was met, in every place that it can meet."""
    judge("Transport", case, played[case.name], timeout_s=_TIMEOUT_S)
    asked_again = [met.requests > min(case.times, 1) for met in played[case.name]]
    if case.times == inf:  # who came late has not met it
        assert any(asked_again)
    elif not isinstance(case.fault, faultproxy.CloseWhenReused | faultproxy.Drip):
        assert all(asked_again)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_connections_that_are_not_made_are_made_again(tmp_path: Path, *, tls: bool) -> None:
    """Cut as soon as they are there, in the middle of a handshake; and refused for a second."""
    cut = "a TLS handshake that fails, twice" if tls else "a connection cut as it is made, twice"
    away = "connections refused for a second" + (", TLS" if tls else "")
    with grounds(tmp_path, 1, timeout_s=_TIMEOUT_S, tls=tls) as (ground,):
        case = _case(cut, faultproxy.Disconnect(), 2)
        judge("Transport", case, ground.played(case), timeout_s=_TIMEOUT_S)
        assert ground.proxy.met("^$") == 2
        case = _case(away, faultproxy.WithHeaders({}), 0)
        begin = ground.for_a_second(ground.proxy.refuse, ground.proxy.accept)
        played = ground.played(case, begin=begin, others=False)
        judge("Transport", case, played, timeout_s=_TIMEOUT_S)
        assert max(met.took_s for met in played) > 1


def test_a_name_that_is_not_resolved_is_asked_for_again(tmp_path: Path) -> None:
    """A second without DNS is survived as any other outage is."""
    known = tmp_path / "known"
    known.touch()
    with grounds(tmp_path, 1, timeout_s=_TIMEOUT_S, host=HOST, program=resolving(known)) as (
        ground,
    ):

        def forget() -> None:
            known.unlink()
            ground.cut()

        case = _case("DNS fails for a second", faultproxy.WithHeaders({}), 0)
        begin = ground.for_a_second(forget, known.touch)
        played = ground.played(case, begin=begin, others=False)
        judge("Transport", case, played, timeout_s=_TIMEOUT_S)
        assert max(met.took_s for met in played) > 1
