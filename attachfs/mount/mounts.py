"""What is mounted where, by /proc/self/mountinfo (proc_pid_mountinfo(5)).

Nothing here touches a mount: each system call that does, stat(2) and open(2) included, may wait for
a server, or for a process that never answers.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from attachfs.errors import MountTrouble, NotMounted
from attachfs.mount.probe import Standing, probe

SUBTYPE: Final = "attachfs"
_FSTYPE: Final = f"fuse.{SUBTYPE}"
# Those that wait for the disk alone; whatever else may wait for a server or a process.
_LOCAL_TYPES: Final = """
    bcachefs btrfs cgroup cgroup2 devpts devtmpfs erofs exfat ext2 ext3 ext4 f2fs iso9660 jfs msdos
    ntfs3 overlay proc ramfs reiserfs rootfs squashfs sysfs tmpfs udf vfat xfs zfs
"""
_LOCAL: Final = frozenset(_LOCAL_TYPES.split())
_MOUNTINFO: Final = Path("/proc/self/mountinfo")
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_OWNER: Final = re.compile(r"\buser_id=(\d+)")
_MAX_LINKS: Final = 40  # as path_resolution(7)


@dataclass(frozen=True, slots=True)
class Mounted:
    """Describe what is mounted somewhere: its type, source and per-mount options."""

    fstype: str
    source: str
    options: frozenset[str]

    @property
    def is_attachfs(self) -> bool:
        """Whether it is a mount of attachfs."""
        return self.fstype == _FSTYPE

    @property
    def may_hang(self) -> bool:
        """Whether what touches it may wait for a server or a process, and not for a disk alone."""
        return self.fstype not in _LOCAL


def absolute(path: Path) -> Path:
    """Return an absolute path without links and `..`, missing or not, in bounded time.

    Neither what is mounted at the end of it is touched nor an attachfs on the way. Another file
    system on the way, of a kind that may hang, is asked first whether it answers; raises
    `MountTrouble` where it does not.
    """
    mounts = _topmost()
    here, links = Path("/"), 0
    ahead = [*reversed(path.absolute().parts[1:])]
    trusted: set[Path] = set()
    while ahead:
        name = ahead.pop()
        here = here.parent if name == ".." else here / name
        around = [parent for parent in here.parents if parent in mounts]
        if name == ".." or here in mounts or any(mounts[place].is_attachfs for place in around):
            continue
        for place in reversed(around):
            if place not in trusted:
                _require_answer(place, mounts[place])
                trusted.add(place)
        target = _target_of(here)
        if target is not None:
            links += 1
            if links > _MAX_LINKS:
                return here.joinpath(*reversed(ahead))
            here = Path("/") if target.is_absolute() else here.parent
            ahead += [part for part in reversed(target.parts) if not part.startswith("/")]
    return here


def require_reachable(path: Path) -> None:
    """Raise `MountTrouble` where a path is on a file system that does not answer, at or below it.

    It takes a second at most, and 20 ms where the file system is of a kind that may hang.
    """
    here, mounts = absolute(path), _topmost()
    place = next(place for place in (here, *here.parents) if place in mounts)
    _require_answer(place, mounts[place])


def mounted_at(mountpoint: Path) -> Mounted | None:
    """Return what is mounted at an absolute path, the topmost."""
    return _topmost().get(mountpoint)


def attachfs_mounts() -> dict[Path, int | None]:
    """Return where attachfs is mounted, each with the user id of its owner."""
    found: dict[Path, int | None] = {}
    for path, mounted, shared_options in _mounts():
        found.pop(path, None)  # the topmost counts
        if mounted.is_attachfs:
            owner = _OWNER.search(shared_options)
            found[path] = int(owner[1]) if owner else None
    return found


def locate(path: Path) -> tuple[Path, str]:
    """Return the mount point of the attachfs that an absolute path is in, and the rest of it.

    Links are followed on the way to a mount point, not below it. Raises `NotMounted` outside of
    any, and what `absolute` raises.
    """
    here = absolute(path)
    mounts = attachfs_mounts()
    around = [place for place in (here, *here.parents) if place in mounts]
    if not around:
        raise NotMounted(
            f"{path} is in no attachfs; give a path at or below the mount point of one"
        )
    return around[0], "/".join(here.relative_to(around[0]).parts)


def _require_answer(place: Path, mounted: Mounted) -> None:
    """Raise `MountTrouble` where a file system may hang, and does."""
    if mounted.may_hang and probe(place) is Standing.HANGS:
        raise MountTrouble(
            f"{mounted.source} ({mounted.fstype}), which is mounted on {place}, does not answer; "
            "repair or unmount it, or give a path outside of it"
        )


def _target_of(path: Path) -> Path | None:
    """Return where a link leads, None for what is not a link."""
    try:
        return path.readlink()
    except OSError:
        return None


def _topmost() -> Mapping[Path, Mounted]:
    return {path: mounted for path, mounted, _ in _mounts()}


def _mounts() -> Iterator[tuple[Path, Mounted, str]]:
    """Yield each mount's path, what is mounted, and the options that all mounts of it share.

    There may be none: those outside of the root directory of this process are left out.
    """
    for line in filter(None, os.fsdecode(_MOUNTINFO.read_bytes()).split("\n")):
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        fstype, source, *shared_options = right.split(" ")
        mounted = Mounted(fstype, _unescape(source), frozenset(fields[5].split(",")))
        yield Path(_unescape(fields[4])), mounted, " ".join(shared_options)


def _unescape(field: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field)
