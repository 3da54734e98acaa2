"""Mounts of FUSE that answer nothing, or are dead, made without libfuse."""

import os
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path

from tests.support.programs import left_mounted

# Of linux/fuse.h.
_HEADER = struct.Struct("<IIQQIIII")
_REPLY = struct.Struct("<IiQ")
_INIT_REPLY = struct.Struct("<IIIIHHIIHHII24x")
_INIT = 26
STATFS = 17
_OF_THE_KERNEL = (2, 36, 42)  # FORGET, INTERRUPT, BATCH_FORGET: no program asks for them
_MAX_REQUEST_BYTES = 1 << 20


class Deafness(Enum):
    """Say what becomes of requests."""

    QUEUED = auto()  # nobody reads them: those who wait can be killed
    TAKEN = auto()  # they are read and not answered: those who wait cannot even be killed
    DEAD = auto()  # the process has ended


class DeafMount:
    """A mount on `path` with a record of the `requests` that were taken, by their numbers."""

    def __init__(self, path: Path, device: int) -> None:
        self.path = path
        self.requests: list[int] = []
        self._device = device

    def take(self, ended: int) -> None:
        """Take requests until a descriptor can be read; answer the first one alone."""
        while ended not in select.select([self._device, ended], [], [])[0]:
            try:
                request = os.read(self._device, _MAX_REQUEST_BYTES)
            except OSError:  # it has been unmounted
                return
            _, number, unique, *_ = _HEADER.unpack_from(request)
            if number == _INIT:
                body = _INIT_REPLY.pack(7, 31, 0, 0, 12, 9, 65536, 1, 0, 0, 0, 0)
                os.write(self._device, _REPLY.pack(_REPLY.size + len(body), 0, unique) + body)
            elif number not in _OF_THE_KERNEL:
                self.requests.append(number)


@contextmanager
def deaf_mount(path: Path, deafness: Deafness, *, subtype: str) -> Iterator[DeafMount]:
    """Mount on a directory for the block; it is gone afterwards, and nobody waits for it."""
    device = _mounted(path, subtype)
    mount = DeafMount(path, device)
    ended, end = os.pipe()
    taker = threading.Thread(target=mount.take, args=(ended,))
    if deafness is Deafness.TAKEN:
        taker.start()
    if deafness is Deafness.DEAD:
        os.close(device)
    try:
        yield mount
    finally:
        os.close(end)
        if deafness is Deafness.TAKEN:
            taker.join()
        if deafness is not Deafness.DEAD:
            os.close(device)  # which ends the waits of all
        os.close(ended)
        left_mounted(path.parent)


def _mounted(path: Path, subtype: str) -> int:
    """Mount on a directory, and return the descriptor that requests are read from."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        subprocess.run(
            ["fusermount3", "-o", f"ro,fsname=nowhere,subtype={subtype}", "--", path],
            env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            check=True,
        )
        _, (device,), _, _ = socket.recv_fds(ours, 1, 1)
    os.set_inheritable(device, False)  # noqa: FBT003 - os has no name for it
    return device
