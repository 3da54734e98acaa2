"""Whether the server can be asked at all: who waits for it, and who is served what is known."""

from typing import Final

import trio

# How long nobody waits for a server that did not answer; then the next one tries.
_TRY_EVERY_S: Final = 5.0
# While it does not answer, so many requests at a time find out whether it does again.
_MAX_PROBES: Final = 8


class Trouble:
    """Remember that the server could not be reached, or did not answer readily, a moment ago."""

    def __init__(self) -> None:
        self._slow_until_s = float("-inf")
        self._away_until_s = float("-inf")
        self._probes = 0

    @property
    def slow(self) -> bool:
        """Tell whether an answer has just been too long in coming."""
        return trio.current_time() < max(self._slow_until_s, self._away_until_s)

    @property
    def away(self) -> bool:
        """Tell whether the server has just been out of reach."""
        return trio.current_time() < self._away_until_s

    def note_slow(self) -> None:
        """Take note of an answer that did not come in time."""
        self._slow_until_s = trio.current_time() + _TRY_EVERY_S

    def note_away(self) -> None:
        """Take note that the server cannot be reached."""
        self._away_until_s = trio.current_time() + _TRY_EVERY_S

    def note_answer(self) -> None:
        """Take note of an answer, of whatever kind."""
        self._slow_until_s = self._away_until_s = float("-inf")

    def begin_probe(self) -> bool:
        """Tell whether one more may find out; if so, `end_probe` must follow."""
        if self._probes >= _MAX_PROBES:
            return False
        self._probes += 1
        return True

    def end_probe(self) -> None:
        """Take back a probe."""
        self._probes -= 1
