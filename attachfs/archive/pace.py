"""How many requests may be under way: as many as the server answers readily."""

from typing import TYPE_CHECKING, Final

import trio

from attachfs.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CONCURRENT: Final = 64
_FIRST_CONCURRENT: Final = 32
# An answer is slow where it took this long and so many times longer than the quickest so far.
_SLOW_S: Final = 0.5
_SLOW_FACTOR: Final = 4.0
_SHRINK_EVERY_S: Final = 1.0  # one burst of refusals is one reason to slow down
_SAME_S: Final = 0.1  # waits of one burst end at nearly the same time


class Pace:
    """Bound the requests under way to `limiter`, whose size follows how the server answers.

    It doubles with every round of ready answers up to where the server was overtaxed before, then
    grows by one a round, to `max_concurrent` at most; it is halved by a refusal (429) or a slow
    answer. A wait that the server asked for is everybody's. `on_refused` is told of each refusal
    that made a difference, so that others who ask the same server may `heed` it too.
    """

    def __init__(self, max_concurrent: int = MAX_CONCURRENT) -> None:
        self._max_concurrent = max_concurrent
        self._window = float(min(_FIRST_CONCURRENT, max_concurrent))
        self._threshold = float(max_concurrent)
        self._quickest_s = float("inf")
        self._shrunk_s = float("-inf")
        self._resume_s = 0.0
        self.limiter = trio.CapacityLimiter(int(self._window))
        self.on_refused: Callable[[Busy], object] | None = None

    async def wait(self) -> None:
        """Wait as long as the server has asked for; returns at once where it has not."""
        while self._resume_s > trio.current_time():  # noqa: ASYNC110 - it may have grown
            await trio.sleep_until(self._resume_s)

    def answered(self, elapsed_s: float) -> None:
        """Take note of an answer and how long it took."""
        self._quickest_s = min(self._quickest_s, elapsed_s)
        if elapsed_s > max(_SLOW_S, _SLOW_FACTOR * self._quickest_s):
            # What was asked for before it was halved says nothing of whether that was enough.
            if trio.current_time() - elapsed_s >= self._shrunk_s:
                self._shrink()
        elif self._window < self._max_concurrent:
            step = 1.0 if self._window < self._threshold else 1.0 / self._window
            self._resize(min(self._window + step, self._max_concurrent))

    def refused(self, error: Busy, *, longest_wait_s: float) -> None:
        """Take note of a 429; a wait longer than `longest_wait_s` is left to each caller."""
        if self.heed(error, longest_wait_s=longest_wait_s) and self.on_refused is not None:
            self.on_refused(error)

    def heed(self, error: Busy, *, longest_wait_s: float) -> bool:
        """Take note of a 429 that somebody else was told; return whether it makes a difference."""
        is_longer = False
        if error.retry_after_s is not None and error.retry_after_s < longest_wait_s:
            resume_s = trio.current_time() + error.retry_after_s
            is_longer = resume_s > self._resume_s + _SAME_S
            self._resume_s = max(self._resume_s, resume_s)
        return self._shrink() or is_longer

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
        self.limiter.total_tokens = int(window)
