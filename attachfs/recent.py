"""The values put in last: a bounded cache whose hits cost no Python call."""

from collections.abc import Callable, Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(dict[K, V]):
    """Hold the `max_entries` values that were set last; setting one again makes it the newest.

    A hit of `cachetools.LRUCache` calls three Python functions, and a lookup of the kernel may take
    one of many such caches. `on_evict(key, value)` is told what was pushed out.
    """

    def __init__(
        self,
        max_entries: int,
        *,
        on_evict: Callable[[K, V], object] = lambda _key, _value: None,
    ) -> None:
        super().__init__()
        self._max_entries = max_entries
        self._on_evict = on_evict

    def __setitem__(self, key: K, value: V) -> None:
        """Set a value, and push out the oldest one where there are too many."""
        self.pop(key, None)
        super().__setitem__(key, value)
        if len(self) > self._max_entries:
            oldest = next(iter(self))
            self._on_evict(oldest, self.pop(oldest))
