"""Nothing can be changed, whatever one tries and whoever one is."""

import errno
import os
import stat
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.mounts import Mount, Steering

pytestmark = pytest.mark.mount

_WRITES: dict[str, Callable[[Path, Path], object]] = {
    "create": lambda _, directory: (directory / "new").touch(),
    "open for writing": lambda file, _: os.open(file, os.O_WRONLY),
    "open for both": lambda file, _: os.open(file, os.O_RDWR),
    "open for appending": lambda file, _: os.open(file, os.O_WRONLY | os.O_APPEND),
    "open and truncate": lambda file, _: os.open(file, os.O_RDONLY | os.O_TRUNC),
    "truncate": lambda file, _: os.truncate(file, 0),
    "mkdir": lambda _, directory: (directory / "new").mkdir(),
    "mknod": lambda _, directory: os.mknod(directory / "new", stat.S_IFIFO | 0o600),
    "symlink": lambda _, directory: (directory / "new").symlink_to("x"),
    "link": lambda file, directory: os.link(file, directory / "new"),
    "unlink": lambda file, _: file.unlink(),
    "rmdir": lambda _, directory: directory.rmdir(),
    "rename": lambda file, directory: file.rename(directory / "new"),
    "chmod": lambda file, _: file.chmod(0o777),
    "chown": lambda file, _: os.chown(file, 1, 1),
    "utime": lambda file, _: os.utime(file),
    "setxattr": lambda file, _: os.setxattr(file, "user.new", b"x"),
    "removexattr": lambda file, _: os.removexattr(file, "user.mime_type"),
}


def _errno_of(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "all is well"


def test_every_write_is_refused(shared: Mount, shared_archive: Steering) -> None:
    """EROFS for each operation that would change something, at the cost of no request."""
    directory = shared.event("container-loading", of="container")
    file = directory / SAMPLE["blob:packing-list"]
    assert file.stat()
    shared_archive.reset()
    outcomes = {name: _errno_of(partial(write, file, directory)) for name, write in _WRITES.items()}
    assert outcomes == dict.fromkeys(_WRITES, "EROFS")
    assert shared_archive.paths() == []


def test_the_kernel_is_told_to_refuse(shared: Mount) -> None:
    """The mount has ro, nosuid, nodev and noexec, and lets the kernel check permissions."""
    line = next(
        line
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if f" {shared.path} " in line
    )
    options = set(line.split(" ")[5].split(","))
    assert {"ro", "nosuid", "nodev", "noexec"} <= options
    assert "default_permissions" in line.split(" ")[-1].split(",")
    assert " - fuse.attachfs http://127.0.0.1:" in line


def test_it_cannot_be_remounted_for_writing(mounted: Mount) -> None:
    """Where the kernel lets root take `ro` away, our own answer is the same."""
    file = mounted.asset("container") / SAMPLE["blob:container-photo"]
    assert file.stat()
    subprocess.run(["mount", "-o", "remount,rw", mounted.path], capture_output=True, check=False)
    assert _errno_of(partial(os.truncate, file, 0)) == "EROFS"
    assert _errno_of((file.parent / "new").touch) == "EROFS"
    assert _errno_of(partial(os.open, file, os.O_RDWR)) == "EROFS"


def test_df_never_asks_the_server(shared: Mount, shared_archive: Steering) -> None:
    """`statvfs` gives constants, also while everything fails."""
    shared_archive.reset()
    shared_archive.fail_next(status=500, times=100)
    first, second = os.statvfs(shared.path), os.statvfs(shared.path / "assets")
    assert first == second
    assert (first.f_bavail, first.f_files, first.f_namemax) == (0, 0, 255)
    assert first.f_flag & os.ST_RDONLY
    assert shared_archive.paths() == []
    shared_archive.reset()
