"""What an archive is asked for, by kind, counted as it is asked; and how much a second it allows.

The archive's own log holds the last 200,000 requests, fewer than a hundredth of a large estate
takes.
"""

import re
import time
from collections import Counter
from typing import Final

from attachfs.demo.traffic import Logged, Traffic

_UUID: Final = "[0-9a-f-]{36}"
_HOLDER: Final = f"assets/{_UUID}(?:/events/{_UUID})?"
_KINDS: Final = {
    "asset pages": "assets",
    "event pages": f"assets/(?:-|{_UUID})/events",
    "asset records": f"assets/{_UUID}",
    "event records": f"assets/{_UUID}/events/{_UUID}",
    "infos": f"attachments/{_HOLDER}/{_UUID}/info",
    "bodies": f"attachments/{_HOLDER}/{_UUID}",
}
_PATTERNS: Final = {
    kind: re.compile(f"/archivist/v2/{pattern}") for kind, pattern in _KINDS.items()
}
REFUSALS: Final = "refusals"
OTHERS: Final = "others"
_TOO_MANY: Final = 429


def kind_of(path: str) -> str:
    """Return what a request is for."""
    for kind, pattern in _PATTERNS.items():
        if pattern.fullmatch(path):
            return kind
    return OTHERS


class Counting(Traffic):
    """Count requests and the bytes of their answers; refuse what is more than `rate` a second.

    The rate is one of a bucket that holds a second's worth; 0 is no limit.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()
        self.answered_bytes: Counter[str] = Counter()
        self.set_rate(rate)

    def set_rate(self, rate: float) -> None:
        """Allow so many requests a second from now on."""
        self._rate = rate
        self._left = rate
        self._filled_s = time.monotonic()

    def note(self, entry: Logged) -> None:
        """Count a request, by what it is for or by having been refused."""
        kind = REFUSALS if entry.status == _TOO_MANY else kind_of(entry.path)
        self.counted[kind] += 1
        self.answered_bytes[kind] += entry.response_bytes

    def is_limited(self, every: int) -> bool:
        """Tell whether this request is one too many."""
        if not self._rate:
            return super().is_limited(every)
        now_s = time.monotonic()
        self._left = min(self._left + (now_s - self._filled_s) * self._rate, self._rate)
        self._filled_s = now_s
        if self._left < 1:
            return True
        self._left -= 1
        return False

    def taken(self) -> dict[str, dict[str, int]]:
        """Return what was counted since the last time."""
        counted = {"requests": dict(self.counted), "bytes": dict(self.answered_bytes)}
        self.counted.clear()
        self.answered_bytes.clear()
        return counted
