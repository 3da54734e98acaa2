"""Times as they name directories of the view as-of/."""

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from attachfs.archive.timestamps import parse_ns

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MAX_CHARS: Final = 40
_NS_PER_S: Final = 10**9
_NS_PER_MS: Final = 10**6


class Moment(NamedTuple):
    """Hold a time: as the API takes it, and in nanoseconds since 1970 UTC."""

    at_time: str
    at_ns: int


def parse_moment(name: str) -> Moment | None:
    """Return the time that a directory's name says, None where it says none.

    RFC 3339 times of any offset, to the millisecond; a date alone stands for its end, in UTC: what
    was recorded on that day is there, as accounts as of a date have it.
    """
    if len(name) > _MAX_CHARS or not name.isascii():
        return None
    at_ns = parse_ns(f"{name}T23:59:59.999Z" if _DATE.fullmatch(name) else name)
    if at_ns is None:
        return None
    at_ns -= at_ns % _NS_PER_MS
    seconds, rest_ns = divmod(at_ns, _NS_PER_S)
    fraction = f".{rest_ns // _NS_PER_MS:03d}" if rest_ns else ""
    return Moment(f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z", at_ns)
