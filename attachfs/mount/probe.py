"""Have another process do what may never return, and leave it behind where it does not.

A system call on a hung mount may not even end by SIGKILL: a process of ours that makes it could not
exit. So a child makes it, which shares nothing with us and is not waited for beyond a limit.
"""

import errno
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import Final

PROBE_S: Final = 1.0
_KILLED_S: Final = 0.1
# stat(2) of a dead mount answers from the kernel's caches, statvfs(3) does not. 15 ms.
_LOOK: Final = """
import os, sys
try:
    os.statvfs(sys.argv[1])
except OSError as error:
    os._exit(min(error.errno, 255))
"""
_DEAD: Final = (errno.ENOTCONN, errno.ECONNABORTED)
_left_behind: Final[list[subprocess.Popen[str]]] = []


class Standing(Enum):
    """Say how a mount stands: it answers, its process has ended, or it does not answer."""

    ANSWERS = auto()
    DEAD = auto()
    HANGS = auto()


def probe(path: Path, *, limit_s: float = PROBE_S) -> Standing:
    """Return how the file system that an absolute path is on stands; blocks for `limit_s` at most.

    Any error but that of a dead mount is an answer.
    """
    try:
        done = run([sys.executable, "-I", "-S", "-c", _LOOK, str(path)], limit_s=limit_s)
    except subprocess.TimeoutExpired:
        return Standing.HANGS
    return Standing.DEAD if done.returncode in _DEAD else Standing.ANSWERS


def run(arguments: Sequence[str], *, limit_s: float) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, without input; raises `TimeoutExpired` after `limit_s` seconds.

    It is killed then, and not waited for: it may be one that no signal ends.
    """
    process = subprocess.Popen(  # noqa: S603 - absolute programs, and no shell
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        _, said = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        if process.stderr is not None:
            process.stderr.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_KILLED_S)
        if process.returncode is None:
            _left_behind.append(process)  # or its end would be warned of
        raise
    return subprocess.CompletedProcess(arguments, process.returncode, "", said)
