"""Programs that run to their end, programs kept running, and workers at the end of a pipe.

The latter two have process groups of their own, out of reach of a terminal's Ctrl-C, and are ended
by their own process ids.
"""

import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import click

FILE: Final = click.Path(path_type=Path, dir_okay=False)
TMPFS: Final = Path("/dev/shm")  # noqa: S108 - in memory: no disk is measured
_START_S: Final = 60.0
_END_S: Final = 30.0
_TICK_S: Final = 0.005
_SHOWN_CHARACTERS: Final = 2000  # of the end of a log or of an error
_SPAWN: Final = multiprocessing.get_context("spawn")


class MeasurementError(click.ClickException):
    """A program or a privilege is missing, a process failed, or its results are wrong."""


def drop_settings() -> None:
    """Remove the user's proxies and attachfs options from the environment."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("ATTACHFS_", "DATATRAILS_")):
            del os.environ[name]


def elapsed_s(
    *command: object,
    output: Path = Path(os.devnull),
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> float:
    """Run a program, its standard output going to a file, and return the seconds it took.

    Raises `MeasurementError` where it fails.
    """
    words = list(map(str, command))
    ends: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with output.open("wb") as printed:
        begin_s = time.perf_counter()
        done = subprocess.run(words, stdout=printed, **ends, cwd=cwd, env=env, check=False)
        took_s = time.perf_counter() - begin_s
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-_SHOWN_CHARACTERS:]
        raise MeasurementError(f"{' '.join(words[:3])}... failed ({done.returncode}): {said}")
    return took_s


def printed_s(
    *command: object, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> tuple[float, list[str]]:
    """Run a program and return the seconds it took, and the lines it printed."""
    # Not a pipe: reading it would take turns with the program on two cores.
    with tempfile.NamedTemporaryFile(dir=TMPFS) as output:
        took_s = elapsed_s(*command, output=Path(output.name), cwd=cwd, env=env)
        return took_s, output.read().decode().split("\n")[:-1]


def compiled(name: str, into: Path) -> Path:
    """Compile one of the C programs of this package and return its path."""
    libraries = printed_s("pkg-config", "--cflags", "--libs", "fuse3")[1][0].split()
    source, target = Path(__file__).with_name("c") / f"{name}.c", into / name
    elapsed_s("cc", "-O2", "-Wall", "-Wextra", "-o", target, source, *libraries)
    return target


@contextmanager
def started(
    command: Iterable[object], *, log: Path, ready: Callable[[], bool] = lambda: True
) -> Iterator[subprocess.Popen[bytes]]:
    """Keep a program running for the block, which begins once it is ready.

    Raises `MeasurementError`, with the end of its log, where it does not get ready.
    """
    words = list(map(str, command))
    if shutil.which(words[0]) is None:
        raise MeasurementError(f"{words[0]} is not installed: scripts/setup bench")
    with log.open("ab") as output:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
        )
    try:
        deadline_s = time.monotonic() + _START_S
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise MeasurementError(f"{words[0]} does not start: {tail(log)}")
            time.sleep(_TICK_S)
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], within_s: float = _END_S) -> int | None:
    """End a process by SIGTERM; returns its exit status, None where it had to be killed."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        return process.wait(within_s)
    process.kill()
    process.wait()
    return None


def tail(log: Path) -> str:
    """Return the end of a log."""
    return log.read_text(errors="replace").strip()[-_SHOWN_CHARACTERS:]


@dataclass(frozen=True)
class Worker:
    """A function in a process of its own, at the other end of a pipe."""

    name: str
    pipe: Connection

    def send(self, message: object) -> None:
        """Send it a message; where it has died, `receive` says so."""
        with suppress(ConnectionError):
            self.pipe.send(message)

    def receive(self, within_s: float) -> Any:
        """Return its next message; raises `MeasurementError` where it died or takes longer."""
        if not self.pipe.poll(within_s):
            raise MeasurementError(f"{self.name} has not answered for {within_s:g} s")
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionError):
            raise MeasurementError(f"{self.name} has died; its error is above") from None


@contextmanager
def worker(function: Callable[..., None], *arguments: object) -> Iterator[Worker]:
    """Run a function in a process of its own for the block.

    It takes its end of the pipe first, and returns where None or, as the pipe is closed at the
    end of the block, nothing more is received.
    """
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_run, args=(function, theirs, *arguments))
    process.start()
    theirs.close()
    try:
        yield Worker(f"{function.__module__}.{function.__name__}", ours)
    finally:
        ours.close()
        process.join(_END_S)
        process.kill()
        process.join()


def _run(function: Callable[..., None], pipe: Connection, *arguments: object) -> None:
    os.setpgid(0, 0)
    with suppress(ConnectionError):  # the process that started it is gone
        function(pipe, *arguments)
