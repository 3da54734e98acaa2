"""Mount points: may one be mounted on, what is mounted there, how it is taken down."""

import errno
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Final

from attachfs.errors import (
    AlreadyMounted,
    MountFailed,
    MountpointBusy,
    MountpointMissing,
    MountpointNotEmpty,
    NoFuseDevice,
    NoFusermount,
    NotMounted,
)

SUBTYPE: Final = "attachfs"
_FSTYPE: Final = f"fuse.{SUBTYPE}"
_FUSE_DEVICE: Final = Path("/dev/fuse")
_FUSE_CONF: Final = Path("/etc/fuse.conf")
_ROOT_UID: Final = 0
_MOUNTINFO: Final = Path("/proc/self/mountinfo")
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_OWNER: Final = re.compile(r"\buser_id=(\d+)")
_MAX_LINKS: Final = 40  # as path_resolution(7)
_UNMOUNT_TIMEOUT_S: Final = 30


@dataclass(frozen=True, slots=True)
class Mounted:
    """Describe what is mounted somewhere: its type, source and per-mount options."""

    fstype: str
    source: str
    options: frozenset[str]


def absolute(mountpoint: Path) -> Path:
    """Return the mount point with links resolved; never waits for what is mounted there."""
    if mountpoint.name not in ("", ".."):
        mountpoint = Path(os.path.realpath(mountpoint.parent)) / mountpoint.name
        if mounted_at(mountpoint) is not None:
            return mountpoint
    return Path(os.path.realpath(mountpoint))


def mounted_at(mountpoint: Path) -> Mounted | None:
    """Return what is mounted at an absolute path, the topmost, without touching it.

    Reads /proc/self/mountinfo (proc_pid_mountinfo(5)).
    """
    found = None
    for path, mounted, _ in _mounts():
        if path == str(mountpoint):
            found = mounted
    return found


def attachfs_mounts() -> dict[Path, int | None]:
    """Return where attachfs is mounted, each with the user id of its owner, without touching it."""
    found: dict[Path, int | None] = {}
    for path, mounted, shared_options in _mounts():
        found.pop(Path(path), None)  # the topmost counts
        if _is_ours(mounted):
            owner = _OWNER.search(shared_options)
            found[Path(path)] = int(owner[1]) if owner else None
    return found


def locate(path: Path) -> tuple[Path, str]:
    """Return the mount point of the attachfs that an absolute path is in, and the rest of it.

    Links are followed on the way to a mount point alone; it, and what is below it, is not even
    looked at, for that might wait for a server. Raises `NotMounted` outside of any.
    """
    mounts = attachfs_mounts()
    here, links = Path("/"), 0
    ahead = [*reversed(path.parts[1:])]
    while ahead:
        name = ahead.pop()
        here = here.parent if name == ".." else here / name
        if any(here.is_relative_to(mountpoint) for mountpoint in mounts):
            continue
        target = _target_of(here)
        if target is not None:
            links += 1
            if links > _MAX_LINKS:
                break
            here = Path("/") if target.is_absolute() else here.parent
            ahead += [part for part in reversed(target.parts) if not part.startswith("/")]
    around = [mountpoint for mountpoint in mounts if here.is_relative_to(mountpoint)]
    if not around:
        raise NotMounted(
            f"{path} is in no attachfs; give a path at or below the mount point of one"
        )
    mountpoint = max(around, key=lambda mountpoint: len(mountpoint.parts))
    return mountpoint, "/".join(here.relative_to(mountpoint).parts)


def check(mountpoint: Path) -> None:
    """Raise a `SetupError` unless an absolute path may be mounted on.

    A dead attachfs that was left there is unmounted first: mounting over it would hide it.
    """
    try:
        os.statvfs(mountpoint)  # stat(2) of a dead mount answers from the kernel's caches
    except OSError as error:
        if error.errno == errno.ENOTCONN and _is_ours(mounted_at(mountpoint)):
            unmount(mountpoint)
        elif error.errno == errno.ENOTCONN:
            raise AlreadyMounted(
                f"a dead mount lies on {mountpoint}; run: fusermount3 -u {quote(str(mountpoint))}"
            ) from error
        else:
            raise _unusable(mountpoint, error) from error
    if not mountpoint.is_dir():
        raise MountpointMissing(f"{mountpoint} is not a directory; choose one to mount on")
    mounted = mounted_at(mountpoint)
    if mounted is not None:
        if _is_ours(mounted):
            raise AlreadyMounted(
                f"attachfs is mounted on {mountpoint} already; choose another directory, "
                f"or run: attachfs umount {quote(str(mountpoint))}"
            )
        raise AlreadyMounted(
            f"{mounted.source} ({mounted.fstype}) is mounted on {mountpoint} already; "
            "choose another directory"
        )
    try:
        with os.scandir(mountpoint) as entries:
            occupied = next(entries, None) is not None
    except OSError as error:
        raise MountpointMissing(
            f"cannot look into {mountpoint}: {error.strerror}; choose a directory of your own"
        ) from error
    if occupied:
        raise MountpointNotEmpty(
            f"{mountpoint} is not empty, and a mount would hide what is in it; "
            "choose an empty directory"
        )


