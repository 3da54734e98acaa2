"""Check what mounting needs of this machine, and the mounts that are there: `attachfs doctor`."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Final

import trio

from attachfs.access.checkup.findings import Check, Finding, failed, in_thread, ok, skipped, warning
from attachfs.errors import MountFailed, MountTrouble, NoFusermount
from attachfs.mount.client import standing
from attachfs.mount.mountpoint import check, check_device, check_sharing, fusermount
from attachfs.mount.mounts import absolute, attachfs_mounts, mounted_at
from attachfs.mount.probe import Standing
from attachfs.mount.sockets import check_sockets

_ROOT_UID: Final = 0
_STATUS: Final = Path("/proc/self/status")
_NO_NEW_PRIVILEGES: Final = "NoNewPrivs:\t1"


class Mounting:
    """Check whether we may mount; `mountpoint` is where, if that is known.

    Nothing is changed: a dead mount stays. A mount is waited for for a second or so, a program for
    `limit_s`.
    """

    def __init__(self, mountpoint: Path | None, *, allow_other: bool, limit_s: float) -> None:
        self._mountpoint = mountpoint
        self._allow_other = allow_other
        self._limit_s = limit_s

    def checks(self) -> Iterator[Check]:
        """Yield the checks; none depends on another."""
        yield Check("fuse", in_thread(_device))
        yield Check("fusermount3", in_thread(self._fusermount))
        yield Check("allow-other", in_thread(self._sharing))
        yield Check("mount point", in_thread(self._place))
        yield Check("sockets", in_thread(_sockets))
        yield Check("mounts", self._mounts)

    def _fusermount(self) -> Finding:
        program = fusermount()
        try:
            done = subprocess.run(  # noqa: S603 - an absolute program
                [program, "-V"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=self._limit_s,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise NoFusermount(
                f"{program} does not run ({type(error).__name__}); "
                "run: apt install --reinstall fuse3"
            ) from error
        if os.geteuid() != _ROOT_UID:
            _check_privileges(program)
        version = done.stdout.rpartition(": ")[2].strip()
        return ok(f"{program} {version} may mount")

    def _sharing(self) -> Finding:
        if not self._allow_other:
            return skipped("not asked for")
        check_sharing()
        return ok("other users may be let in")

    def _place(self) -> Finding:
        if self._mountpoint is None:
            return skipped("none is given or configured")
        target = absolute(self._mountpoint)
        mounted = mounted_at(target)
        if mounted is not None and mounted.is_attachfs:
            return ok(f"attachfs is mounted on {target} already")  # how it fares is told below
        check(target)
        # What fusermount3 asks of a user's mount point.
        is_ours = target.stat().st_uid == os.getuid() or not target.stat().st_mode & stat.S_ISVTX
        if os.geteuid() != _ROOT_UID and not (is_ours and os.access(target, os.W_OK)):
            raise MountFailed(
                f"fusermount3 will not mount on {target}, which is not yours to write; "
                "choose a directory of your own"
            )
        return ok(f"{target} can be mounted on")

    async def _mounts(self) -> Finding:
        ours = [path for path, owner in attachfs_mounts().items() if owner == os.getuid()]
        found: dict[Path, tuple[Standing, str]] = {}

        async def look(path: Path) -> None:
            found[path] = await trio.to_thread.run_sync(standing, path, abandon_on_cancel=True)

        async with trio.open_nursery() as nursery:  # at once: several of them may hang
            for path in ours:
                nursery.start_soon(look, path)
        dead = [path for path in ours if found[path][0] is Standing.DEAD]
        # What hangs first: the others have no socket, and may be well.
        ours.sort(key=lambda path: found[path][0] is not Standing.HANGS)
        silent = [found[path][1] for path in ours if found[path][1]]
        if dead:
            advice = " && ".join(f"attachfs umount {quote(str(path))}" for path in dead)
            shown = ", ".join(map(str, dead))
            return failed(MountTrouble(f"dead, as attachfs was killed: {shown}"), f"run: {advice}")
        if silent:
            text, _, advice = silent[0].rpartition("; ")
            return warning(text or advice, advice)
        return ok(f"{', '.join(map(str, ours))}: all well" if ours else "none of yours")


def _device() -> Finding:
    check_device()
    return ok("/dev/fuse can be opened")


def _check_privileges(program: str) -> None:
    """Raise `MountFailed` unless the program is root's when a user runs it."""
    status = os.stat(program)  # noqa: PTH116 - beside statvfs
    if not status.st_mode & stat.S_ISUID or status.st_uid != _ROOT_UID:
        raise MountFailed(
            f"{program} is not setuid root, so that users cannot mount; "
            f"have an administrator run: chown root {program} && chmod u+s {program}"
        )
    if os.statvfs(program).f_flag & os.ST_NOSUID:
        raise MountFailed(
            f"{program} is on a file system that is mounted nosuid, so that users cannot mount; "
            "have an administrator mount it otherwise"
        )
    if _NO_NEW_PRIVILEGES in _STATUS.read_text().splitlines():
        raise MountFailed(
            "this process may gain no privileges (no_new_privs), so that fusermount3 has none; "
            "take NoNewPrivileges= out of the unit, or no-new-privileges out of the container"
        )


def _sockets() -> Finding:
    try:
        return ok(f"in {check_sockets()}")
    except OSError as error:
        return warning(
            f"none can be made in {error.filename}: {error.strerror}",
            "set XDG_RUNTIME_DIR to a directory of yours alone; without a socket, `attachfs "
            "status` and `attachfs refresh` do not reach a mount",
        )
