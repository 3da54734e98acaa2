"""Timestamps of the service: RFC 3339 with 0 to 9 fractional digits (contract section 5.3)."""

import re
from datetime import UTC, datetime
from typing import Final

_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
_NS_PER_S: Final = 1_000_000_000
_MAX_S: Final = 2**33  # the year 2242; what lies beyond is a mistake, and file systems differ there


def parse_ns(timestamp: object) -> int | None:
    """Return nanoseconds since 1970 UTC, or None for what is no RFC 3339 time from 1970 on."""
    match = _RFC3339.fullmatch(timestamp) if isinstance(timestamp, str) else None
    if match is None:
        return None
    date, time, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{time}{'+00:00' if zone in 'Zz' else zone}")
        seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
    if not 0 <= seconds < _MAX_S:
        return None
    return seconds * _NS_PER_S + int((fraction or "").ljust(9, "0"))