@contextmanager
def claimed(mountpoint: Path) -> Iterator[None]:
    """Let one process at a time mount on an absolute path, and only where `check` has no objection.

    Blocks while another one mounts there, which takes it a moment. Raises as `check`.
    """
    try:
        descriptor = os.open(mountpoint, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(mountpoint, error) from error
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        check(mountpoint)
        yield
    finally:
        os.close(descriptor)


def check_fuse(*, allow_other: bool = False) -> None:
    """Raise a `SetupError` unless this machine lets us mount, for other users too if need be."""
    if allow_other:
        check_sharing()
    fusermount()
    check_device()


def check_sharing() -> None:
    """Raise `MountFailed` unless we may mount for other users too."""
    if os.geteuid() != _ROOT_UID and not _others_may_be_allowed():
        raise MountFailed(
            f"{_FUSE_CONF} does not let users mount for others; leave out --allow-other, "
            f"or have an administrator write user_allow_other into it"
        )


def fusermount() -> str:
    """Return where fusermount3 is; raises `NoFusermount`."""
    found = shutil.which("fusermount3")
    if found is None:
        raise NoFusermount("fusermount3 is not installed; run: apt install fuse3")
    return found


def check_device() -> None:
    """Raise `NoFuseDevice` unless the kernel's end of FUSE can be opened."""
    try:
        os.close(os.open(_FUSE_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise NoFuseDevice(
            f"cannot open {_FUSE_DEVICE}: {error.strerror}; run: modprobe fuse "
            f"(in a container: start it with --device {_FUSE_DEVICE} --cap-add SYS_ADMIN)"
        ) from error


def _others_may_be_allowed() -> bool:
    """Tell whether fusermount3 will accept `allow_other` of a user (fusermount3(1))."""
    try:
        lines = _FUSE_CONF.read_text(errors="replace").splitlines()
    except OSError:
        return False
    return "user_allow_other" in (line.strip() for line in lines)


def unmount(mountpoint: Path) -> None:
    """Unmount the attachfs at an absolute path.

    Raises `NotMounted` where there is none, `MountpointBusy` while programs use it.
    """
    mounted = mounted_at(mountpoint)
    if not _is_ours(mounted):
        what = f"{mounted.fstype} is mounted" if mounted else "nothing is mounted"
        raise NotMounted(f"no attachfs is mounted on {mountpoint} ({what} there)")
    done = subprocess.run(  # noqa: S603 - an absolute program and a path after --
        [fusermount(), "-u", "--", str(mountpoint)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_UNMOUNT_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise MountpointBusy(
            f"cannot unmount {mountpoint}: {done.stderr.strip() or 'fusermount3 failed'}; "
            "close the programs that use it (fuser -vm shows them) and try again"
        )


def _unusable(mountpoint: Path, error: OSError) -> MountpointMissing:
    return MountpointMissing(
        f"cannot use {mountpoint} as mount point: {error.strerror}; "
        f"run: mkdir -p {quote(str(mountpoint))}"
    )


def _mounts() -> Iterator[tuple[str, Mounted, str]]:
    """Yield each mount's path, what is mounted, and the options that all mounts of it share."""
    for line in os.fsdecode(_MOUNTINFO.read_bytes()).removesuffix("\n").split("\n"):
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        fstype, source, *shared_options = right.split(" ")
        mounted = Mounted(fstype, _unescape(source), frozenset(fields[5].split(",")))
        yield _unescape(fields[4]), mounted, " ".join(shared_options)


def _target_of(path: Path) -> Path | None:
    """Return where a link leads, None for what is none."""
    try:
        return path.readlink()
    except OSError:
        return None


def _is_ours(mounted: Mounted | None) -> bool:
    return mounted is not None and mounted.fstype == _FSTYPE


def _unescape(field: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field)
