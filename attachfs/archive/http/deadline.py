"""How long one exchange with a server may take: all of it, and each wait for bytes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from types import TracebackType
from typing import Final, Protocol, Self

import httpx
import trio

_LOOK_EVERY_S: Final = 0.05  # less than the shortest deadline


class Shuttable(Protocol):
    """A connection whose waits can be ended."""

    def shut(self) -> None:
        """End them: nothing more is sent or received."""


class Deadline:
    """Bound an exchange in the `with` block: each wait for bytes, and all of it.

    A wait may take `patience_s`, the exchange until `until_s` of trio's clock. What is late has its
    connection shut, which fails then, or ends; `over` says why. A cancel scope for each exchange
    would cost 50 Python calls and a fifth of its time: one watch in each event loop looks at all of
    them. `begun_s` is since when the exchange has been under way, `ended_s` when its answer was
    closed.
    """

    __slots__ = (
        "_watch",
        "at_s",
        "begun_s",
        "connection",
        "ended_s",
        "is_shut",
        "patience_s",
        "until_s",
    )

    def __init__(
        self, patience_s: float = inf, until_s: float = inf, *, now_s: float | None = None
    ) -> None:
        self.patience_s = patience_s
        self.until_s = until_s
        self.begun_s = self.ended_s = trio.current_time() if now_s is None else now_s
        self.at_s = min(self.begun_s + patience_s, until_s)
        self.connection: Shuttable | None = None
        self.is_shut = False

    def __enter__(self) -> Self:
        self._watch = _HERE.watch
        self._watch.active.add(self)
        if not self._watch.is_running:
            self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watch.active.discard(self)

    @property
    def over(self) -> bool:
        """Return whether the time is over."""
        return self.is_shut or trio.current_time() >= self.until_s

    def arm(self) -> None:
        """Begin a wait for bytes."""
        self.at_s = min(trio.current_time() + self.patience_s, self.until_s)

    def suspend(self) -> None:
        """Begin to wait for something else, which takes what time it takes."""
        self.at_s = inf

    @contextmanager
    def queued(self) -> Iterator[None]:
        """Wait for one's turn, in the block: nothing is under way until its end."""
        self.begun_s = inf
        with self.elsewhere():
            yield
        self.begun_s = trio.current_time()

    @contextmanager
    def elsewhere(self, limit_s: float = inf) -> Iterator[None]:
        """Wait for something that is no connection, in the block, for `limit_s` at most.

        A wait for bytes begins after it. Raises `httpx.PoolTimeout` where the time is over.
        """
        self.at_s = inf
        with trio.move_on_at(min(trio.current_time() + limit_s, self.until_s)):
            yield
            self.arm()
            return
        self.is_shut = True
        raise httpx.PoolTimeout("no answer in time")

    def end(self) -> None:
        """End the wait for bytes: the time is over."""
        self.is_shut = True
        self.at_s = inf
        if self.connection is not None:
            self.connection.shut()


class _Watch:
    """Look at the deadlines of one event loop, as long as there are some."""

    def __init__(self) -> None:
        self.active: set[Deadline] = set()
        self.is_running = False

    def start(self) -> None:
        self.is_running = True
        trio.lowlevel.spawn_system_task(self._run)

    async def _run(self) -> None:
        try:
            while self.active:
                first_s = min(deadline.at_s for deadline in self.active)
                await trio.sleep_until(min(first_s, trio.current_time() + _LOOK_EVERY_S))
                now_s = trio.current_time()
                for deadline in [late for late in self.active if late.at_s <= now_s]:
                    deadline.end()
        finally:
            self.is_running = False


class _Here(threading.local):
    """Hold the watch of this thread's event loop."""

    def __init__(self) -> None:
        self.watch = _Watch()


_HERE: Final = _Here()
