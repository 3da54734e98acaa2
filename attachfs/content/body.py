"""What verified bytes are read from: memory, the store, or a download under way."""

from functools import partial
from typing import Final, Protocol

import trio

from attachfs.content.fill import Fill
from attachfs.content.served import Source
from attachfs.content.stored import Damaged, StoredBody

_VERIFY_AHEAD_BYTES: Final = 8 * 1024 * 1024


class Body(Protocol):
    """Offer the bytes of an attachment by position."""

    def read_now(self, offset: int, size_bytes: int) -> bytes | bytearray | None:
        """Return what `read` would if that needs no waiting, else None."""

    async def read(self, offset: int, size_bytes: int) -> bytes | bytearray:
        """Return `size_bytes` from `offset` on, fewer only at the end; each byte verified."""

    @property
    def source(self) -> Source:
        """Where the bytes come from."""

    @property
    def foreign(self) -> bool:
        """Whether it comes by another path's right: its failures are not the reader's."""

    def close(self) -> None:
        """Let go of it."""


class MemoryBody:
    """Hold a body in memory."""

    __slots__ = ("_data", "source")
    foreign = False

    def __init__(self, data: bytes, source: Source = Source.CACHE) -> None:
        self._data = data
        self.source = source

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
    """Read an object of the store: at once where that cannot wait, else in a worker thread.

    One thread verifies ahead of whoever reads on. A thread for each read of an object that is
    being verified cost 0.15 ms each, as long as hashing what it reads.
    """

    __slots__ = (
        "_failed",
        "_limiter",
        "_nursery",
        "_progress",
        "_stored",
        "_token",
        "_verifying",
        "_wanted",
        "source",
    )
    foreign = False

    def __init__(
        self,
        stored: StoredBody,
        limiter: trio.CapacityLimiter,
        nursery: trio.Nursery,
        source: Source = Source.CACHE,
    ) -> None:
        """Take a nursery for the verification, which outlives the read that begins it."""
        self._stored = stored
        self.source = source
        self._limiter = limiter
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()
        self._progress = trio.Event()
        self._verifying = False
        self._failed = False
        self._wanted = 0, 0

    def read_now(self, offset: int, size_bytes: int) -> bytes | bytearray | None:
        """Return the bytes if they are verified and in memory, else None."""
        data = self._stored.read_now(offset, size_bytes)
        if data is not None and not self._stored.verified:
            self._verify_ahead(offset, offset + size_bytes)
        return data

    async def read(self, offset: int, size_bytes: int) -> bytes | bytearray:
        """Return the bytes; raises `Damaged` and `OSError`."""
        end = min(offset + size_bytes, self._stored.size_bytes)
        data = self.read_now(offset, size_bytes)
        if data is None and not self._stored.is_verified(offset, end):
            self._verify_ahead(offset, end)
            while not self._stored.is_verified(offset, end) and not self._failed:
                await self._progress.wait()
                self._verify_ahead(offset, end)
            data = self.read_now(offset, size_bytes)
        if data is not None:
            return data
        return await trio.to_thread.run_sync(
            self._stored.read, offset, size_bytes, limiter=self._limiter
        )

    def close(self) -> None:
        """Stop verifying; the descriptor goes with the last who holds the object."""
        self._wanted = 0, 0

    def _verify_ahead(self, offset: int, end: int) -> None:
        """Have the pieces from `offset` up to `end` verified, and some more."""
        self._wanted = offset, min(end + _VERIFY_AHEAD_BYTES, self._stored.size_bytes)
        if not self._verifying and not self._failed:
            try:
                self._nursery.start_soon(self._verify)
            except RuntimeError:  # the nursery is closed: reads go without
                self._failed = True
            else:
                self._verifying = True

    async def _verify(self) -> None:
        stored = self._stored
        wake_soon = partial(self._token.run_sync_soon, self._wake, idempotent=True)
        try:
            while not stored.is_verified(*self._wanted):
                verify = partial(stored.verify, *self._wanted, on_piece=wake_soon)
                await trio.to_thread.run_sync(verify, limiter=self._limiter)
        except (Damaged, OSError, RuntimeError):  # the last, where there is no thread to be had
            self._failed = True  # whoever reads there will see why
        finally:
            self._verifying = False
            self._wake()

    def _wake(self) -> None:
        self._progress.set()
        self._progress = trio.Event()


class FillingBody:
    """Read a download under way; it ends when its last reader has gone."""

    __slots__ = ("_fill", "_open", "_timeout_s", "foreign")
    source = Source.SERVER

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
