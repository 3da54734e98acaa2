"""The catalog's clock: UTC, so that ages outlive a restart, and steady while the mount runs."""

import time
from typing import Final

import trio

_MOMENT_S: Final = 0.1  # reading two clocks takes less


class Clock:
    """Tell UTC as it was at the start, moved on by trio's clock.

    Whoever sets the machine's clock makes nothing older or younger than it is. trio's stands still
    while the machine is suspended, which is made up for.
    """

    def __init__(self) -> None:
        self._passed_s = trio.lowlevel.current_clock().current_time
        self._offset_s = time.time() - self._passed_s()
        self._suspended_s = _suspended_s()

    def now_s(self) -> float:
        """Return seconds since 1970 UTC."""
        more_s = _suspended_s() - self._suspended_s
        if more_s > _MOMENT_S:
            self._offset_s += more_s
            self._suspended_s += more_s
        return self._passed_s() + self._offset_s


def _suspended_s() -> float:
    """Return for how long the machine has been suspended since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
