"""What a worker does: one part of a job, on an archive that it opens once a run."""

import asyncio
import pickle
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from threading import Lock
from typing import Final

import msgspec
import platformdirs
import trio
from cachetools import LRUCache
from distributed import Semaphore

from attachfs.access.cache_directory import make_cache
from attachfs.access.kept import anew
from attachfs.access.limits import forbid_core_dumps, raise_descriptor_limit, share_heap
from attachfs.access.opened import Opened
from attachfs.access.portal import Portal
from attachfs.access.settings import Settings
from attachfs.audit.events import Event, Progress
from attachfs.audit.parts import PartialJob, told
from attachfs.cluster import logs, slowing
from attachfs.errors import AttachfsError, Closing

_LEASE_WAIT_S: Final = 3600.0
_SWITCH_S: Final = 0.0005
# A run that goes on and has nothing for this worker for so long opens it again.
_IDLE_S: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Order:
    """Hold what all parts of a run have in common; pickled, it has no secret.

    `run` names it. Of each worker, `jobs` attachments are under way, and `leases` workers at once.
    With `own_cache`, each worker has the cache directory of its machine; with `refetch`, none. A
    worker that is `borrowed` does other work, too, and is left as it was.
    """

    run: str
    settings: Settings
    job: PartialJob
    jobs: int
    leases: int
    own_cache: bool
    refetch: bool
    borrowed: bool


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Hold all that a part told, and how long it took."""

    events: tuple[Event, ...]
    elapsed_s: float


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Say that a worker cannot work at all: a class of `attachfs.errors`, and its message."""

    kind: str
    message: str


def do_part(order: bytes, paths: tuple[str, ...]) -> bytes:
    """Do a job on paths that were listed, and return a packed `Done` or `Failed`.

    Runs in a task of Dask's. `order` is a pickled `Order`. Whatever is wrong with this worker is
    returned: errors with arguments of their own are not always what they were after a journey.
    """
    try:
        return msgspec.msgpack.encode(_done(_order(order), paths))
    except AttachfsError as error:
        return msgspec.msgpack.encode(Failed(type(error).__name__, str(error)))


def unpacked(packed: bytes) -> Done | Failed:
    """Return what `do_part` packed."""
    return msgspec.msgpack.decode(packed, type=Done | Failed)


def heed(run: str, retry_after_s: float | None) -> None:
    """Have this worker wait for what the server told another one, if it has a part in the run."""
    opened = _OPEN.get(run)
    if opened is not None:
        slowing.heed(opened.portal, retry_after_s)


async def end(run: str) -> None:
    """Close what this worker has open for a run; a worker that goes on is of others' use."""
    await asyncio.to_thread(_end, run)
    logs.tell_no_more(run)


class _Tuned:
    """Have this process as a part needs it, as long as one is open; then as it was before."""

    def __init__(self) -> None:
        self._opened = 0
        self._before = ExitStack()

    def __enter__(self) -> None:
        self._opened += 1
        if self._opened > 1:
            return
        for limit in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE):
            self._before.callback(resource.setrlimit, limit, resource.getrlimit(limit))
        self._before.callback(sys.setswitchinterval, sys.getswitchinterval())
        forbid_core_dumps(for_good=False)
        raise_descriptor_limit()
        # The archive's thread waited 5 ms for Dask's, several times an attachment: a fifth of all.
        sys.setswitchinterval(_SWITCH_S)

    def __exit__(self, *_: object) -> None:
        self._opened -= 1
        if not self._opened:
            self._before.close()


_TUNED: Final = _Tuned()


class _Open:
    """Hold an archive that is open for a run: `parts` are under way, the last until `used_s`."""

    def __init__(self, order: Order) -> None:
        self.parts = 0
        self.used_s = time.monotonic()
        if not order.borrowed:  # it cannot be taken back
            share_heap()
        with ExitStack() as stack:
            stack.enter_context(_TUNED)
            settings = replace(order.settings, max_requests=2 * order.jobs)
            if order.own_cache:
                cache_dir = platformdirs.user_cache_path("attachfs").absolute()
                settings = replace(settings, cache_dir=cache_dir)
            logs.tell(order.run)
            make_cache(settings.cache_dir)
            if order.refetch:
                settings = stack.enter_context(anew(settings))
            self.slots = trio.CapacityLimiter(order.jobs)
            self.portal = Portal(settings)
            stack.callback(self.portal.close)
            slowing.announce(self.portal, order.run)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Close it."""
        self._stack.close()


_OPEN: Final[dict[str, _Open]] = {}
# Parts that still wait for their turn when their run ends are not to begin it again.
_ENDED: Final[LRUCache[str, bool]] = LRUCache(1_000)
_LOCK: Final = Lock()


def _end(run: str) -> None:
    with _LOCK:
        _ENDED[run] = True
        opened = _OPEN.pop(run, None)
    if opened is not None:
        opened.close()


def _close_idle() -> None:
    """Close what runs have open whose end nobody tells us of: their client was killed."""
    for run, opened in list(_OPEN.items()):
        if not opened.parts and time.monotonic() - opened.used_s > _IDLE_S:
            del _OPEN[run]
            logs.tell_no_more(run)
            opened.close()


@lru_cache(maxsize=4)
def _order(packed: bytes) -> Order:
    order: Order = pickle.loads(packed)  # noqa: S301 - as all that Dask hands to its workers
    return order


def _opened(order: Order) -> _Open:
    with _LOCK:
        if order.run in _ENDED:
            raise Closing("the run has ended")
        opened = _OPEN.get(order.run)
        if opened is None or not opened.portal.is_open:
            _close_idle()
            opened = _OPEN[order.run] = _Open(order)
        opened.parts += 1
        return opened


def _done(order: Order, paths: tuple[str, ...]) -> Done:
    job = msgspec.structs.replace(order.job, paths=paths, at_once=order.jobs, listed=True)
    with _lease_of(f"attachfs {order.settings.url}", order.leases).shared():
        opened = _opened(order)
        begun_s = time.monotonic()
        try:
            events = opened.portal.call(_told, opened.portal.opened, job, opened.slots)
        finally:
            with _LOCK:
                opened.parts -= 1
                opened.used_s = time.monotonic()
        return Done(tuple(events), time.monotonic() - begun_s)


async def _told(opened: Opened, job: PartialJob, slots: trio.CapacityLimiter) -> list[Event]:
    """Do it, and return what it tells; steps of progress as one."""
    size_bytes = 0

    async def on_progress(event: Event) -> None:
        nonlocal size_bytes
        if isinstance(event, Progress):
            size_bytes += event.size_bytes

    events = await told(job, opened.fs, slots, on_progress)
    await opened.fs.estate.content.settle()
    if opened.shared is not None:
        await opened.shared.settle()
    return [*events, Progress(size_bytes)]


class _Lease:
    """Share the right to be at work among the parts of one worker.

    One that dies gives it back after 30 s, Dask's `locks.lease-timeout`.
    """

    def __init__(self, name: str, leases: int) -> None:
        self._semaphore = Semaphore(max_leases=leases, name=name)
        self._lock = Lock()
        self._parts = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Wait until one worker more may be at work, where none of its parts is yet."""
        with self._lock:
            while not self._parts and not self._semaphore.acquire(timeout=_LEASE_WAIT_S):
                pass
            self._parts += 1
        try:
            yield
        finally:
            with self._lock:
                self._parts -= 1
                if not self._parts:
                    self._semaphore.release()


@cache
def _lease_of(server: str, leases: int) -> _Lease:
    """Return the lease that all runs on a server with this limit share."""
    return _Lease(f"{server} {leases}", leases)
