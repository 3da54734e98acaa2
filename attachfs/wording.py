"""Format sizes, durations and times for people."""

from datetime import UTC, datetime
from typing import Final

NS_PER_S: Final = 1_000_000_000
_DAY_S: Final = 86400
_HOUR_S: Final = 3600
_MINUTE_S: Final = 60


def rough_duration(duration_s: float) -> str:
    """Return a duration in the largest unit that it has two of."""
    for unit_s, name in ((_DAY_S, "days"), (_HOUR_S, "hours"), (_MINUTE_S, "minutes")):
        if duration_s >= 2 * unit_s:
            return f"{int(duration_s // unit_s)} {name}"
    return f"{int(duration_s)} seconds"


def rough_size(size_bytes: float) -> str:
    """Return a size in the largest unit that it has one of."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:  # noqa: PLR2004 - what the units are multiples of
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def time_text(at_ns: int) -> str:
    """Return a time in nanoseconds since 1970 as RFC 3339, UTC; empty where there is none."""
    if at_ns <= 0:
        return ""
    return f"{datetime.fromtimestamp(at_ns // NS_PER_S, UTC):%Y-%m-%dT%H:%M:%SZ}"
