"""Locks of files that other processes may hold for as long as they like: each wait has a bound."""

import fcntl
import time
from typing import Final

_FIRST_PAUSE_S: Final = 0.0005
_LONGEST_PAUSE_S: Final = 0.02


def lock(descriptor: int, *, limit_s: float) -> bool:
    """Lock an open file (flock(2)) for this process alone; return whether that succeeded.

    Blocks for `limit_s` seconds at most: a process that holds the lock may be stopped. Raises
    `OSError` where the file cannot be locked at all.
    """
    until_s = time.monotonic() + limit_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        else:
            return True
