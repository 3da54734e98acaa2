"""The log of requests, and failures ordered in advance for requests to come."""

import re
from collections import Counter, deque
from typing import Any

import msgspec

from attachfs.demo.errors import ApiError
from attachfs.demo.wire import Record

_MAX_LOGGED = 200_000


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """One request and how it was answered; `range` is its Range header or empty."""

    method: str
    path: str
    query: str
    status: int
    has_authorization: bool
    range: str
    response_bytes: int


class Failure(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A failure that meets the next requests whose path matches.

    `times` requests fail, after `skip` were let through and each after `delay_s`. With
    `disconnect` the connection is cut behind the headers of an answer. A status of 0 only delays.
    """

    path_regex: str = ""
    method: str = ""
    status: int = 503
    headers: dict[str, str] = {}
    body: str | None = None
    times: int = 1
    skip: int = 0
    delay_s: float = 0.0
    disconnect: bool = False


class Traffic:
    """What went over the wire, and what shall go wrong on it."""

    def __init__(self) -> None:
        self._logged: deque[Logged] = deque(maxlen=_MAX_LOGGED)
        self._failures: list[Failure] = []
        self._limited = 0
        self.tracebacks: list[str] = []

    def note(self, entry: Logged) -> None:
        """Append a request to the log."""
        self._logged.append(entry)

    def reset(self) -> None:
        """Forget all requests and all failures that have not happened."""
        self._logged.clear()
        self._failures.clear()
        self._limited = 0

    def requests(self, path_regex: str = "") -> list[Logged]:
        """Return the requests since the last reset whose path matches."""
        pattern = re.compile(path_regex)
        return [entry for entry in self._logged if pattern.search(entry.path)]

    def report(self) -> Record:
        """Return the log with counts, and how many failures have yet to meet their requests."""
        return {
            "failures_left": sum(failure.times for failure in self._failures),
            "requests": msgspec.to_builtins(list(self._logged)),
            "counts": {
                "total": len(self._logged),
                "by_path": dict(Counter(entry.path for entry in self._logged)),
                "by_status": dict(Counter(str(entry.status) for entry in self._logged)),
            },
        }

    def fail_next(self, **failure: Any) -> None:
        """Order a failure; the arguments are the fields of `Failure`.

        Raises:
            ApiError: 400, a field is unknown or of the wrong type.
        """
        try:
            ordered = msgspec.convert(failure, Failure)
            re.compile(ordered.path_regex)
        except (msgspec.ValidationError, re.error) as error:
            raise ApiError.invalid(f"bad failure: {error}") from error
        self._failures.append(ordered)

    def take_failure(self, method: str, path: str) -> Failure | None:
        """Return the failure that a request meets, using it up."""
        for failure in self._failures:
            if failure.method not in ("", method) or not re.search(failure.path_regex, path):
                continue
            if failure.skip > 0:
                failure.skip -= 1
                continue
            failure.times -= 1
            if failure.times <= 0:
                self._failures.remove(failure)
            return failure
        return None

    def is_limited(self, every: int) -> bool:
        """Tell whether this is the n-th request, which the rate limit hits; 0 is never."""
        if every <= 0:
            return False
        self._limited += 1
        return self._limited % every == 0
