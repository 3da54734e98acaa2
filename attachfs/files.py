"""Files that others may replace, lock or hold up: opened, read and locked in bounded time.

open(2) of a FIFO waits for somebody at its other end, read(2) for what he writes, flock(2) for a
process that may be stopped. Where another process can put such a thing, files are opened by these.
"""

import errno
import fcntl
import os
import select
import stat
import time
from pathlib import Path
from typing import Final

_FLAGS: Final = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_NULL_DEVICE: Final = os.makedev(1, 3)
_PIPE_S: Final = 60.0  # whoever writes may be asked for a passphrase
_FIRST_PAUSE_S: Final = 0.0005
_LONGEST_PAUSE_S: Final = 0.02


def open_regular(
    path: str | Path, flags: int = os.O_RDONLY, mode: int = 0o600, *, follow: bool = False
) -> int:
    """Return the descriptor of a regular file; never blocks for another process.

    Links are followed on request alone. Raises `OSError`, also for what is not a regular file.
    """
    descriptor = os.open(path, flags | _FLAGS | (0 if follow else os.O_NOFOLLOW), mode)
    try:
        _require(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def require_regular(path: str | Path, *, follow: bool = False) -> None:
    """Raise `OSError` where something is there that is not a regular file.

    For libraries that open files by their names.
    """
    try:
        status = os.stat(path, follow_symlinks=follow)  # noqa: PTH116 - also strings
    except FileNotFoundError:
        return
    _require(status, path)


def read_given(path: Path, max_bytes: int) -> tuple[os.stat_result, bytes]:
    """Return what is known of a file that a user named, and its first `max_bytes`; follows links.

    A pipe behind the name of a descriptor, as of `<(pass show archive)`, is read to its end, for a
    minute at most; /dev/null is empty. Raises `OSError`, also for anything else that is not a
    regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL_DEVICE:
            return status, b""
        is_pipe = stat.S_ISFIFO(status.st_mode) and is_descriptor(path)
        if not is_pipe:
            _require(status, path)
        return status, _read(descriptor, max_bytes)
    finally:
        os.close(descriptor)


def is_descriptor(path: Path) -> bool:
    """Return whether an absolute path names what a process has open, not a file."""
    return path.parts[1] == "proc" or str(path).startswith(("/dev/fd/", "/dev/std"))


def lock(descriptor: int, *, limit_s: float) -> bool:
    """Lock an open file (flock(2)) for this process alone; return whether that succeeded.

    Blocks for `limit_s` seconds at most: a process that holds the lock may be stopped. Raises
    `OSError` where the file cannot be locked at all.
    """
    until_s = time.monotonic() + limit_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        else:
            return True


def _require(status: os.stat_result, path: str | Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def _read(descriptor: int, max_bytes: int) -> bytes:
    """Return what comes up to the end; raises `TimeoutError` where that takes too long."""
    until_s = time.monotonic() + _PIPE_S
    data = bytearray()
    while len(data) < max_bytes:
        left_s = until_s - time.monotonic()
        if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
            raise TimeoutError(errno.ETIMEDOUT, f"whoever writes it is not done in {_PIPE_S:g} s")
        block = os.read(descriptor, max_bytes - len(data))
        if not block:
            break
        data += block
    return bytes(data)
