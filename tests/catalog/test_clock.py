"""The catalog's clock."""

import time

import pytest
from trio.testing import MockClock

from attachfs.catalog.clock import Clock


async def test_it_tells_utc_and_goes_with_trios(autojump_clock: MockClock) -> None:
    """Ages are those that the program waits by."""
    clock = Clock()
    before_s = clock.now_s()
    assert before_s == pytest.approx(time.time(), abs=5)
    autojump_clock.jump(3600)
    assert clock.now_s() == before_s + 3600


async def test_setting_the_machines_clock_changes_no_age(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither forwards nor back."""
    clock = Clock()
    before_s = clock.now_s()
    for wrong_s in (0.0, 4e9):
        monkeypatch.setattr(time, "time", lambda wrong_s=wrong_s: wrong_s)
        autojump_clock.jump(1)
    assert clock.now_s() == before_s + 2


async def test_the_time_a_machine_is_suspended_counts(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trio's clock stands still then; what was known before is that much older."""
    clock = Clock()
    before_s = clock.now_s()
    read = time.clock_gettime
    asleep_s = {time.CLOCK_BOOTTIME: 8 * 3600}
    monkeypatch.setattr(time, "clock_gettime", lambda kind: read(kind) + asleep_s.get(kind, 0))
    autojump_clock.jump(1)
    assert clock.now_s() == pytest.approx(before_s + 8 * 3600 + 1, abs=0.5)
