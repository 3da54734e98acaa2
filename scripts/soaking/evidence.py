"""What is read: files whose bytes follow from their numbers."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from random import Random
from typing import Final

_POOL_BYTES: Final = 32 << 20
_MIN_BYTES: Final = 1 << 10
_MAX_BYTES: Final = 4 << 20


@dataclass(frozen=True)
class Evidence:
    """Files of 1 KiB to 4 MiB, evenly on a scale of powers; each is a piece of one pool.

    No two have the same bytes.
    """

    files: int
    seed: int = 1

    @cached_property
    def _pool(self) -> bytes:
        return Random(self.seed).randbytes(_POOL_BYTES)  # noqa: S311 - no secret

    def size_bytes(self, number: int) -> int:
        """Return the length of a file."""
        random = Random(f"{self.seed} {number}")  # noqa: S311 - no secret
        return int(_MIN_BYTES * (_MAX_BYTES / _MIN_BYTES) ** random.random())

    def content(self, number: int) -> bytes:
        """Return the bytes of a file."""
        begin = self._begin(number)
        return self._pool[begin : begin + self.size_bytes(number)]

    def sha256(self, number: int) -> str:
        """Return the digest of a file in hexadecimal."""
        return sha256(self.content(number)).hexdigest()

    def first_wrong(self, number: int, at: int, found: bytes) -> int | None:
        """Return the offset of the first byte that is wrong in what was `found` at an offset."""
        within = found[: max(self.size_bytes(number) - at, 0)]
        begin = self._begin(number) + at
        if not self._pool.startswith(within, begin):  # copies nothing: it is called often
            right = self._pool[begin : begin + len(within)]
            pairs = enumerate(zip(within, right, strict=True))
            return at + next(i for i, (is_, ought) in pairs if is_ != ought)
        return None if len(within) == len(found) else at + len(within)

    def _begin(self, number: int) -> int:
        return number * (_POOL_BYTES - _MAX_BYTES) // self.files
