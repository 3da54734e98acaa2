"""What time it is at the server, by the Date of its answers."""

import time
from email.utils import format_datetime, formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.archive import endpoints
from attachfs.archive.clock import ServerClock
from tests.support.archives import HOLDER, said, scripted

_NOW_S = 1_700_000_000.0
_DATE = formatdate(_NOW_S + 3600, usegmt=True)


class _Clocks:
    """Stand in for the machine's clocks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.utc_s = _NOW_S
        self.monotonic_s = 1000.0
        monkeypatch.setattr(time, "time", lambda: self.utc_s)
        monkeypatch.setattr(time, "monotonic", lambda: self.monotonic_s)

    def go_on(self, seconds: float) -> None:
        """Let time pass."""
        self.utc_s += seconds
        self.monotonic_s += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> _Clocks:
    """The machine's clocks, which stand still."""
    return _Clocks(monkeypatch)


def test_before_the_first_answer_it_is_this_machines(clocks: _Clocks) -> None:
    """There is nothing better."""
    assert ServerClock().now_s() == clocks.utc_s


def test_it_goes_on_from_what_the_server_said(clocks: _Clocks) -> None:
    """An hour ahead, an hour ahead it stays."""
    clock = ServerClock()
    clock.told(_DATE)
    assert clock.now_s() == _NOW_S + 3600
    clocks.go_on(50)
    assert clock.now_s() == _NOW_S + 3650


def test_it_is_asked_every_ten_seconds(clocks: _Clocks) -> None:
    """Reading a date takes a while; the machine's clock may have been set meanwhile."""
    clock = ServerClock()
    clock.told(_DATE)
    clocks.utc_s += 1e6
    clocks.monotonic_s += 9
    clock.told(formatdate(_NOW_S, usegmt=True))
    assert clock.now_s() == _NOW_S + 3600 + 1e6
    clocks.monotonic_s += 1
    clock.told(_DATE)
    assert clock.now_s() == _NOW_S + 3600


@pytest.mark.parametrize(
    "date",
    [None, "", "now", "Tue, 99 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 99999 22:13:20 GMT", "\xff"],
)
def test_what_is_no_date_says_nothing(clocks: _Clocks, date: str | None) -> None:
    """And the next one is looked at."""
    clock = ServerClock()
    clock.told(date)
    assert clock.now_s() == clocks.utc_s
    clock.told(_DATE)
    assert clock.now_s() == _NOW_S + 3600


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000", ""])
def test_a_date_without_a_zone_is_utc(
    clocks: _Clocks, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """Wherever this machine is."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        clock = ServerClock()
        clock.told(_DATE.replace("GMT", zone))
        assert clock.now_s() - clocks.utc_s == 3600
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.text() | st.datetimes().map(format_datetime))
def test_no_text_raises(date: str) -> None:
    """Whatever a stranger sends."""
    ServerClock().told(date)


async def test_every_answer_tells(clocks: _Clocks) -> None:
    """A refusal as well as a success."""
    async with scripted(lambda _: said(404, date=_DATE)) as archive:
        assert archive.server_now_s() == clocks.utc_s
        with pytest.raises(Exception, match="404"):
            await archive.ask(endpoints.record(HOLDER))
        assert archive.server_now_s() == _NOW_S + 3600
