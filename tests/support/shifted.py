"""The program under a clock that somebody sets: `shifted.py SECONDS -- mount ...`.

It begins SECONDS fast; SIGUSR1 sets it a day forward, SIGUSR2 a day back.
"""

import signal
import sys
import time

from attachfs.cli.app import main

_DAY_S = 86_400


def shifted(fast_s: float = 0) -> tuple[str, ...]:
    """Return what to run in place of `-m attachfs`, to have the clock be wrong."""
    return (__file__, str(fast_s), "--")


if __name__ == "__main__":
    fast_s = float(sys.argv[1])
    del sys.argv[1:3]
    true_s, true_ns = time.time, time.time_ns

    def _set(number: int, _frame: object) -> None:
        global fast_s  # noqa: PLW0603 - the machine's clock is one as well
        fast_s += _DAY_S if number == signal.SIGUSR1 else -_DAY_S

    time.time = lambda: true_s() + fast_s
    time.time_ns = lambda: true_ns() + int(fast_s * 1e9)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, _set)
    main()
