"""What verified bytes are read from: memory, the store, or a download under way."""

from typing import Protocol

import trio

from attachfs.content.fill import Fill
from attachfs.content.stored import StoredBody


class Body(Protocol):
    """Offer the bytes of an attachment by position."""

    def read_now(self, offset: int, size_bytes: int) -> bytes | bytearray | None:
        """Return what `read` would if that needs no waiting, else None."""

    async def read(self, offset: int, size_bytes: int) -> bytes | bytearray:
        """Return `size_bytes` from `offset` on, fewer only at the end; each byte verified."""

    @property
    def foreign(self) -> bool:
        """Whether it comes by another path's right: its failures are not the reader's."""

    def close(self) -> None:
        """Let go of it."""


class MemoryBody:
    """Hold a body in memory."""

    __slots__ = ("_data",)
    foreign = False

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def read_now(self, offset: int, size_bytes: int) -> bytes:
        """Return `size_bytes` from `offset` on, fewer only at the end."""
        return self._data[offset : offset + size_bytes]

    async def read(self, offset: int, size_bytes: int) -> bytes:
        """Return `size_bytes` from `offset` on, fewer only at the end."""
        return self.read_now(offset, size_bytes)

    def close(self) -> None:
        """Do nothing: whoever else holds it keeps it."""


class DiskBody:
    """Read an object of the store: at once where that cannot wait, else in a worker thread."""

    __slots__ = ("_limiter", "_stored")
    foreign = False

    def __init__(self, stored: StoredBody, limiter: trio.CapacityLimiter) -> None:
        self._stored = stored
        self._limiter = limiter

    def read_now(self, offset: int, size_bytes: int) -> bytes | bytearray | None:
        """Return the bytes if they are verified and in memory, else None."""
        return self._stored.read_now(offset, size_bytes)

    async def read(self, offset: int, size_bytes: int) -> bytes | bytearray:
        """Return the bytes; raises `Damaged` and `OSError`."""
        data = self.read_now(offset, size_bytes)
        if data is not None:
            return data
        return await trio.to_thread.run_sync(
            self._stored.read, offset, size_bytes, limiter=self._limiter
        )

    def close(self) -> None:
        """Do nothing: the descriptor goes with the last who holds the object."""


class FillingBody:
    """Read a download under way; it ends when its last reader has gone."""

    __slots__ = ("_fill", "_open", "_timeout_s", "foreign")

    def __init__(self, fill: Fill, *, timeout_s: float, foreign: bool) -> None:
        self._fill = fill
        self._timeout_s = timeout_s
        self._open = True
        self.foreign = foreign
        fill.readers += 1

    def read_now(self, offset: int, size_bytes: int) -> bytes | None:
        """Return the bytes if they have come, else None."""
        return self._fill.read_now(offset, size_bytes)

    async def read(self, offset: int, size_bytes: int) -> bytes:
        """Return the bytes once they have come; raises why they never will."""
        return await self._fill.read(offset, size_bytes, timeout_s=self._timeout_s)

    def close(self) -> None:
        """Leave; the last to leave ends the download."""
        if self._open:
            self._open = False
            self._fill.readers -= 1
            if not self._fill.readers:
                self._fill.give_up()
