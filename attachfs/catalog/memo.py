"""Remember answers for a while, refusals for a shorter one, and ask for each just once."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import trio
from cachetools import LRUCache

from attachfs.errors import AttachfsError, Denied, NotFound
from attachfs.flights import Flights

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Cache answers by key, at most `max_entries`, the least recently used evicted.

    `merge(old, new)` decides what is kept when an answer is renewed. Refusals (not found, denied)
    are remembered for `negative_ttl_s` seconds; other failures are not.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        negative_ttl_s: float,
        max_entries: int,
        merge: Callable[[V, V], V] = lambda _old, new: new,
    ) -> None:
        self._flights: Flights[K, V] = Flights(nursery)
        self._negative_ttl_s = negative_ttl_s
        self._merge = merge
        self._values: LRUCache[K, tuple[V, float]] = LRUCache(max_entries)
        self._refusals: LRUCache[K, tuple[AttachfsError, float]] = LRUCache(max_entries)

    async def get(
        self, key: K, fetch: Callable[[], Awaitable[V]], *, max_age_s: Callable[[V], float] | float
    ) -> V:
        """Return the answer for `key`, at most `max_age_s` seconds old, else fetch it.

        Raises what `fetch` raises. A cancelled caller leaves the fetch to others who wait for it.
        """
        now_s = trio.current_time()
        try:
            value, at_s = self._values[key]
        except KeyError:
            pass
        else:
            limit_s = max_age_s(value) if callable(max_age_s) else max_age_s
            if now_s - at_s < limit_s:
                return value
        refused = self._refusals.get(key) if self._refusals else None
        if refused is not None:
            error, at_s = refused
            if now_s - at_s < self._negative_ttl_s:
                raise error.with_traceback(None)
        return await self._flights.join(key, lambda: self._fetch(key, fetch))

    def peek(self, key: K) -> V | None:
        """Return the last answer for `key`, however old, without asking."""
        try:
            return self._values[key][0]
        except KeyError:
            return None

    def put(self, key: K, value: V) -> V:
        """Remember an answer that came by another way; returns what is kept."""
        known = self._values.get(key)
        kept = value if known is None else self._merge(known[0], value)
        self._values[key] = (kept, trio.current_time())
        self._refusals.pop(key, None)
        return kept

    def drop(self, key: K) -> None:
        """Forget the answer for `key`."""
        self._values.pop(key, None)

    async def _fetch(self, key: K, fetch: Callable[[], Awaitable[V]]) -> V:
        try:
            value = await fetch()
        except (NotFound, Denied) as error:
            self._values.pop(key, None)
            self._refusals[key] = (error, trio.current_time())
            raise
        return self.put(key, value)
