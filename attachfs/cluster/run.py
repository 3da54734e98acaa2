"""Run a job on a cluster: split it, hand out its parts, and tell what comes of them."""

import pickle
import time
import uuid
from collections.abc import Callable, Container
from contextlib import closing, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

from distributed import Client, Future, KilledWorker
from distributed.comm.core import CommClosedError

from attachfs import errors
from attachfs.access.portal import Portal
from attachfs.access.settings import Settings
from attachfs.audit.events import Begun, Covered, Event
from attachfs.audit.parts import PartialJob, Pieces, Tally, outcome
from attachfs.audit.walking import starts_of
from attachfs.cluster import logs, part, slowing
from attachfs.cluster.crew import Crew, services, threads
from attachfs.cluster.part import Order
from attachfs.errors import AttachfsError, ClusterTrouble
from attachfs.tree.filesystem import FileSystem

# So many parts a thread are handed out, so that none waits for its next one.
_AHEAD: Final = 2
_TICK_S: Final = 1.0
_SILENCE_S: Final = 10.0

OnEvent = Callable[[Event], object]


def run(
    job: PartialJob,
    settings: Settings,
    crew: Crew,
    on_event: OnEvent,
    *,
    done: Container[str] = frozenset(),
    refetch: bool = False,
    own_cache: bool = False,
    on_note: Callable[[str], object] = lambda _: None,
) -> None:
    """Do a job to its end, and tell of everything as it does by itself; blocks.

    Each part's events come together, `Covered` last; what is in `done` was covered before, and is
    left out. `on_note` takes what a person may like to know. Raises `ClusterTrouble`, and what the
    job would raise; after that, or Ctrl-C, what was covered is whole.
    """
    name = uuid.uuid4().hex
    pickle.dumps(settings)  # what does not travel is told before anybody is called
    with closing(Portal(settings)) as here:
        on_event(here.call(_begun, job, here.fs))
        with crew.gathered() as client:
            if crew.dashboard or (crew.scheduler and "dashboard" in services(client)):
                on_note(f"Dask's dashboard: {client.dashboard_link}")
            order = Order(
                run=name,
                settings=settings,
                job=job,
                jobs=min(crew.jobs, crew.most_jobs),
                leases=max(1, crew.most_jobs // crew.jobs),
                own_cache=own_cache,
                refetch=refetch,
                borrowed=crew.scheduler is not None,
            )
            logs.relay(client, name)
            slowing.relay(client, name, partial(part.heed, name))
            try:
                _Run(
                    client=client,
                    order=pickle.dumps(order),
                    here=here,
                    job=job,
                    on_event=on_event,
                    done=done,
                    on_note=on_note,
                ).go()
            finally:
                if client.status == "running":
                    slowing.end_relay(client, name)
                    client.run(part.end, name, on_error="ignore")
                    logs.end_relay(client, name)


class _Run:
    def __init__(
        self,
        *,
        client: Client,
        order: bytes,
        here: Portal,
        job: PartialJob,
        on_event: OnEvent,
        done: Container[str],
        on_note: Callable[[str], object],
    ) -> None:
        self._client = client
        self._order = order
        self._on_event = on_event
        self._on_note = on_note
        self._ended: SimpleQueue[Future[bytes]] = SimpleQueue()
        self._under_way: dict[Future[bytes], tuple[str, ...]] = {}
        self._here = here
        self._pieces = Pieces(here.fs, job, done)
        self._tally = Tally()
        self._wanted = 0
        self._heard_s = time.monotonic()
        self._looked_s = 0.0

    def go(self) -> None:
        """Do all parts."""
        try:
            while self._hand_out():
                self._take(self._next())
        finally:
            if self._client.status == "running":
                self._client.cancel(list(self._under_way))
        for event in self._pieces.trouble:
            self._on_event(event)
        self._on_event(self._tally.end())

    def _hand_out(self) -> bool:
        """Have enough parts under way; return whether there are any."""
        self._look()
        while len(self._under_way) < self._wanted:
            paths = self._here.call(self._pieces.take, self._tally.part_size())
            if not paths:
                break
            future = self._client.submit(part.do_part, self._order, paths, pure=False)
            self._under_way[future] = paths
            future.add_done_callback(self._ended.put)
        return bool(self._under_way)

    def _look(self) -> None:
        """See now and then who there is to work."""
        if time.monotonic() - self._looked_s < _TICK_S:
            return
        self._check_scheduler()
        self._looked_s = time.monotonic()
        with suppress(OSError, ValueError):
            self._wanted = _AHEAD * max(1, threads(self._client))

    def _next(self) -> Future[bytes]:
        """Wait for the next part that ends."""
        while True:
            try:
                future = self._ended.get(timeout=_TICK_S)
            except Empty:
                self._check_scheduler()
                if time.monotonic() - self._heard_s > _SILENCE_S:
                    self._heard_s = time.monotonic()
                    if not threads(self._client):
                        self._on_note("there are no workers any more; waiting for some")
            else:
                self._heard_s = time.monotonic()
                return future

    def _check_scheduler(self) -> None:
        if self._client.status != "running":
            raise self._gone()

    def _gone(self) -> ClusterTrouble:
        return ClusterTrouble(
            "the scheduler went away; what had been done is reported, and a run with --report "
            "DIRECTORY.parquet goes on from there: run the same command again"
        )

    def _take(self, future: Future[bytes]) -> None:
        """Tell what a part told."""
        paths = self._under_way.pop(future)
        ended = part.unpacked(self._result(future, paths))
        future.release()
        if isinstance(ended, part.Failed):
            kind: type[AttachfsError] = getattr(errors, ended.kind)
            raise kind(ended.message)
        self._tally.take(len(paths), ended.events, ended.elapsed_s)
        self._on_event(self._tally.total(self._pieces.count))
        for event in outcome(ended.events):
            self._on_event(event)
        self._on_event(Covered(paths))

    def _result(self, future: Future[bytes], paths: tuple[str, ...]) -> bytes:
        if future.status == "cancelled":
            raise self._gone()
        try:
            packed: bytes = future.result()
        except KilledWorker as error:
            raise ClusterTrouble(
                f"each worker that looked at {paths[0]} and {len(paths) - 1} more died, so that it "
                "is not tried again; see what Dask's workers log, or how much memory they have"
            ) from error
        except CommClosedError as error:
            raise self._gone() from error
        except Exception as error:
            raise ClusterTrouble(f"a worker failed: {type(error).__name__}: {error}") from error
        return packed


async def _begun(job: PartialJob, fs: FileSystem) -> Begun:
    await starts_of(fs, job.paths)  # a path that is not there is told before anybody is called
    return job.begun(fs)
