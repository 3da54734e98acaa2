"""Let go of whoever waits for too long, and of callers that were killed meanwhile.

pyfuse3 tells nothing of interrupts: the kernel leaves a killed process waiting, unkillable, until
its request is answered (request_wait_answer in fs/fuse/dev.c). What it was sent can be seen in
/proc (proc_pid_status(5)).
"""

import re
import signal
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Final

import trio

from attachfs.errors import AttachfsError, Interrupted, TimedOut

# How often the waiting are looked at, in seconds; what takes less is never looked at.
_TICK_S: Final = 0.2
# What fails for a reason of its own at the deadline should be told with it.
_GRACE_S: Final = 0.5
_ENDING: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
_MASK: Final = re.compile(rb"^(SigPnd|ShdPnd|SigBlk|SigIgn):\t([0-9a-f]+)$", re.MULTILINE)


def is_ending(pid: int) -> bool:
    """Tell whether a thread has been killed, or told to end and does not mind.

    False for one that cannot be looked at, as of another pid namespace.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return False
    masks = {name: int(digits, 16) for name, digits in _MASK.findall(status)}
    pending = masks.get(b"SigPnd", 0) | masks.get(b"ShdPnd", 0)
    heeded = pending & ~(masks.get(b"SigBlk", 0) | masks.get(b"SigIgn", 0))
    return bool(pending & _bit(signal.SIGKILL)) or any(heeded & _bit(end) for end in _ENDING)


class Callers:
    """Watch over requests: `watch` ends those whose caller is ending or whose time is over."""

    def __init__(self, *, timeout_s: float) -> None:
        """Let nobody wait longer than `timeout_s`."""
        self.timeout_s = timeout_s
        self._max_ticks = ceil((timeout_s + _GRACE_S) / _TICK_S)
        self._waiting: set[_Waiting] = set()
        self._somebody = trio.Event()

    def waiting(self, pid: int) -> "_Waiting":
        """Return a context for a request of thread `pid`, 0 where that is not known.

        It raises `Interrupted` or `TimedOut` in place of what was cut short.
        """
        return _Waiting(self, pid)

    async def watch(self) -> None:
        """Look at those who wait, until cancelled."""
        while True:
            if not self._waiting:
                self._somebody = trio.Event()
                await self._somebody.wait()
            await trio.sleep(_TICK_S)
            for waiting in tuple(self._waiting):
                self._look_at(waiting)

    def enter(self, waiting: "_Waiting") -> None:
        """Begin to watch a request."""
        if not self._waiting:
            self._somebody.set()
        self._waiting.add(waiting)

    def leave(self, waiting: "_Waiting") -> None:
        """Watch a request no more."""
        self._waiting.discard(waiting)

    def _look_at(self, waiting: "_Waiting") -> None:
        waiting.ticks += 1
        if waiting.ticks > self._max_ticks:
            waiting.end(TimedOut(f"no answer within {self.timeout_s:g} s"))
        elif waiting.ticks > 1 and waiting.pid and is_ending(waiting.pid):
            waiting.end(Interrupted("whoever asked was told to end"))


class _Waiting:
    __slots__ = ("_callers", "_reason", "_scope", "pid", "ticks")

    def __init__(self, callers: Callers, pid: int) -> None:
        self._callers = callers
        self._reason: AttachfsError | None = None
        self._scope = trio.CancelScope()
        self.pid = pid
        self.ticks = 0

    def end(self, reason: AttachfsError) -> None:
        """Cut the request short."""
        self._reason = reason
        self._scope.cancel()

    def __enter__(self) -> None:
        self._scope.__enter__()
        self._callers.enter(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._callers.leave(self)
        handled = self._scope.__exit__(kind, error, traceback)
        if self._scope.cancelled_caught and self._reason is not None:
            raise self._reason
        return handled


def _bit(number: signal.Signals) -> int:
    return 1 << (number - 1)
