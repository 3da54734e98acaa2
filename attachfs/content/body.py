"""A verified body, in memory or in an anonymous file, read by position."""

import os
from typing import Protocol

from attachfs.errors import Stale


class Body(Protocol):
    """Offer the bytes of a verified attachment."""

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return `size_bytes` from `offset` on, fewer only at the end."""


class MemoryBody:
    """Hold a body in memory."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return `size_bytes` from `offset` on, fewer only at the end."""
        return self._data[offset : offset + size_bytes]


class FileBody:
    """Hold a body in a file that has no name: it goes when the last reader lets go of it."""

    __slots__ = ("_descriptor", "_size_bytes")

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._size_bytes = size_bytes

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return `size_bytes` from `offset` on, fewer only at the end."""
        wanted = max(0, min(size_bytes, self._size_bytes - offset))
        data = os.pread(self._descriptor, wanted, offset)
        if len(data) != wanted:
            # A short answer would shrink the file in the kernel, and `cp` would not notice.
            raise Stale("the local copy of an attachment has been cut short")
        return data

    def __del__(self) -> None:
        os.close(self._descriptor)
