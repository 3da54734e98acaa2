"""Dask's own scheduler and workers, as processes that a test can kill."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import psutil

from tests.support import forkserver
from tests.support.mounts import PATIENCE_S
from tests.support.outcomes import until
from tests.support.ports import answers, free_port

_WAIT_FOR_WORKERS = f"""
import sys
from distributed import Client
with Client(sys.argv[1]) as client:
    client.wait_for_workers(int(sys.argv[2]), timeout={PATIENCE_S})
"""


class DaskPopen(forkserver.Popen):
    """Start a Python program by forking a process that has imported Dask as well.

    Its workers are forked, too: each would import for a second.
    """

    preload: ClassVar[tuple[str, ...]] = (
        "attachfs.audit.parquet",
        "attachfs.cluster.run",
        "cryptography.x509",
        "distributed.cli.dask_scheduler",
        "distributed.cli.dask_worker",
    )


class Cluster:
    """Run a scheduler, and workers with a home, and so a cache, each of their own."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = {**environment, "DASK_TEMPORARY_DIRECTORY": str(directory)}
        self._port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.url = f"tcp://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self, workers: int) -> None:
        """Start it, and wait for its workers; those of the same number have the same home."""
        self._start("scheduler", self._environment, "--host", "127.0.0.1", "--port", self._port)
        until(lambda: answers(self._port))
        for number in range(workers):
            cache = self.cache(number)
            cache.mkdir(parents=True, exist_ok=True)
            environment = {**self._environment, "XDG_CACHE_HOME": str(cache)}
            self._start("worker", environment, self.url, "--nthreads", 2, "--no-nanny")
        waiting = [sys.executable, "-c", _WAIT_FOR_WORKERS, self.url, str(workers)]
        forkserver.run(waiting, env=self._environment, check=True, popen=DaskPopen)

    def cache(self, number: int) -> Path:
        """Return where a worker's cache is."""
        return self._directory / f"worker-{number}"

    def kill(self) -> None:
        """Kill all of it, as a failing machine would."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait(PATIENCE_S)
        self._processes.clear()

    def _start(self, kind: str, environment: Mapping[str, str], *arguments: object) -> None:
        program = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard"]
        self._processes.append(
            DaskPopen(
                [*program, *map(str, arguments)],
                env=environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )


def workers_on(pid: int, port: int) -> int:
    """Return how many worker processes of a program are connected to a server's port."""
    connected = 0
    for process in _workers(pid):
        with suppress(psutil.Error):
            ports = {one.raddr.port for one in process.net_connections("tcp4") if one.raddr}
            connected += port in ports
    return connected


@contextmanager
def workers_of(pid: int) -> Iterator[list[psutil.Process]]:
    """Offer the worker processes of a program; none is left after the block."""
    workers = _workers(pid)
    try:
        yield workers
    finally:
        for process in workers:
            with suppress(psutil.NoSuchProcess):
                process.wait(PATIENCE_S)


def _workers(pid: int) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found
