"""Count what the kernel asks for, and remember the errors of late."""

import time
from collections import Counter, deque
from typing import Final, NamedTuple

from attachfs.escaping import escaped

_MAX_RECENT: Final = 20


class Trouble(NamedTuple):
    """Hold an error that was told: when, in seconds since 1970 UTC, and to which operation."""

    at_s: float
    operation: str
    error: str
    message: str


class Tally:
    """Hold counts by operation, and by operation and error; `recent` has the last errors told."""

    def __init__(self) -> None:
        self.operations: Counter[str] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.recent: deque[Trouble] = deque(maxlen=_MAX_RECENT)

    def failed(self, operation: str, error: Exception) -> None:
        """Count an error."""
        self.errors[operation, type(error).__name__] += 1

    def told(self, operation: str, error: Exception) -> None:
        """Remember an error that is worth a look."""
        message = escaped(str(error))
        self.recent.append(Trouble(time.time(), operation, type(error).__name__, message))


TALLY: Final = Tally()
"""That of this process, which has one mount, as pyfuse3 has one session."""
