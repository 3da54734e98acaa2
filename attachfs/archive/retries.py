"""When to ask again, and how long to wait before it: one policy for all requests."""

from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import Final, Generic, TypeVar

import stamina
import trio

from attachfs.archive.faults import may_retry
from attachfs.archive.outage import Outage
from attachfs.errors import AttachfsError, ServerFault

T = TypeVar("T")

# Waits of 0.2, 0.4, ... 5 s between them: 16 s in all.
ATTEMPTS: Final = 8
# A 500 is about what was asked for, more often than it passes.
FAULT_ATTEMPTS: Final = 4
_LEAST_PATIENCE_S: Final = 0.1
_TELLING_S: Final = 0.05  # so long before the deadline, why it failed is told

_retries = partial(
    stamina.retry_context,
    attempts=ATTEMPTS,
    wait_initial=0.2,  # seconds, doubled each time, with as much jitter
    wait_max=5.0,
    wait_jitter=0.2,
)


async def retried(
    work: Callable[[float], Awaitable[T]], *, outage: Outage, subject: str, timeout_s: float
) -> T:
    """Return what `work` returns, after more attempts where they may help.

    Only what may pass by itself is tried again (`may_retry`), and that not beyond `timeout_s`
    seconds from now; while nothing can be had from the server, `outage` says who may try. `work`
    is told how many seconds it may wait for bytes: a third of `timeout_s` at first, so that what
    has stalled can be had anew, then all that is left, for what takes long (in an outage, a third
    each time). A wait that the server
    asks for and that is longer is not begun. Raises what the last attempt raised.
    """
    attempts = _Attempts(work, outage, subject, timeout_s)
    try:
        return await _made(attempts)
    finally:
        attempts.forget()


async def _made(attempts: "_Attempts[T]") -> T:
    try:
        return await attempts.next()
    except AttachfsError as error:
        if attempts.again(error) is False:
            raise
        failure: AttachfsError | None = error
    # The machinery costs 0.3 ms, so that it is set up after a failure, which is its first attempt.
    # A wait that is under way at the deadline ends there; an attempt that gets on may go on.
    with trio.CancelScope() as pause:
        async for turn in _retries(on=attempts.again, timeout=attempts.left_s()):
            pause.deadline = inf
            with turn:
                if failure is not None:
                    failure = None  # its traceback holds this frame
                    pause.deadline = attempts.deadline_s
                    raise attempts.failure
                try:
                    return await attempts.next()
                finally:
                    pause.deadline = attempts.deadline_s
    raise attempts.failure


class _Attempts(Generic[T]):
    """Make one attempt after the other at one piece of work."""

    def __init__(
        self, work: Callable[[float], Awaitable[T]], outage: Outage, subject: str, timeout_s: float
    ) -> None:
        self._work = work
        self._outage = outage
        self._subject = subject
        self._timeout_s = timeout_s
        self.deadline_s = trio.current_time() + timeout_s - _TELLING_S
        self._count = 0
        self._sent = True
        self._failure: AttachfsError | None = None

    @property
    def failure(self) -> AttachfsError:
        """Why the last attempt failed."""
        assert self._failure is not None  # noqa: S101 - nobody asks before one has
        return self._failure.with_traceback(None)

    def forget(self) -> None:
        """Let go of the work, which may hold an open file: tenacity's cycles hold us."""
        del self._work
        if self._failure is not None:
            self._failure.with_traceback(None)

    def left_s(self) -> float:
        """Return how many seconds are left."""
        return self.deadline_s - trio.current_time()

    async def next(self) -> T:
        """Return the outcome of another attempt.

        Where it does not get its turn any more, the last one's failure is raised, not another's.
        """
        count_before = self._count
        self._sent = True
        try:
            return await self._outage.run(
                self._in_time, subject=self._subject, deadline_s=self.deadline_s
            )
        except AttachfsError as error:
            self._sent = self._count > count_before
            if not self._sent and self._failure is not None:
                raise self._failure from None
            self._failure = error
            raise

    def again(self, error: Exception) -> bool | float:
        """Tell whether there should be another attempt, and after how many seconds."""
        if not self._sent:  # the outage is settled: nobody waits
            return False
        if type(error) is ServerFault and self._count >= FAULT_ATTEMPTS:
            return False
        wait_s = may_retry(error)
        if isinstance(wait_s, bool):
            return wait_s
        return wait_s if wait_s < self.left_s() else False

    async def _in_time(self) -> T:
        self._count += 1
        left_s = max(self.left_s(), _LEAST_PATIENCE_S)
        # Also while others wait for it: what they ask for may be had.
        is_brief = self._count == 1 or self._outage.open
        return await self._work(min(left_s, self._timeout_s / 3) if is_brief else left_s)
