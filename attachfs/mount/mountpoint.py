"""Mount points: may one be mounted on, and how is it taken down."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
from attachfs.files import lock
from attachfs.mount.client import standing
from attachfs.mount.mounts import Mounted, mounted_at, require_reachable
from attachfs.mount.probe import Standing, probe, run

_FUSE_DEVICE: Final = Path("/dev/fuse")
_FUSE_CONF: Final = Path("/etc/fuse.conf")
_ROOT_UID: Final = 0
_CLAIM_S: Final = 2.0
_UNMOUNT_S: Final = 1.5  # it takes 15 ms
_LAST_LOOK_S: Final = 0.5


def check(mountpoint: Path) -> None:
    """Raise a `SetupError` unless an absolute path may be mounted on.

    What is mounted there already is named without touching it, also where it hangs. A dead attachfs
    that was left there is unmounted first: mounting over it would hide it.
    """
    os.close(_open(mountpoint))


def _open(mountpoint: Path) -> int:
    """Return a descriptor of the empty directory at an absolute path; raises as `check`.

    Another process may mount there meanwhile: a descriptor with O_PATH asks no file system, and
    is that of the directory below if nothing is mounted afterwards.
    """
    _refuse_mounted(mountpoint)
    require_reachable(mountpoint)
    try:
        place = os.open(mountpoint, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(mountpoint, error) from error
    try:
        _refuse_mounted(mountpoint)
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            raise MountpointMissing(f"{mountpoint} is not a directory; choose one to mount on")
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place)
    except OSError as error:
        raise _unreadable(mountpoint, error) from error
    finally:
        os.close(place)
    try:
        with os.scandir(descriptor) as entries:
            is_occupied = next(entries, None) is not None
    except OSError as error:
        os.close(descriptor)
        raise _unreadable(mountpoint, error) from error
    if is_occupied:
        os.close(descriptor)
        raise MountpointNotEmpty(
            f"{mountpoint} is not empty, and a mount would hide what is in it; "
            "choose an empty directory"
        )
    return descriptor


def _refuse_mounted(mountpoint: Path) -> None:
    """Raise `AlreadyMounted` where something is mounted; unmount a dead attachfs instead."""
    mounted = mounted_at(mountpoint)
    if mounted is None:
        return
    how = _standing(mountpoint, mounted)
    if not mounted.is_attachfs or how is not Standing.DEAD:
        raise AlreadyMounted(_occupied(mountpoint, mounted, how))
    unmount(mountpoint)


def _standing(mountpoint: Path, mounted: Mounted) -> Standing:
    """Return how whatever is mounted somewhere stands."""
    if mounted.is_attachfs:
        return standing(mountpoint)[0]
    return probe(mountpoint) if mounted.may_hang else Standing.ANSWERS


def _occupied(mountpoint: Path, mounted: Mounted, how: Standing) -> str:
    """Return what to say of a path that something is mounted on already."""
    quoted = quote(str(mountpoint))
    if mounted.is_attachfs:
        does_not_answer = " and does not answer" if how is Standing.HANGS else ""
        return (
            f"attachfs is mounted on {mountpoint} already{does_not_answer}; "
            f"choose another directory, or run: attachfs umount {quoted}"
        )
    if how is Standing.DEAD:
        return f"a dead mount lies on {mountpoint}; run: fusermount3 -u {quoted}"
    what = f"{mounted.source} ({mounted.fstype}) is mounted on {mountpoint} already"
    if how is Standing.HANGS:
        return f"{what} and does not answer; choose another directory, or run: umount -l {quoted}"
    return f"{what}; choose another directory"


@contextmanager
def claimed(mountpoint: Path) -> Iterator[bool]:
    """Let one process at a time mount on an absolute path, and only where `check` has no objection.

    Blocks for 2 s at most while another one mounts there, which takes it a moment. Goes on without
    its lock then, and says so with False: it may be stopped. Raises as `check`.
    """
    descriptor = _open(mountpoint)
    try:
        is_alone = True
        with suppress(OSError):  # a file system without locks
            is_alone = lock(descriptor, limit_s=_CLAIM_S)
        check(mountpoint)
        yield is_alone
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


def unmount(mountpoint: Path) -> bool:
    """Unmount the attachfs at an absolute path, in bounded time, without touching it.

    One that hangs, or whose process has ended, is detached even while programs use it: all they
    can do is wait for it. Returns whether that was so. Raises `NotMounted` where no attachfs is
    mounted, `MountpointBusy` while programs use one that answers.
    """
    mounted = mounted_at(mountpoint)
    if mounted is None or not mounted.is_attachfs:
        what = f"{mounted.fstype} is mounted" if mounted else "nothing is mounted"
        raise NotMounted(f"no attachfs is mounted on {mountpoint} ({what} there)")
    failure = _fusermount("-u", "--", str(mountpoint))
    if failure is None:
        return False
    if not _is_well(mountpoint):
        failure = _fusermount("-u", "-z", "--", str(mountpoint))
        if failure is None:
            return True
    raise MountpointBusy(
        f"cannot unmount {mountpoint}: {failure}; "
        "close the programs that use it (fuser -vm shows them) and try again"
    )


def detach_unless_well(mountpoint: Path) -> None:
    """Detach the attachfs at an absolute path, if one is there and does not answer.

    It may be that of a successor, which is left alone. Raises `NoFusermount`.
    """
    mounted = mounted_at(mountpoint)
    is_ours = mounted is not None and mounted.is_attachfs
    if is_ours and not _is_well(mountpoint):
        _fusermount("-u", "-z", "--", str(mountpoint))


def _is_well(mountpoint: Path) -> bool:
    """Return whether the attachfs at an absolute path answers, by its socket or the kernel."""
    how = standing(mountpoint)[0]
    if how is Standing.HANGS:  # or its socket is kept busy by others
        how = probe(mountpoint, limit_s=_LAST_LOOK_S)
    return how is Standing.ANSWERS


def _fusermount(*arguments: str) -> str | None:
    """Run fusermount3; return why it failed, None if it did not."""
    program = fusermount()
    try:
        done = run([program, *arguments], limit_s=_UNMOUNT_S)
    except subprocess.TimeoutExpired:
        return f"fusermount3 is not done after {_UNMOUNT_S:g} s"
    return None if done.returncode == 0 else done.stderr.strip() or "fusermount3 failed"


def _unusable(mountpoint: Path, error: OSError) -> MountpointMissing:
    return MountpointMissing(
        f"cannot use {mountpoint} as mount point: {error.strerror}; "
        f"run: mkdir -p {quote(str(mountpoint))}"
    )


def _unreadable(mountpoint: Path, error: OSError) -> MountpointMissing:
    return MountpointMissing(
        f"cannot look into {mountpoint}: {error.strerror}; choose a directory of your own"
    )
