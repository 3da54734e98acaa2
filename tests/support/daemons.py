"""Mounts in the background, as the plain command leaves them: found, ended and waited for."""

import ctypes
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.mounts import PATIENCE_S

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


@contextmanager
def adopting() -> Iterator[None]:
    """Be the parent of what the commands of the block leave behind, so as to see how it ends."""
    prctl = ctypes.CDLL(None).prctl
    assert prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        assert prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


def daemon_on(mountpoint: Path) -> int:
    """Return the number of the process that serves a mount point: it was given it to mount on."""
    found: list[int] = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                arguments = (process / "cmdline").read_bytes().split(b"\0")
                if b"mount" in arguments and os.fsencode(mountpoint) in arguments:
                    found.append(int(process.name))
    (daemon,) = found
    return daemon


def end(daemon: int, *signals: signal.Signals) -> int:
    """Send signals to an adopted process and return its exit status, negative for a signal's."""
    descriptor = os.pidfd_open(daemon)
    try:
        for number in signals:
            os.kill(daemon, number)
        ended, _, _ = select.select([descriptor], [], [], PATIENCE_S)
    finally:
        os.close(descriptor)
    assert ended, "the process does not end"
    _, status = os.waitpid(daemon, 0)
    return os.waitstatus_to_exitcode(status)
