"""The levels below memory: the disk store, and under it the store that hosts share."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
import trio

from attachfs.content.batches import Batches
from attachfs.content.served import Served, Source
from attachfs.content.shared import SharedStore
from attachfs.content.store import Draft, Store
from attachfs.content.stored import RunningDigest, StoredBody
from attachfs.content.verification import Expected
from attachfs.errors import Mismatch

_DISK_THREADS: Final = 4
_DROP_S: Final = 2.0

_log = structlog.get_logger(__name__)

OnFound = Callable[[Source], object]


def _unheard(_: Source) -> None:
    """Do nothing."""


class Levels:
    """Look for bodies in the stores, as far as there are any, and keep in them what was fetched.

    No disk is a reason to fail: what fails is a miss, or is not kept. Counts in `served` what is
    found; `disk` limits who reads from the store, in threads.
    """

    def __init__(
        self, store: Store | None, shared: SharedStore | None, nursery: trio.Nursery, served: Served
    ) -> None:
        self._store = store
        self._shared = shared
        self._served = served
        self._batches = Batches(nursery)
        self._told = False
        self.disk = trio.CapacityLimiter(_DISK_THREADS)

    @property
    def max_bytes(self) -> int:
        """How many bytes the disk store holds at most; 0 where there is none."""
        return 0 if self._store is None else self._store.max_bytes

    async def holds(self, digest: str, size_bytes: int) -> bool:
        """Tell whether a body is in the disk store; it is looked for, and not verified."""
        return await self._stored(digest, size_bytes) is not None

    async def large(
        self, digest: str, size_bytes: int, *, on_found: OnFound = _unheard
    ) -> StoredBody | None:
        """Return a large body, from the disk store in the end; None where there is none.

        `on_found` is told which store had it.
        """
        stored = await self._stored(digest, size_bytes)
        if stored is not None:
            self._served.disk += 1
            on_found(Source.CACHE)
        elif self._shared is not None and self._store is not None:
            stored = await self._shared.fetch(digest, size_bytes, self._store)
            self._served.shared_store += stored is not None
            on_found(Source.SHARED_STORE)
        return stored

    async def small(
        self, expected: Expected, digest: str, *, on_found: OnFound = _unheard
    ) -> bytes | None:
        """Return a small body, verified; None where there is none. `on_found` as for `large`."""
        if self._store is not None:
            get = partial(self._store.get, digest, expected.size_bytes)
            data = await self._batches.run(get)
            if data is not None:
                self._served.disk += 1
                on_found(Source.CACHE)
                return data
        on_found(Source.SHARED_STORE)
        return await self._small_shared(expected, digest)

    async def accept(self, data: bytes, expected: Expected, digest: str) -> None:
        """Verify a small body that was fetched, and keep it; raises `Mismatch`."""
        await self._batches.run(partial(self._accept, data, expected, digest))
        if self._shared is not None:
            self._shared.offer(digest, data)

    async def draft(self, size_bytes: int) -> Draft | None:
        """Return a draft for a large body; None where it must do without."""
        if self._store is None:
            return None
        try:
            return await trio.to_thread.run_sync(self._store.create, size_bytes, limiter=self.disk)
        except OSError as error:
            self.do_without(error)
            return None

    async def keep(
        self, draft: Draft, digest: RunningDigest, limiter: trio.CapacityLimiter
    ) -> bool:
        """Keep a large body that was verified; tell whether that was possible.

        Where it was not, who reads it now has all of it nevertheless.
        """
        if self._store is None:
            return False
        try:
            stored = await trio.to_thread.run_sync(self._store.keep, draft, digest, limiter=limiter)
        except OSError as error:
            self.do_without(error)
            return False
        if self._shared is not None:
            self._shared.offer_stored(stored)
        return True

    async def drop(self, draft: Draft | None) -> None:
        """Remove a draft, if there is one, also where the caller is cancelled.

        It waits for the disk and for the ledger, which another process may hold while it evicts: in
        a thread, and not for ever.
        """
        if draft is not None:
            with trio.move_on_after(_DROP_S, shield=True):
                await trio.to_thread.run_sync(draft.drop, limiter=self.disk, abandon_on_cancel=True)

    async def discard(self, digest: str, error: Exception) -> None:
        """Drop a stored object that turned out damaged or unreadable: it is a miss from now on."""
        if self._store is not None:
            await trio.to_thread.run_sync(
                self._store.discard, digest, str(error), limiter=self.disk
            )

    def do_without(self, error: OSError) -> None:
        """Say once that the disk store takes nothing more."""
        if not self._told:
            self._told = True
            _log.warning("the cache directory is of no use, going on in memory", reason=str(error))

    async def _stored(self, digest: str, size_bytes: int) -> StoredBody | None:
        if self._store is None:
            return None
        return await trio.to_thread.run_sync(
            self._store.find, digest, size_bytes, limiter=self.disk
        )

    async def _small_shared(self, expected: Expected, digest: str) -> bytes | None:
        """Return a small body that another host has shared, verified and stored."""
        if self._shared is None:
            return None
        data = await self._shared.get(digest, expected.size_bytes)
        if data is None:
            return None
        try:
            await self._batches.run(partial(self._accept, data, expected, digest))
        except Mismatch:
            self._shared.refuse(digest)
            return None
        self._served.shared_store += 1
        return data

    def _accept(self, data: bytes, expected: Expected, digest: str) -> None:
        """Verify a small body and store it; blocks. Raises `Mismatch`."""
        expected.check_so_far(len(data))
        expected.check(len(data), hashlib.sha256(data).hexdigest())
        if self._store is not None:
            try:
                self._store.put(data, digest)
            except OSError as error:
                self.do_without(error)
