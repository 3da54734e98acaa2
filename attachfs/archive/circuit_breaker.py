"""A circuit breaker: while the server does not answer, one request at a time tries it.

Otherwise a thousand readers would each ask again and again. All requests of an archive go through
one breaker, and the catalog asks it whether to serve what is known instead.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Final, TypeVar

import structlog
import trio

from attachfs.errors import (
    AttachfsError,
    BadReply,
    Busy,
    Denied,
    Incident,
    Mismatch,
    NoConnection,
    NotFound,
    ServerFault,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unreachable,
)

T = TypeVar("T")

_FAILURES: Final = (Unreachable, TimedOut, Unavailable)
# It is there, though of no use. The pace that it asks for is kept elsewhere.
_REFUSALS: Final = (ServerFault, Busy, Unauthenticated)
_ANSWERS: Final = (NotFound, Denied, BadReply, Mismatch)
# So many failures in a row, and nothing else for so long, are no accident, as several at one moment
# may be; a connection that cannot be made never is.
_MANY_FAILURES: Final = 8
_QUIET_S: Final = 0.5
# That one thing cannot be had says nothing of all others; that several cannot does.
_MANY_SUBJECTS: Final = 3
# So long after the first failure, a connection is not waited for any more.
_NO_CONNECTION_S: Final = 10.0
_NO_CONNECTION_SHARE: Final = 0.8  # of `timeout_s`: nobody is to time out before it is told why
_FIRST_PAUSE_S: Final = 0.1
# After its end an outage is over for readers within this time.
_MAX_PAUSE_S: Final = 1.0
# For so long a server that did not answer is not waited for by whoever has something to serve.
_TRY_EVERY_S: Final = 5.0
# While it does not answer, so many requests at a time try it for readers who do not wait.
_MAX_PROBES: Final = 8
# Without a connection for so long, it is away: one that restarts refuses for less.
_AWAY_S: Final = 1.0

_log = structlog.get_logger(__name__)


class CircuitBreaker:
    """Learn whether the server answers from the outcome of every request.

    It is *open* from the first connection that cannot be made, or the eighth failure in a row with
    half a second of nothing else, until the next answer of whatever kind. Meanwhile requests go
    one at a time, after pauses that grow from 0.1 to 1 s. It is *settled* once nothing at all was
    to be had for `timeout_s` (10 s where no connection can be made): then nobody waits, and
    whoever asks meanwhile is told why.
    """

    def __init__(self, *, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self._no_connection_s = min(_NO_CONNECTION_S, timeout_s * _NO_CONNECTION_SHARE)
        self._error: AttachfsError | None = None
        self._since_s = 0.0
        self._failed_s = -inf
        self._answered_s = -inf
        self._open = False
        self._failures = 0
        self._subjects: set[str] = set()
        self._probe: object | None = None
        self._next_s = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._waiting = trio.lowlevel.ParkingLot()
        self._incident = Incident()
        self._over_s = -inf
        self._over = self._incident
        self._slow_until_s = -inf
        self._away_until_s = -inf
        self._probes = 0

    @property
    def error(self) -> AttachfsError | None:
        """The last failure, where no answer has come since."""
        return self._error

    @property
    def open(self) -> bool:
        """Return whether requests go one at a time."""
        return self._open

    @property
    def settled(self) -> bool:
        """Return whether nobody waits for an answer any more."""
        return self.open and trio.current_time() >= self._settled_at_s()

    @property
    def away(self) -> bool:
        """Return whether the server was out of reach a moment ago, and that for a second."""
        now_s = trio.current_time()
        if now_s < self._away_until_s:
            return True
        lately = isinstance(self._error, NoConnection) and now_s - self._failed_s < _TRY_EVERY_S
        return lately and now_s - self._since_s >= _AWAY_S

    @property
    def slow(self) -> bool:
        """Return whether an answer has just been too long in coming."""
        return trio.current_time() < max(self._slow_until_s, self._away_until_s)

    def note_slow(self) -> None:
        """Record that an answer did not come in time for a reader."""
        self._slow_until_s = trio.current_time() + _TRY_EVERY_S

    def note_away(self) -> None:
        """Record that a request has failed for good, because no answer came."""
        self._away_until_s = trio.current_time() + _TRY_EVERY_S

    def note_answer(self) -> None:
        """Record that a request has succeeded, or was refused for good."""
        self._slow_until_s = self._away_until_s = -inf

    def begin_probe(self) -> bool:
        """Return whether one more may try; if so, `end_probe` must follow."""
        if self._probes >= _MAX_PROBES:
            return False
        self._probes += 1
        return True

    def end_probe(self) -> None:
        """Take back a probe."""
        self._probes -= 1

    @contextmanager
    def hurried(self, no_connection_s: float) -> Iterator[None]:
        """Wait no longer than this for a connection that cannot be made: a person is waiting."""
        before_s, self._no_connection_s = self._no_connection_s, no_connection_s
        try:
            yield
        finally:
            self._no_connection_s = before_s

    async def run(
        self, work: Callable[[float], Awaitable[T]], *, subject: str, deadline_s: float
    ) -> T:
        """Return what `work` returns, called with the time when it is its turn.

        While no connection can be made, `work` is begun again until one can, or the outage is
        settled. Raises what `work` raises, or why the last one failed where this one is not sent:
        by `deadline_s` of trio's clock, or at once where the outage is settled.
        """
        while True:
            if self._open:
                await self._turn(deadline_s)
            probe = object() if self._open else None
            self._probe = probe or self._probe
            since_s = trio.current_time()
            try:
                outcome = await work(since_s)
            except AttachfsError as error:
                self._note(error, subject, since_s)
                is_last = self.settled or trio.current_time() >= deadline_s
                if is_last or not isinstance(error, NoConnection):
                    raise
            else:
                self.answered()
                return outcome
            finally:
                if probe is not None and self._probe is probe:
                    self._probe = None
                    self._waiting.unpark_all()

    def answered(self) -> None:
        """Record an answer: the server is there, and everybody may ask."""
        self._answered_s = trio.current_time()
        if self._error is None:
            return
        if self.open or self._incident.untold:
            _log.info(
                "the server answers again",
                after_s=round(trio.current_time() - self._since_s, 1),
                further_failures=self._incident.untold,
            )
        if self._open:
            self._over_s, self._over = trio.current_time(), self._incident
        self._error = None
        self._open = False
        self._failures = 0
        self._subjects.clear()
        self._pause_s = _FIRST_PAUSE_S
        self._incident = Incident()
        self._probe = None
        self._waiting.unpark_all()

    def failed(self, error: AttachfsError, *, subject: str, since_s: float | None = None) -> None:
        """Record a failure that says something of the server, asked at `since_s`.

        One of what was asked in an outage that is over is a late part of that.
        """
        if since_s is not None and since_s < self._over_s:
            error.incident = self._over
            return
        now_s = trio.current_time()
        if self._error is None:
            self._since_s = now_s if since_s is None else since_s
        error.incident = self._incident
        self._error = error
        self._failed_s = now_s
        self._failures += 1
        many = self._failures >= _MANY_FAILURES and now_s - self._answered_s >= _QUIET_S
        self._open = self._open or many or isinstance(error, NoConnection)
        if len(self._subjects) < _MANY_SUBJECTS:
            self._subjects.add(subject)
        self._next_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, _MAX_PAUSE_S)

    def _refused(self, error: AttachfsError) -> None:
        """Record an answer that is of no use: nobody need wait, but it is trouble."""
        if self.open:
            self.answered()
        if self._error is None:
            self._since_s = trio.current_time()
        error.incident = self._incident
        self._error = error

    def _note(self, error: AttachfsError, subject: str, since_s: float) -> None:
        """Record how a request ended that was not answered as it should be."""
        if isinstance(error, _FAILURES):
            self.failed(error, subject=subject, since_s=since_s)
        elif isinstance(error, _REFUSALS):
            self._refused(error)
        elif isinstance(error, _ANSWERS):
            self.answered()

    def _settled_at_s(self) -> float:
        """Return when the failures so far settle it, if nothing else happens."""
        if isinstance(self._error, NoConnection):
            return self._since_s + self._no_connection_s
        return self._since_s + self._timeout_s if len(self._subjects) >= _MANY_SUBJECTS else inf

    async def _turn(self, deadline_s: float) -> None:
        """Wait until a request may be sent."""
        while self.open:
            now_s = trio.current_time()
            if self._probe is None and now_s >= self._next_s:
                return
            if self._error is not None and (self.settled or now_s >= deadline_s):
                raise self._error.with_traceback(None)
            until_s = min(deadline_s, self._settled_at_s())
            with trio.move_on_at(min(until_s, inf if self._probe is not None else self._next_s)):
                await self._waiting.park()
