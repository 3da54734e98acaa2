"""While the server does not answer, one request at a time finds out whether it does again.

A thousand readers would else each ask again and again. All requests of an archive, waiting or
blocking, go through one `Outage`.
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

_log = structlog.get_logger(__name__)


class Outage:
    """Know whether the server answers, from the outcome of every request.

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

    @property
    def error(self) -> AttachfsError | None:
        """The last failure, where no answer has come since."""
        return self._error

    @property
    def open(self) -> bool:
        """Tell whether requests go one at a time."""
        return self._open

    @property
    def settled(self) -> bool:
        """Tell whether nobody waits for an answer any more."""
        return self.open and trio.current_time() >= self._settled_at_s()

    @contextmanager
    def hurried(self, no_connection_s: float) -> Iterator[None]:
        """Wait no longer than this for a connection that cannot be made: a person is waiting."""
        before_s, self._no_connection_s = self._no_connection_s, no_connection_s
        try:
            yield
        finally:
            self._no_connection_s = before_s

    async def run(self, work: Callable[[], Awaitable[T]], *, subject: str, deadline_s: float) -> T:
        """Return what `work` returns, sent when it is its turn.

        While no connection can be made, `work` is begun again until one can, or the outage is
        settled. Raises what `work` raises, or why the last one failed where this one is not sent:
        by `deadline_s` of trio's clock, or at once where the outage is settled.
        """
        while True:
            await self._turn(deadline_s)
            probe = object() if self.open else None
            self._probe = probe or self._probe
            try:
                return await self._observed(work, subject)
            except NoConnection:
                if self.settled or trio.current_time() >= deadline_s:
                    raise
            finally:
                if probe is not None and self._probe is probe:
                    self._probe = None
                    self._waiting.unpark_all()

    def answered(self) -> None:
        """Take note of an answer: the server is there, and everybody may ask."""
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
        """Take note of a failure that says something of the server, asked at `since_s`.

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
        self._failures += 1
        many = self._failures >= _MANY_FAILURES and now_s - self._answered_s >= _QUIET_S
        self._open = self._open or many or isinstance(error, NoConnection)
        if len(self._subjects) < _MANY_SUBJECTS:
            self._subjects.add(subject)
        self._next_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, _MAX_PAUSE_S)

    def _refused(self, error: AttachfsError) -> None:
        """Take note of an answer that is of no use: nobody need wait, but it is trouble."""
        if self.open:
            self.answered()
        if self._error is None:
            self._since_s = trio.current_time()
        error.incident = self._incident
        self._error = error

    async def _observed(self, work: Callable[[], Awaitable[T]], subject: str) -> T:
        since_s = trio.current_time()
        try:
            outcome = await work()
        except AttachfsError as error:
            if isinstance(error, _FAILURES):
                self.failed(error, subject=subject, since_s=since_s)
            elif isinstance(error, _REFUSALS):
                self._refused(error)
            elif isinstance(error, _ANSWERS):
                self.answered()
            raise
        self.answered()
        return outcome

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
