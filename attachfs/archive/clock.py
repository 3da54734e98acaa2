"""What time it is at the server."""

import email.utils
import time
from datetime import UTC
from typing import Final

_ASK_EVERY_S: Final = 10.0


class ServerClock:
    """Tell the server's time from the Date of its answers (RFC 9110 section 6.6.1)."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._told_s = float("-inf")

    def told(self, date: str | None) -> None:
        """Take note of a Date header, once in a while: parsing one takes 20 us."""
        now_s = time.monotonic()
        if date is None or now_s - self._told_s < _ASK_EVERY_S:
            return
        told_s = http_date_s(date)
        if told_s is not None:
            self._ahead_s = told_s - time.time()
            self._told_s = now_s

    def now_s(self) -> float:
        """Return the server's time in seconds since 1970 UTC; this machine's where none came."""
        return time.time() + self._ahead_s


def http_date_s(text: str) -> float | None:
    """Return seconds since 1970 UTC for a date of HTTP (RFC 9110 section 5.6.7), else None."""
    try:
        date = email.utils.parsedate_to_datetime(text)
        # Without a zone it would be taken for this machine's.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
