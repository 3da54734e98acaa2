"""Notice that things are asked for in order, and say which come next."""

from collections.abc import Hashable, Sequence
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

# Whoever leaves out a few, such as what it has already, still goes in order.
_MAX_GAP: Final = 8
_FIRST_WINDOW: Final = 4
# Fast, as each step costs its reader a round trip: 4, 16, 64.
_GROWTH: Final = 4


class InOrder(Generic[K]):
    """Follow one reader through `keys`; the more steps it takes in order, the further to look."""

    def __init__(self, keys: Sequence[K], *, max_ahead: int) -> None:
        self._keys = keys
        self._index = {key: index for index, key in enumerate(keys)}
        self._max_ahead = max_ahead
        self._window = 0
        self._begin = 0
        self._last = -1
        self._told = 0

    def step(self, key: K) -> Sequence[K]:
        """Take note of what is asked for now; return what is to be fetched, each key once.

        Going back to what was passed already changes nothing; a leap begins anew.
        """
        at = self._index.get(key)
        if at is None or self._begin <= at <= self._last:
            return ()
        if 0 <= self._last < at <= self._last + _MAX_GAP:
            self._window = min(max(self._window * _GROWTH, _FIRST_WINDOW), self._max_ahead)
        else:
            self._window = 0
            self._begin = self._told = at
        self._last = at
        first = max(self._told, at + 1)
        self._told = max(first, min(at + 1 + self._window, len(self._keys)))
        return self._keys[first : self._told]
