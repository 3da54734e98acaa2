"""A cluster to work on: processes on this machine, or one that exists."""

import asyncio
import logging
import re
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import dask.config
from distributed import Client, LocalCluster, Security
from distributed.comm.core import connect

from attachfs.errors import ClusterTrouble

# While one part is looked into, another one's attachments are under way.
THREADS_PER_WORKER: Final = 2
_CONFIGURATION: Final[dict[str, Any]] = {
    # Looking at all threads every 10 ms, at disks twice and at itself fifty times a second took a
    # third of a core in each worker.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "1s",
    # Each worker would tell any user of its machine, over HTTP, what it does.
    "distributed.worker.http.routes": [],
    # MALLOC_TRIM_THRESHOLD_ among them: memory was given back after every body, and had anew.
    "distributed.nanny.pre-spawn-environ": {},
}
_URL: Final = re.compile(r"(tcp|tls|ws|wss|ucx)://([\w.-]+|\[[0-9a-fA-F:.]+\]):\d+")
_CONNECT_S: Final = 5.0
_WORKERS_S: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Say who works: so many processes here, or the workers of the scheduler at a URL.

    `jobs` attachments are under way in each worker, `most_jobs` in all of them. With `dashboard`,
    processes here have one, which takes a second to load.
    """

    workers: int | None = None
    scheduler: str | None = None
    jobs: int = 16
    most_jobs: int = 64
    dashboard: bool = False

    @contextmanager
    def gathered(self) -> Iterator[Client]:
        """Offer a client of the cluster, with at least one worker, that can do our parts.

        Raises `ClusterTrouble`. Processes of ours end with the block.
        """
        _quiet()
        with ExitStack() as stack:
            if self.scheduler is None:
                client = stack.enter_context(_local(self.workers or 1, dashboard=self.dashboard))
            else:
                client = stack.enter_context(_connected(self.scheduler))
                _check_workers(client, self.scheduler)
            yield client


def threads(client: Client) -> int:
    """Return how many parts the workers that there are can do at once."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return sum(worker["nthreads"] for worker in workers)


def services(client: Client) -> Mapping[str, int]:
    """Return what a scheduler serves besides, by name, and on which port."""
    found: Mapping[str, int] = client.scheduler_info()["services"]
    return found


def _quiet() -> None:
    """Have Dask log nothing here: what matters is told by us."""
    for name in tuple(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "bokeh"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _local(workers: int, *, dashboard: bool) -> Iterator[Client]:
    # Whoever can talk to a scheduler can have it run anything: TLS keeps other users out.
    security = Security.temporary()
    # Without its dashboard, a scheduler would still tell any user of this machine what it does.
    routes: dict[str, Any] = {} if dashboard else {"distributed.scheduler.http.routes": []}
    with ExitStack() as stack:
        with _undisturbed():
            directory = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="attachfs-", ignore_cleanup_errors=True)
            )
            stack.enter_context(
                dask.config.set({**_CONFIGURATION, **routes, "temporary-directory": directory})
            )
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=THREADS_PER_WORKER,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": dashboard},
                    worker_dashboard_address=None,
                    memory_limit=None,  # our caches have limits of their own
                    security=security,
                    preload=["attachfs.cluster.deaf"],
                    silence_logs=logging.CRITICAL,
                )
            )
            if not dashboard:
                cluster.scheduler.http_server.stop()  # it has no routes; nobody is to talk to it
            client = stack.enter_context(Client(cluster, security=security, set_as_default=False))
        try:
            yield client
        finally:
            with _undisturbed():
                stack.close()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Have Ctrl-C wait until the block ends: Dask told in tracebacks of what it had half begun."""
    before = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or before is not signal.default_int_handler:
        yield
        return
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        for number in heard[:1]:
            signal.raise_signal(number)


@contextmanager
def _connected(url: str) -> Iterator[Client]:
    try:
        asyncio.run(asyncio.wait_for(_answer(url), _CONNECT_S))
        client = Client(url, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError, ImportError, TimeoutError) as error:
        raise ClusterTrouble(
            f"no Dask scheduler answers at {url}: {str(error) or type(error).__name__}; check "
            "--scheduler, and Dask's own configuration where it wants TLS"
        ) from error
    with client:
        yield client


def check_url(url: str) -> None:
    """Raise `ClusterTrouble` for what is no scheduler's URL: Dask's own errors name no remedy."""
    if not _URL.fullmatch(url):
        raise ClusterTrouble(
            f"{url!r} is no scheduler's URL; it should look like tcp://10.0.0.1:8786, or tls://..."
        )


async def _answer(url: str) -> None:
    """Wait for a scheduler's answer; a client would wait for one that never comes."""
    connection = await connect(url, timeout=_CONNECT_S, **Security().get_connection_args("client"))
    try:
        await connection.write({"op": "identity", "n_workers": 0, "reply": True})
        await connection.read()
    finally:
        connection.abort()


def _check_workers(client: Client, url: str) -> None:
    """See that there are workers, with the same attachfs as here."""
    try:
        client.wait_for_workers(1, timeout=_WORKERS_S)
    except TimeoutError as error:
        raise ClusterTrouble(
            f"the scheduler at {url} has no workers; start some: dask worker {url}"
        ) from error
    try:
        found = client.run(version, "attachfs")
    except PackageNotFoundError as error:
        raise ClusterTrouble(
            "not all workers have attachfs; there, run: pip install 'attachfs[dask]'"
        ) from error
    ours = version("attachfs")
    for address, theirs in found.items():
        if theirs != ours:
            raise ClusterTrouble(
                f"the worker at {address} has attachfs {theirs}, and this is {ours}; "
                "install the same everywhere"
            )
