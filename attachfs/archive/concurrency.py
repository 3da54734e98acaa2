"""How many requests may be under way: as many as the server answers readily."""

from typing import TYPE_CHECKING, Final

import trio

from attachfs.archive.slots import Slots
from attachfs.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CONCURRENT: Final = 256
_FIRST_CONCURRENT: Final = 32
# Where answers come at once, more requests at a time bring nothing: 64 keep two processors busy.
_NEAR_CONCURRENT: Final = 64
_NEAR_S: Final = 0.01
# An answer is slow where it took this long and so many times longer than is usual there.
_SLOW_S: Final = 0.5
_SLOW_FACTOR: Final = 4.0
# Fewer at a time have helped where answers take at most this share of the time.
_HELPED: Final = 0.8
_JUDGED_BY: Final = 8  # answers
_SHRINK_EVERY_S: Final = 1.0  # one burst of refusals is one reason to slow down
_SAME_S: Final = 0.1  # waits of one burst end at nearly the same time


class ConcurrencyLimiter:
    """Bound the requests under way by additive increase and multiplicative decrease.

    The window doubles with every round of ready answers up to where the server was overloaded
    before, then grows by one a round, to `max_concurrent` at most. A refusal (429) halves it. So
    does a slow answer, on trial: where the next answers are as slow, that is how slow the server
    is, and the window is as before. A wait that the server asks for is everybody's. `on_refused`
    is told of each refusal that made a difference, for others who ask the same server.
    """

    def __init__(self, max_concurrent: int = MAX_CONCURRENT) -> None:
        self._max_concurrent = max_concurrent
        self._window = float(min(_FIRST_CONCURRENT, max_concurrent))
        self._threshold = float(max_concurrent)
        self._quickest_s = float("inf")
        self._usual_s = 0.0
        self._trial: _Trial | None = None
        self._shrunk_s = float("-inf")
        self._resume_s = float("-inf")
        self.slots = Slots(int(self._window))
        self.on_refused: Callable[[Busy], object] | None = None

    async def turn(self) -> None:
        """Take a slot once there is one, and wait as long as the server has asked for."""
        await self.slots.take()
        try:
            await self.resumed()
        except BaseException:
            self.slots.give_back()
            raise

    def is_paused(self, now_s: float) -> bool:
        """Return whether the server has asked for a wait that is not over."""
        return self._resume_s > now_s

    async def resumed(self) -> None:
        """Wait as long as the server has asked for."""
        while self.is_paused(trio.current_time()):  # noqa: ASYNC110 - it may have grown meanwhile
            await trio.sleep_until(self._resume_s)

    def answered(self, elapsed_s: float) -> None:
        """Record an answer and how long it took."""
        self._quickest_s = min(self._quickest_s, elapsed_s)
        if self._trial is not None:
            self._judge(self._trial, elapsed_s)
        elif elapsed_s > max(_SLOW_S, _SLOW_FACTOR * max(self._quickest_s, self._usual_s)):
            # What was asked for before it was halved says nothing of whether that was enough.
            if trio.current_time() - elapsed_s >= self._shrunk_s:
                before = self._window
                if self._shrink():
                    self._trial = _Trial(before, elapsed_s)
        elif self._window < (most := self._most()):
            step = 1.0 if self._window < self._threshold else 1.0 / self._window
            self._resize(min(self._window + step, most))

    def refused(self, error: Busy, *, longest_wait_s: float) -> None:
        """Record a 429; a wait longer than `longest_wait_s` is left to each caller."""
        if self.heed(error, longest_wait_s=longest_wait_s) and self.on_refused is not None:
            self.on_refused(error)

    def heed(self, error: Busy, *, longest_wait_s: float) -> bool:
        """Record a 429 that another process was told; return whether it makes a difference."""
        is_longer = False
        if error.retry_after_s is not None and error.retry_after_s < longest_wait_s:
            resume_s = trio.current_time() + error.retry_after_s
            is_longer = resume_s > self._resume_s + _SAME_S
            self._resume_s = max(self._resume_s, resume_s)
        self._trial = None
        return self._shrink() or is_longer

    def _most(self) -> int:
        near = self._quickest_s < _NEAR_S
        return min(self._max_concurrent, _NEAR_CONCURRENT) if near else self._max_concurrent

    def _judge(self, trial: "_Trial", elapsed_s: float) -> None:
        """Take an answer into account that was asked for since the window was halved."""
        if trio.current_time() - elapsed_s < self._shrunk_s:
            return
        trial.count += 1
        trial.sum_s += elapsed_s
        if trial.count < min(_JUDGED_BY, self._window):
            return
        mean_s = trial.sum_s / trial.count
        if mean_s > _HELPED * trial.before_s:
            self._usual_s = mean_s
            self._threshold = trial.window
            self._resize(trial.window)
        self._trial = None

    def _shrink(self) -> bool:
        now_s = trio.current_time()
        if now_s - self._shrunk_s < _SHRINK_EVERY_S:
            return False
        self._shrunk_s = now_s
        self._threshold = max(self._window / 2, 1.0)
        self._resize(self._threshold)
        return True

    def _resize(self, window: float) -> None:
        self._window = window
        if int(window) != self.slots.total:
            self.slots.total = int(window)


class _Trial:
    """The window and the time of an answer before the window was halved, and the times since."""

    def __init__(self, window: float, before_s: float) -> None:
        self.window = window
        self.before_s = before_s
        self.count = 0
        self.sum_s = 0.0
