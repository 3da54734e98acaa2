"""Where the sockets of mounts are: a file each, in a directory that is its user's alone."""

import errno
import hashlib
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote as shell_quote
from typing import Final
from urllib.parse import quote

import platformdirs

MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024  # more than a command line can hold, execve(2)
UCRED: Final = struct.Struct("3i")  # process, user, group: unix(7)
# With /proc/self/fd/<number>/ before it, it fits into the 108 bytes of sun_path.
_MAX_NAME_BYTES: Final = 80
_ROOT_UID: Final = 0
_ROOTS_DIRECTORY: Final = Path("/run/attachfs")


def check_sockets() -> Path:
    """Return where the sockets of mounts are, or will be; raises `OSError` where they cannot."""
    path = directory_path()
    try:
        with opened(path, make=False):
            return path
    except FileNotFoundError:
        parent = path.parent if path.parent.exists() else path.parent.parent
        if os.access(parent, os.W_OK | os.X_OK, effective_ids=True):
            return path
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(parent)) from None


@contextmanager
def opened(path: Path, *, make: bool) -> Iterator[int]:
    """Open a directory of sockets for the block; raises `OSError` unless it is ours alone."""
    if make:
        for missing in (path.parent, path):
            missing.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            advice = f"it must be yours alone, run: chmod 700 {shell_quote(str(path))}"
            raise PermissionError(errno.EACCES, advice, str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def directory_path() -> Path:
    """Return where the sockets are.

    A mount of root's that systemd or mount(8) made knows no XDG_RUNTIME_DIR; a shell of root's may.
    """
    if os.geteuid() == _ROOT_UID and "XDG_RUNTIME_DIR" not in os.environ:
        return _ROOTS_DIRECTORY
    with warnings.catch_warnings(action="ignore"):  # without XDG_RUNTIME_DIR, it is in /tmp
        return platformdirs.user_runtime_path("attachfs")


def directory_of(mountpoint: Path) -> Path:
    """Return in which directory the socket of a mount is, or would be."""
    path = directory_path()
    if os.geteuid() != _ROOT_UID or os.path.lexists(path / socket_name(mountpoint)):
        return path
    other = _ROOTS_DIRECTORY
    return other if os.path.lexists(other / socket_name(mountpoint)) else path


def address_of(directory: int, mountpoint: Path) -> str:
    """Return an address of the socket that fits whatever the directory is called."""
    return f"/proc/self/fd/{directory}/{socket_name(mountpoint)}"


def socket_name(mountpoint: Path) -> str:
    """Return a file name that tells mount points apart: `%2F` for each slash, or a digest."""
    path = os.fsencode(mountpoint)
    name = quote(path.strip(b"/"), safe="") + ".socket"
    if len(name) <= _MAX_NAME_BYTES:
        return name
    return hashlib.sha256(path).hexdigest() + ".socket"
