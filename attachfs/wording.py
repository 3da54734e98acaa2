"""Sizes, durations and strangers' words as people like to read them."""

from typing import Final

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


def printable(text: str) -> str:
    """Return a text that cannot garble a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
