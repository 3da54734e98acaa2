"""A mount from its beginning to its end, whatever ends it."""

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.mounts import PATIENCE_S, Mount, Steering
from tests.support.outcomes import until
from tests.support.programs import sentence

pytestmark = pytest.mark.mount

Attachfs = Callable[..., subprocess.CompletedProcess[str]]


def _errno_of(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "all is well"


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    """A directory that is unmounted at the end, whatever the test left there."""
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    if path.is_mount():
        subprocess.run(["fusermount3", "-u", "-z", path], check=True)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_under_its_readers(
    mounted: Mount, archive: Steering, how: signal.Signals
) -> None:
    """Readers whose bytes will never come get an error at once; the exit status is 0."""
    path = mounted.asset("container") / SAMPLE["blob:container-photo"]
    assert path.stat()
    archive.reset()
    archive.fail_next(path_regex=f"{path.name}$", status=0, delay_s=PATIENCE_S * 2)
    outcomes: list[str] = []
    readers = [
        threading.Thread(target=lambda: outcomes.append(_errno_of(path.read_bytes)))
        for _ in range(3)
    ]
    for reader in readers:
        reader.start()
    until(lambda: not archive.failures_left())
    assert mounted.end(how) == 0
    for reader in readers:
        reader.join()
    assert len(outcomes) == 3
    assert "all is well" not in outcomes
    assert not mounted.path.is_mount()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_its_end_leaves_nobody_waiting(
    mounted: Mount, archive: Steering, how: signal.Signals
) -> None:
    """Who looks up, lists or asks for attributes has an error at once, however it ends."""
    asset = mounted.asset("container")
    # Known beforehand: the kernel looks up one name at a time in a directory.
    assert (asset / "events").stat()
    waiting: tuple[Callable[[], object], ...] = (
        mounted.asset("sensor").stat,
        lambda: list((asset / "events").iterdir()),
        lambda: os.getxattr(asset / SAMPLE["blob:certificate"], "user.mime_type"),
    )
    archive.fail_next(status=0, delay_s=PATIENCE_S * 2, times=len(waiting))
    with ThreadPoolExecutor(len(waiting)) as pool:
        outcomes = [pool.submit(_errno_of, action) for action in waiting]
        until(lambda: not archive.failures_left())
        mounted.expected_status = 0 if how == signal.SIGTERM else -how
        assert mounted.end(how) == mounted.expected_status
        assert {outcome.result(PATIENCE_S) for outcome in outcomes} <= {"ENOTCONN", "ECONNABORTED"}
    if how == signal.SIGKILL:
        assert _errno_of(lambda: os.statvfs(mounted.path)) == "ENOTCONN"
        subprocess.run(["fusermount3", "-u", mounted.path], check=True)


def test_it_returns_once_the_mount_answers(
    attachfs: Attachfs, archive: Steering, mountpoint: Path
) -> None:
    """Without --foreground the mount is there when the command is done, and stays."""
    options = ("--url", archive.url, "--token-file", archive.token_file)
    done = attachfs("mount", mountpoint, *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(mountpoint) in done.stdout
    assert (mountpoint / "assets" / SAMPLE["asset:container"] / "asset.json").read_text()
    again = attachfs("mount", mountpoint, *options)
    assert again.returncode == 12
    assert "attachfs is mounted on" in sentence(again)
    with (mountpoint / "assets" / SAMPLE["asset:container"] / "asset.json").open():
        busy = attachfs("umount", mountpoint)
        assert busy.returncode == 14
        assert "close the programs" in sentence(busy)
    assert attachfs("umount", mountpoint).returncode == 0
    assert not mountpoint.is_mount()
    assert attachfs("umount", mountpoint).returncode == 13


def test_a_dead_predecessor_is_unmounted_first(mount: Callable[..., Mount]) -> None:
    """What a killed attachfs left there is taken down, not mounted over."""
    first = mount()
    first.process.kill()
    first.expected_status = -signal.SIGKILL
    first.process.wait()
    assert _errno_of(lambda: os.statvfs(first.path)) == "ENOTCONN"
    second = mount(on=first.path)
    assert (second.asset("container") / "asset.json").read_text()
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    assert sum(f" {second.path} " in line for line in lines) == 1


def test_a_mount_point_can_be_used_again(mount: Callable[..., Mount]) -> None:
    """Inode numbers are the same in every mount, and one attachment has one."""
    first = mount()
    assets = first.path / "assets"
    inodes = {p.relative_to(assets): p.stat().st_ino for p in assets.rglob("*")}
    assert len(set(inodes.values())) == len(inodes)
    assert first.end() == 0
    mount(on=first.path)
    assert {p.relative_to(assets): p.stat().st_ino for p in assets.rglob("*")} == inodes
