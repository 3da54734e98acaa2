"""When a request is sent, and whether again: the one policy of all requests to an archive."""

import random
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final, Generic, TypeVar

import structlog
import trio

from attachfs.archive.circuit_breaker import CircuitBreaker
from attachfs.archive.concurrency import MAX_CONCURRENT, ConcurrencyLimiter
from attachfs.archive.faults import may_retry
from attachfs.archive.http.deadline import Deadline
from attachfs.errors import AttachfsError, Busy, GatewayTimeout, ServerFault, TimedOut, Unreachable

T = TypeVar("T")

_log = structlog.get_logger(__name__)

# Pauses of 0.2, 0.4, ... 5 s between them, with as much jitter as the first: 16 s in all.
ATTEMPTS: Final = 8
FIRST_PAUSE_S: Final = 0.2
_MAX_PAUSE_S: Final = 5.0
# A 500 is about what was asked for, more often than it passes.
FAULT_ATTEMPTS: Final = 4
_LEAST_PATIENCE_S: Final = 0.1
_TELLING_S: Final = 0.05  # so long before the deadline, why it failed is told


class _TooLate(Exception):
    """Say that the time was over before a request was sent, or soon after."""


class RequestPolicy:
    """Send requests by one deadline, in an order that spares the server.

    `breaker` knows whether the server answers, `limiter` how many requests it answers readily.
    """

    def __init__(self, *, timeout_s: float, max_concurrent: int = MAX_CONCURRENT) -> None:
        self.timeout_s = timeout_s
        self.breaker = CircuitBreaker(timeout_s=timeout_s)
        self.limiter = ConcurrencyLimiter(max_concurrent)

    async def run(
        self,
        work: Callable[[Deadline], Awaitable[T]],
        *,
        subject: str,
        left_s: float = inf,
        is_whole: bool = False,
    ) -> T:
        """Return what `work` returns, after more attempts where they may help.

        Only what may pass by itself is tried again (`may_retry`), and that not beyond the timeout
        or `left_s` from now; where it `is_whole`, the last attempt ends by then, too. `work` runs
        in a deadline that bounds each wait for bytes: by a third of the time at first, so that
        what has stalled can be had anew, then by all that is left, for what takes long (while the
        breaker is open, a third each time). A wait that the server asks for and that is longer
        than what is left is not begun. Raises what the last attempt raised, and `Busy` where so
        many others wait that it was sent late, or not at all: no answer says nothing of the
        server then.
        """
        request = _Request(self, work, subject, min(left_s, self.timeout_s), is_whole=is_whole)
        failure: AttachfsError | None = None
        while True:
            before = request.sent
            try:
                return await self.breaker.run(
                    request.attempt, subject=subject, deadline_s=request.deadline_s
                )
            except AttachfsError as error:
                if request.sent == before:  # its turn did not come: the last failure says more
                    raise failure or error from None
                failure = error.with_traceback(None)  # which holds what the work held: a file, say
            except _TooLate:
                failure = failure or self.breaker.error
                if failure is None:
                    failure = Busy(f"{subject}: too many other requests are waiting")
                raise failure from None
            if not await request.pause(failure):
                raise failure


class OfflinePolicy(RequestPolicy):
    """Send nothing: every request is `Unreachable`, at once."""

    async def run(
        self,
        _work: Callable[[Deadline], Awaitable[T]],
        *,
        subject: str,
        left_s: float = inf,  # noqa: ARG002 - there is nothing to wait for
        is_whole: bool = False,  # noqa: ARG002
    ) -> T:
        """Raise `Unreachable`."""
        await trio.lowlevel.checkpoint()
        raise Unreachable(f"{subject}: not known on this machine, and --offline asks no server")


class _Request(Generic[T]):
    """Make attempts at one piece of work; `sent` counts them."""

    def __init__(
        self,
        policy: RequestPolicy,
        work: Callable[[Deadline], Awaitable[T]],
        subject: str,
        timeout_s: float,
        *,
        is_whole: bool,
    ) -> None:
        until_s = trio.current_time() + timeout_s
        self._policy = policy
        self._work = work
        self._subject = subject
        self._timeout_s = timeout_s
        self._until_s = until_s if is_whole else inf
        self._pause_s = FIRST_PAUSE_S
        self.deadline_s = until_s - _TELLING_S
        self.sent = 0

    async def attempt(self, now_s: float) -> T:
        """Do the work, once the server does not ask for a wait; raises `_TooLate` as well."""
        limiter, timeout_s = self._policy.limiter, self._timeout_s
        if limiter.is_paused(now_s):
            now_s = await self._resumed()
        self.sent += 1
        patience_s = max(self.deadline_s - now_s, _LEAST_PATIENCE_S)
        # A brief one also while others wait for it: what they ask for may be had.
        if self.sent == 1 or self._policy.breaker.open:
            patience_s = min(patience_s, timeout_s / 3)
        with Deadline(patience_s, self._until_s, now_s=now_s) as deadline:
            try:
                return await self._work(deadline)
            except Busy as error:
                limiter.refused(error, longest_wait_s=self._policy.timeout_s)
                raise
            except (TimedOut, Unreachable) as error:
                if not deadline.over or isinstance(error, GatewayTimeout):
                    raise
        now_s = trio.current_time()
        if now_s < self._until_s:
            waited = f"nothing came for {patience_s:.3g} s"
            raise TimedOut(f"{self._subject}: no answer in time ({waited})")
        if now_s - deadline.begun_s < timeout_s / 2:
            raise _TooLate
        raise TimedOut(f"{self._subject}: no answer within {timeout_s:g} s")

    async def pause(self, failure: AttachfsError) -> bool:
        """Wait before another attempt; return whether there is to be one."""
        wait_s = _wait_s(failure, self.sent, self._pause_s)
        left_s = self.deadline_s - trio.current_time()
        if wait_s is None or left_s <= 0 or (_says_when(failure) and wait_s >= left_s):
            return False
        _log.debug("asking again", attempt=self.sent, wait_s=round(wait_s, 2), reason=str(failure))
        await trio.sleep(min(wait_s, left_s))
        self._pause_s = min(2 * self._pause_s, _MAX_PAUSE_S)
        return wait_s < left_s

    async def _resumed(self) -> float:
        """Wait as long as the server has asked for; return what time it is then."""
        with trio.move_on_at(self.deadline_s):
            await self._policy.limiter.resumed()
            return trio.current_time()
        raise _TooLate


def _says_when(failure: AttachfsError) -> bool:
    """Return whether the server says how long to wait."""
    return isinstance(failure, Busy) and failure.retry_after_s is not None


def _wait_s(failure: AttachfsError, sent: int, pause_s: float) -> float | None:
    """Return how long to wait before another attempt; None where there is to be none."""
    if sent >= (FAULT_ATTEMPTS if type(failure) is ServerFault else ATTEMPTS):
        return None
    wait_s = may_retry(failure)
    if isinstance(wait_s, bool):
        pause_s += random.uniform(0, FIRST_PAUSE_S)  # noqa: S311
        return min(pause_s, _MAX_PAUSE_S) if wait_s else None
    return wait_s
