"""Mounts in the background, as the plain command leaves them: found, ended and waited for."""

import os
import select
import signal
from contextlib import suppress
from pathlib import Path

from tests.support.forked import adopting
from tests.support.mounts import PATIENCE_S

__all__ = ["adopting", "daemon_on", "end"]


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
