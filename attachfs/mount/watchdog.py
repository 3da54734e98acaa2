"""End a process that was told to end and does not, whatever holds it up."""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_COUNTER_BYTES: Final = 8  # of an eventfd
_ENDED_BY_SIGNAL: Final = 128  # as shells have it


class Watchdog:
    """End this process `limit_s` seconds after it was told to end, unless it has ended by then.

    A thread of its own does so, which waits for nothing but time: the event loop, or a thread that
    the loop waits for, may be held up by a disk that hangs. Where each of them waits goes to
    standard error, then `on_late` is called, whose errors are lost.
    """

    def __init__(self, limit_s: float, on_late: Callable[[], object]) -> None:
        """Begin to watch, as long as the process lasts; do without where no thread can be had."""
        self._limit_s = limit_s
        self._on_late = on_late
        self._told = os.eventfd(0, os.EFD_CLOEXEC)
        with suppress(RuntimeError):
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def tell(self, number: int) -> None:
        """Count from now on; `number` is that of the signal. May be called by signal handlers."""
        os.eventfd_write(self._told, number)

    def _watch(self) -> None:
        # os.eventfd_read fails where a signal comes to this thread; os.read begins again.
        number = int.from_bytes(os.read(self._told, _COUNTER_BYTES), sys.byteorder)
        time.sleep(self._limit_s)
        with suppress(Exception):
            sys.stderr.write(f"attachfs: not done {self._limit_s:g} s after signal {number}\n")
            faulthandler.dump_traceback()
        with suppress(Exception):
            self._on_late()
        os._exit(_ENDED_BY_SIGNAL + number)
