"""What is read: files whose bytes anybody can tell from their number."""

from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Final

_POOL_BYTES: Final = 32 << 20
_MIN_BYTES, _MAX_BYTES = 1 << 10, 4 << 20


@dataclass(frozen=True)
class Evidence:
    """So many files, of 1 KiB to 4 MiB, evenly on a scale of powers; each is a piece of one pool.

    No two have the same bytes.
    """

    files: int
    seed: int = 1

    @cached_property
    def _pool(self) -> memoryview:
        return memoryview(Random(self.seed).randbytes(_POOL_BYTES))  # noqa: S311 - no secret

    def size_bytes(self, number: int) -> int:
        """Return the length of a file."""
        share = Random(f"{self.seed} {number}").random()  # noqa: S311
        return int(_MIN_BYTES * (_MAX_BYTES / _MIN_BYTES) ** share)

    def content(self, number: int) -> memoryview:
        """Return the bytes of a file."""
        begin = number * (_POOL_BYTES - _MAX_BYTES) // max(self.files, 1)
        return self._pool[begin : begin + self.size_bytes(number)]
