"""Run other programs: compiled ones, servers, mounts; each ended by its own process id."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_PATIENCE_S: Final = 30.0


class Unfit(Exception):
    """Say what this machine lacks for a benchmark."""


def run(*command: str | Path, timeout_s: float = 600, cwd: Path | None = None) -> str:
    """Run a program to its end and return what it prints; raises `Unfit` where it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, cwd=cwd, check=False
    )
    if done.returncode:
        raise Unfit(f"{command[0]} failed ({done.returncode}): {done.stderr.strip()[-500:]}")
    return done.stdout


def version(*command: str) -> str:
    """Return the first line of what a program says of its version."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def found(program: str) -> str:
    """Return where a program is; raises `Unfit` where it is not."""
    path = shutil.which(program)
    if path is None:
        raise Unfit(f"{program} is not installed: scripts/setup bench")
    return path


def compiled(name: str, into: Path) -> Path:
    """Compile one of the C programs beside this module and return where it is."""
    flags = []
    if name == "floor":
        flags = run("pkg-config", "--cflags", "--libs", "fuse3").split()
    target = into / name
    run(
        "cc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", target, _HERE / "c" / f"{name}.c", *flags
    )
    return target


def free_port() -> int:
    """Return a TCP port of the loopback device that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str | Path], *, ready: Callable[[], bool], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Keep a program running, once it is ready; end it with SIGTERM."""
    with log.open("ab") as output:
        program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline_s = time.monotonic() + _PATIENCE_S
        while not ready():
            if program.poll() is not None or time.monotonic() > deadline_s:
                said = log.read_text(errors="replace").strip()
                raise Unfit(f"{command[0]} does not come up: {said[-500:]}")
            time.sleep(0.005)
        yield program
    finally:
        program.terminate()
        try:
            program.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port of the loopback device."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def is_mounted(path: Path) -> bool:
    """Tell whether something is mounted there."""
    return os.path.ismount(path)
