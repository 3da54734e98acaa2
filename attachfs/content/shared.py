"""The second level under the disk store: what another host has fetched, if it is there in time."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import inf
from typing import Final, TypeVar

import structlog
import trio

from attachfs.content.shared_folder import Poisoned, SharedFolder, Unkept, chunks_of
from attachfs.content.store import Store
from attachfs.content.stored import StoredBody

T = TypeVar("T")

_PATIENCE_S: Final = 2.0  # without a byte
_LEAST_BYTES_PER_S: Final = 8 * 1024 * 1024  # else the archive may be faster
_PAUSE_S: Final = 30.0  # after it was out of reach, or slow
_READS: Final = 16
_WRITES: Final = 4
# What waits to be written is in memory, or holds a file open; more is not written: somebody fetches
# it again.
_MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
_MAX_WAITING_FILES: Final = 64
_SETTLE_S: Final = 30.0  # without a byte written

_log = structlog.get_logger(__name__)


class SharedStore:
    """Read through, and write behind, a folder that hosts share.

    What comes from it is verified by whoever asks. It is never a reason to fail, or to wait for
    long: out of reach or slow, it is done without for 30 s.
    """

    def __init__(self, folder: SharedFolder, nursery: trio.Nursery) -> None:
        """Take a nursery for what is written behind."""
        self._folder = folder
        self._nursery = nursery
        self._reads = trio.CapacityLimiter(_READS)
        self._writes = trio.CapacityLimiter(_WRITES)
        self._without_until_s = -inf
        self._waiting_bytes = self._waiting_files = 0
        self._writing = 0
        self._written_s = time.monotonic()
        self._told = False
        self._waiting = trio.lowlevel.ParkingLot()
        self._poisoned: set[str] = set()

    async def get(self, digest: str, size_bytes: int) -> bytes | None:
        """Return a small body, of that length and not yet verified; None where there is none."""
        return await self._tried(digest, lambda _: self._folder.get(digest, size_bytes))

    async def fetch(self, digest: str, size_bytes: int, store: Store) -> StoredBody | None:
        """Have a large body in the disk store, verified; None where that cannot be."""
        return await self._tried(
            digest, lambda on_chunk: self._folder.fetch(digest, size_bytes, store, on_chunk)
        )

    def refuse(self, digest: str) -> None:
        """Take note that an object was not what it is named after: it is written anew."""
        self._poisoned.add(digest)
        _log.warning("an object of the shared store is not what it is named after", sha256=digest)

    def offer(self, digest: str, data: bytes) -> None:
        """Have a small verified body written behind."""
        if self._waiting_bytes + len(data) <= _MAX_WAITING_BYTES:
            put = partial(self._folder.put, digest, len(data), [data])
            self._write_behind(digest, put, held_bytes=len(data))

    def offer_stored(self, body: StoredBody) -> None:
        """Have a large verified body written behind."""
        if self._waiting_files < _MAX_WAITING_FILES:
            chunks = self._noted(chunks_of(body))
            put = partial(self._folder.put, body.digest, body.size_bytes, chunks)
            self._write_behind(body.digest, put, held_bytes=0)

    async def _tried(self, digest: str, work: Callable[[Callable[[int], None]], T]) -> T | None:
        """Return what comes in time from the folder, in a worker thread; else None."""
        if trio.current_time() < self._without_until_s:
            return None
        token = trio.lowlevel.current_trio_token()
        over = False
        begun_s = time.monotonic()

        def go_on() -> None:
            scope.deadline = trio.current_time() + _PATIENCE_S

        def on_chunk(so_far_bytes: int) -> None:
            if over:
                raise TimeoutError("nobody waits for it any more")
            took_s = time.monotonic() - begun_s
            if took_s > _PATIENCE_S and so_far_bytes < took_s * _LEAST_BYTES_PER_S:
                raise TimeoutError(f"{so_far_bytes} bytes in {took_s:.1f} s")
            token.run_sync_soon(go_on, idempotent=True)

        with trio.move_on_after(_PATIENCE_S) as scope:
            try:
                return await trio.to_thread.run_sync(
                    partial(work, on_chunk), limiter=self._reads, abandon_on_cancel=True
                )
            except (FileNotFoundError, Unkept):
                return None
            except Poisoned:
                self.refuse(digest)
                return None
            except Exception as error:  # noqa: BLE001 - of whatever library is behind it
                self._do_without(error)
                return None
            finally:
                over = True
        self._do_without(TimeoutError(f"no byte within {_PATIENCE_S:g} s"))
        return None

    async def settle(self) -> None:
        """Wait until all that was offered is written, or no more can be for now.

        Nobody waits for a folder that takes nothing for 30 s.
        """
        await trio.lowlevel.checkpoint()
        begun_s = time.monotonic()
        while self._writing and trio.current_time() >= self._without_until_s:
            left_s = max(begun_s, self._written_s) + _SETTLE_S - time.monotonic()
            if left_s <= 0:
                self._do_without(TimeoutError(f"nothing was written for {_SETTLE_S:g} s"))
                return
            with trio.move_on_after(left_s):
                await self._waiting.park()

    def _write_behind(self, digest: str, put: Callable[..., None], *, held_bytes: int) -> None:
        if trio.current_time() < self._without_until_s:
            return
        self._waiting_bytes += held_bytes
        self._waiting_files += not held_bytes
        self._writing += 1
        self._nursery.start_soon(self._write, digest, put, held_bytes)

    async def _write(self, digest: str, put: Callable[..., None], held_bytes: int) -> None:
        anew = digest in self._poisoned
        try:
            await trio.to_thread.run_sync(
                partial(put, anew=anew),
                limiter=self._writes,
                abandon_on_cancel=True,
            )
            self._poisoned.discard(digest)
        except Exception as error:  # noqa: BLE001 - of whatever library is behind it
            tell = _log.debug if self._told else _log.warning
            self._told = True
            tell("not written to the shared store", sha256=digest, reason=_text(error))
        finally:
            self._waiting_bytes -= held_bytes
            self._waiting_files -= not held_bytes
            self._writing -= 1
            self._written_s = time.monotonic()
            self._waiting.unpark_all()

    def _noted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks of a body as they are written."""
        for chunk in chunks:
            yield chunk
            self._written_s = time.monotonic()

    def _do_without(self, error: Exception) -> None:
        if trio.current_time() >= self._without_until_s:
            _log.warning(
                "the shared store is out of reach or slow, going on without",
                for_s=_PAUSE_S,
                reason=_text(error),
            )
        self._without_until_s = trio.current_time() + _PAUSE_S


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
