"""What the memos of one archive share, as a test wants it, and something to ask."""

from itertools import count

import trio

from attachfs.archive.circuit_breaker import CircuitBreaker
from attachfs.catalog.clock import Clock
from attachfs.catalog.index import Index
from attachfs.catalog.memo import Basis, Codec
from tests.support.archives import index_in_memory

NEGATIVE_TTL_S = 5.0

TEXT: Codec[str, str] = Codec(
    pack=str.encode,
    dump=str.encode,
    load=lambda _key, data: data.decode(),
    same=lambda old, new: old == new,
)


def basis(
    nursery: trio.Nursery,
    *,
    stale_ok_s: float = 0.0,
    index: Index | None = None,
    clock: Clock | None = None,
) -> Basis:
    """Return a basis with an index in memory, refusals remembered for five seconds."""
    return Basis(
        index or index_in_memory(nursery),
        nursery,
        clock or Clock(),
        CircuitBreaker(),
        NEGATIVE_TTL_S,
        stale_ok_s,
    )


class Source:
    """Answer with a new value each time, after `delay_s` seconds, or fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.cancelled = 0
        self.delay_s = 0.0
        self.error: Exception | None = None
        self._numbers = count(1)

    async def __call__(self) -> str:
        """Answer."""
        self.asked += 1
        try:
            await trio.sleep(self.delay_s)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return f"value {next(self._numbers)}"
