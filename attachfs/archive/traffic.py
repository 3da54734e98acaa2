"""Count the requests to an archive, time them, and trace each in the log at level debug."""

import time
from collections import Counter
from collections.abc import Mapping
from itertools import count
from typing import Final

import structlog

from attachfs.errors import AttachfsError

_REQUEST_ID: Final = "x-request-id"
_MAX_ID_CHARACTERS: Final = 128

_log = structlog.get_logger(__name__)


class Traffic:
    """Hold what has been asked of an archive; one for all clients of it, in the event loop.

    `answers` counts by status, `failures` by the class of the error; `wait_s` is the time until
    the headers came, in seconds, summed over all that were answered; `body_bytes` are those of
    attachments.
    """

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.wait_s = 0.0
        self.body_bytes = 0
        self._ids = count(1)

    def begin(self, path: str, *, offset: int = 0) -> "Trace":
        """Take note of a request that is sent now, for the bytes of a body from `offset` on."""
        return Trace(self, next(self._ids), path, offset)

    def answered(self, status: int, wait_s: float) -> None:
        """Count an answer."""
        self.answers[status] += 1
        self.wait_s += wait_s

    def failed(self, kind: str) -> None:
        """Count a request that had no answer."""
        self.failures[kind] += 1

    def received(self, size_bytes: int) -> None:
        """Count bytes of attachments."""
        self.body_bytes += size_bytes


class Trace:
    """Follow one request: its number is in all log lines of it."""

    __slots__ = ("_begun_s", "_id", "_offset", "_path", "_traffic")

    def __init__(self, traffic: Traffic, number: int, path: str, offset: int) -> None:
        self._traffic = traffic
        self._id = number
        self._path = path
        self._offset = offset
        self._begun_s = time.monotonic()

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Take note of an answer's status and headers."""
        wait_s = time.monotonic() - self._begun_s
        self._traffic.answered(status, wait_s)
        more: dict[str, object] = {"offset": self._offset} if self._offset else {}
        theirs = headers.get(_REQUEST_ID)
        if theirs and theirs.isprintable():
            more["server_id"] = theirs[:_MAX_ID_CHARACTERS]
        _log.debug("request", id=self._id, path=self._path, status=status, ms=_ms(wait_s), **more)

    def failed(self, error: AttachfsError) -> None:
        """Take note that there was no answer."""
        self._traffic.failed(type(error).__name__)
        _log.debug(
            "request failed",
            id=self._id,
            path=self._path,
            ms=_ms(time.monotonic() - self._begun_s),
            error=type(error).__name__,
            reason=str(error),
        )


def _ms(duration_s: float) -> float:
    return round(duration_s * 1000, 1)
