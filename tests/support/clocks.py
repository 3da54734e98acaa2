"""Clocks that stand still until a test moves them, of the program in a process of its own.

`clocks.py FILE -- mount ...` runs the program under these clocks: `time.time`, `time.monotonic`,
trio's, and the timeouts of blocking sockets. It waits for as long as the test says, and a machine
that is slow makes nothing late. Another Python file in place of `--` is run in the program's place.
FILE is memory that both processes share.
"""

import ctypes
import mmap
import runpy
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any, Final

import trio

# How long the program sleeps before it looks at the clocks again.
_LOOK_EVERY_S: Final = 0.004
# As often as the mount looks at those who wait (`mount/callers.py`), and no less by rounding.
_STEP_S: Final = 0.2001
# Of real time, after each step: a server that answers has 25 of these for a timeout of 5 s.
_PAUSE_S: Final = 0.02
# What is done after each step takes less; no more, lest it waits for the next one.
_MOMENT_S: Final = 0.05
# Nothing hangs where what should have ended has not; only a failure waits that long. Importing a
# client of S3 takes 15 s on two cores that twenty processes want.
_PATIENCE_S: Final = 45.0


class _Shared(ctypes.Structure):
    """How much time has passed, by how much UTC is fast, and what the program has seen of it."""

    _fields_ = (
        ("passed_s", ctypes.c_double),
        ("fast_s", ctypes.c_double),
        ("seen_s", ctypes.c_double),
    )


class Clocks:
    """Move the clocks of what `program` runs."""

    def __init__(self, path: Path, *, fast_s: float = 0.0) -> None:
        """Share memory in a new file; the machine's UTC is `fast_s` seconds fast."""
        path.write_bytes(bytes(ctypes.sizeof(_Shared)))
        self._path = path
        self._shared = _mapped(path)
        self.set_utc(fast_s)

    def program(self, *instead: str) -> tuple[str, ...]:
        """Return what to run in place of `-m attachfs`, or of a Python file and its arguments."""
        return (__file__, str(self._path), *(instead or ("--",)))

    def now_s(self) -> float:
        """Return how many seconds have passed."""
        return float(self._shared.passed_s)

    def utc(self) -> datetime:
        """Return the true UTC, for a server that lives through the same time."""
        return datetime.now(UTC) + timedelta(seconds=self.now_s())

    def set_utc(self, fast_s: float) -> None:
        """Set the machine's clock, so that it is `fast_s` seconds fast."""
        self._shared.fast_s = fast_s

    def advance(self, seconds: float) -> None:
        """Have so much time pass at once."""
        self._shared.passed_s += seconds

    @contextmanager
    def passing(
        self,
        most_s: float = inf,
        *,
        if_: Callable[[], bool] = lambda: True,
        after_each: Callable[[], object] = lambda: None,
    ) -> Iterator[None]:
        """Have time pass while the block runs, at most `most_s` seconds, in steps of 0.2 s.

        A step is made where `if_` holds and once the program's event loop has nothing left to do;
        then `after_each` is called, which may take time itself. A block that needs more than
        `most_s` gets it a while later.
        """
        over = threading.Event()
        with ThreadPoolExecutor(2) as pool:
            passing = pool.submit(self._pass_time, most_s, over, if_, pool, after_each)
            try:
                yield
            finally:
                over.set()
                passing.result()

    def _pass_time(
        self,
        most_s: float,
        over: threading.Event,
        if_: Callable[[], bool],
        pool: ThreadPoolExecutor,
        after_each: Callable[[], object],
    ) -> None:
        end_s = self.now_s() + most_s - _STEP_S / 2
        after: Future[object] | None = None
        while not over.is_set() or (after is not None and not after.done()):
            if self.now_s() >= end_s:
                over.wait(_PATIENCE_S)
                end_s = inf
            if if_():
                self.advance(_STEP_S)
                if after is None or after.done():
                    after = pool.submit(after_each)
                wait([after], _MOMENT_S)
            time.sleep(_PAUSE_S)
            while self._shared.seen_s != self._shared.passed_s and not over.is_set():
                time.sleep(_LOOK_EVERY_S / 2)
        if after is not None:
            after.result()


class _MovedClock(trio.abc.Clock, trio.abc.Instrument):
    """A clock by which only so much time passes as the test says."""

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self._begun_s = time.monotonic()
        self._idle = False

    def start_clock(self) -> None:
        """Do nothing."""

    def current_time(self) -> float:
        """Return seconds since any moment."""
        return self._begun_s + float(self._shared.passed_s)

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Return how long to sleep; called where no task can go on.

        Where none could since the last call either, the event loop has nothing left to do.
        """
        passed_s = self._shared.passed_s
        left_s = deadline - self._begun_s - passed_s
        if left_s <= 0:
            return 0.0
        if self._idle:
            self._shared.seen_s = passed_s
        self._idle = True
        return _LOOK_EVERY_S

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """Take note that there is something to do."""
        del task
        self._idle = False


def _mapped(path: Path) -> _Shared:
    with path.open("r+b") as file:
        return _Shared.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(_Shared)))


def _move(shared: _Shared) -> None:
    """Have this process's clocks be those that a test moves."""
    from attachfs.archive.client_credentials import ClientCredentials  # noqa: PLC0415

    clock = _MovedClock(shared)
    run, receive, begun_ns = trio.run, socket.socket.recv_into, time.time_ns()

    def utc_ns() -> int:
        return begun_ns + int((shared.passed_s + shared.fast_s) * 1e9)

    def recv_into(self: socket.socket, *arguments: Any) -> int:
        timeout_s = self.gettimeout()
        if timeout_s:
            poll = select.poll()
            poll.register(self, select.POLLIN)
            until_s = time.monotonic() + timeout_s
            while not poll.poll(_LOOK_EVERY_S * 1000):
                if time.monotonic() > until_s:
                    raise TimeoutError("timed out")
        return receive(self, *arguments)

    trio.run = lambda *arguments, **settings: run(
        *arguments, clock=clock, instruments=[clock], **settings
    )
    time.monotonic = clock.current_time
    time.time_ns = utc_ns
    time.time = lambda: utc_ns() / 1e9
    socket.socket.recv_into = recv_into  # type: ignore[method-assign, assignment]
    # Bound when it was imported.
    bound = ClientCredentials.__init__.__kwdefaults__
    assert bound is not None
    bound["now_s"] = time.monotonic


if __name__ == "__main__":
    _move(_mapped(Path(sys.argv[1])))
    del sys.argv[:2]
    if sys.argv[0] == "--":
        from attachfs.cli.app import main

        main()
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
