"""Commands beside mounts that hang or are dead: they answer at once, and touch none of them."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from attachfs.errors import AlreadyMounted, MountTrouble
from attachfs.mount.client import ANSWER_S, standing
from attachfs.mount.control import serve_control
from attachfs.mount.mountpoint import check, claimed, unmount
from attachfs.mount.mounts import absolute, locate, mounted_at
from attachfs.mount.probe import PROBE_S, Standing, probe
from attachfs.mount.sockets import address_of, directory_path, opened
from tests.support.deaf import STATFS, Deafness, deaf_mount
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import until
from tests.support.programs import ALONE, PROGRAM, Done, sentence

pytestmark = pytest.mark.mount

Attachfs = Callable[..., Done]

# Two seconds are promised on an idle machine, of which one is spent on waiting at most. One that
# runs many tests may take longer to start a program; what hangs takes for ever.
_AT_ONCE_S = 20.0
_HANGING = (Deafness.QUEUED, Deafness.TAKEN)


@pytest.fixture
def quick(attachfs: Attachfs) -> Attachfs:
    """Run the program, which must answer at once."""

    def run(*arguments: object, **variables: str) -> Done:
        begun_s = time.monotonic()
        done = attachfs(*arguments, **variables)
        assert time.monotonic() - begun_s < _AT_ONCE_S, arguments
        return done

    return run


@pytest.fixture
def alone(run: Attachfs, environment: dict[str, str], tmp_path: Path) -> Attachfs:
    """Run the program so that it sees no mounts but the test's own; it must answer at once."""

    def program(*arguments: object) -> Done:
        begun_s = time.monotonic()
        done = run(*ALONE, *PROGRAM, *arguments, env=environment | {"ROOT": str(tmp_path)})
        assert time.monotonic() - begun_s < _AT_ONCE_S, arguments
        return done

    return program


@pytest.fixture
def stopped(mount: Callable[..., Mount]) -> Iterator[Mount]:
    """A mount whose process is stopped; it goes on, and ends, after the test."""
    mounted = mount()
    mounted.process.send_signal(signal.SIGSTOP)
    until(lambda: _state(mounted.process.pid) == "T")
    yield mounted
    mounted.process.send_signal(signal.SIGCONT)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory to mount on."""
    path = tmp_path / "place"
    path.mkdir()
    return path


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def test_a_wait_for_a_mount_leaves_half_of_two_seconds() -> None:
    """For the program to start, and for what else it does; there is one such wait, or the other."""
    assert ANSWER_S <= 1.0
    assert PROBE_S <= 1.0


def test_every_command_answers_beside_a_stopped_mount(
    stopped: Mount, quick: Attachfs, alone: Attachfs, archive: Steering, tmp_path: Path
) -> None:
    """What needs the mount says that its process is stopped, with what to do; the rest goes on."""
    link = tmp_path / "link"
    link.symlink_to(stopped.path)
    of_archive = ("--url", archive.url, "--token-file", archive.token_file)
    for command in ("status", "metrics", "refresh", "ls", "info", "cat", "prefetch", "verify"):
        for path in (stopped.path, link, stopped.path / "assets" / ".." / "assets"):
            done = quick(command, path)
            assert done.returncode == 15, done
            assert f"kill -CONT {stopped.process.pid}" in sentence(done)
    for command in ("status", "metrics", "refresh"):
        assert f"kill -CONT {stopped.process.pid}" in sentence(alone(command))
    assert quick("cache", "show").returncode == 0
    for arguments in (("mount", stopped.path, *of_archive), ("demo", stopped.path)):
        done = quick(*arguments)
        assert done.returncode == 12
        assert f"attachfs is mounted on {stopped.path} already and does not" in sentence(done)
    assert f"kill -CONT {stopped.process.pid}" in alone("doctor", stopped.path, *of_archive).stdout


@pytest.mark.parametrize("busy", [False, True])
def test_a_stopped_mount_is_unmounted_at_once(
    stopped: Mount, quick: Attachfs, archive: Steering, *, busy: bool
) -> None:
    """Also while programs wait for it, which is said; then the place can be mounted on again."""
    reader = threading.Thread(target=_look_into, args=(stopped.path / "assets",))
    if busy:
        reader.start()
        until(lambda: _waits(reader))
    done = quick("umount", stopped.path)
    assert (done.returncode, done.stdout) == (0, "")
    assert ("it is detached" in done.stderr) == busy
    assert mounted_at(stopped.path) is None
    again = quick("mount", stopped.path, "--url", archive.url, "--token-file", archive.token_file)
    assert again.returncode == 0, again.stderr
    assert quick("umount", stopped.path).returncode == 0
    stopped.process.send_signal(signal.SIGCONT)
    if busy:
        reader.join()


def _look_into(directory: Path) -> None:
    with suppress(OSError):
        os.listdir(directory)  # noqa: PTH208 - one call


def _waits(thread: threading.Thread) -> bool:
    status = Path(f"/proc/self/task/{thread.native_id}/syscall")
    return thread.native_id is not None and not status.read_text().startswith("running")


def test_a_killed_mount_in_use_is_unmounted(mounted: Mount, quick: Attachfs) -> None:
    """Nothing can be done with it any more."""
    file = os.open(mounted.asset("container") / "asset.json", os.O_RDONLY)
    try:
        mounted.process.kill()
        mounted.expected_status = -signal.SIGKILL
        mounted.process.wait()
        assert quick("umount", mounted.path).returncode == 0
        assert mounted_at(mounted.path) is None
    finally:
        with suppress(OSError):  # ENOTCONN
            os.close(file)


@pytest.mark.parametrize("deafness", _HANGING)
def test_a_mount_without_a_socket_that_hangs_is_told_and_unmounted(
    quick: Attachfs, alone: Attachfs, archive: Steering, place: Path, deafness: Deafness
) -> None:
    """It may be another user's, or its socket may be gone."""
    of_archive = ("--url", archive.url, "--token-file", archive.token_file)
    with deaf_mount(place, deafness, subtype="attachfs"):
        for command in ("status", "metrics", "refresh", "ls", "info", "cat", "prefetch", "verify"):
            assert "has no socket" in sentence(quick(command, place / "assets"))
        assert "does not answer" in sentence(quick("mount", place, *of_archive))
        assert f"the attachfs on {place} has no socket" in alone("doctor", *of_archive).stdout
        assert quick("umount", place).returncode == 0
        assert mounted_at(place) is None


@pytest.mark.parametrize("deafness", Deafness)
@pytest.mark.parametrize("subtype", ["attachfs", "strange"])
def test_what_is_mounted_there_is_named(place: Path, deafness: Deafness, subtype: str) -> None:
    """Whatever it is and however it stands; a dead attachfs makes room."""
    with deaf_mount(place, deafness, subtype=subtype):
        if (deafness, subtype) == (Deafness.DEAD, "attachfs"):
            check(place)
            assert mounted_at(place) is None
            return
        with pytest.raises(AlreadyMounted) as caught:
            check(place)
        said = str(caught.value)
        assert ("does not answer" in said) == (deafness is not Deafness.DEAD)
        assert ("a dead mount" in said) == (deafness is Deafness.DEAD)
        assert str(place) in said


@pytest.mark.parametrize("deafness", _HANGING)
def test_a_path_through_a_mount_that_hangs_is_an_error(
    quick: Attachfs, archive: Steering, place: Path, deafness: Deafness, tmp_path: Path
) -> None:
    """It is another file system's, and what is in it cannot be known; links lead there as well."""
    (tmp_path / "link").symlink_to(place / "below")
    with deaf_mount(place, deafness, subtype="strange"):
        for path in (place / "below", place / "below" / "..", tmp_path / "link"):
            begun_s = time.monotonic()
            for function in (absolute, locate):
                with pytest.raises(MountTrouble, match=f"mounted on {place}, does not answer"):
                    function(path)
            assert time.monotonic() - begun_s < 2 * _AT_ONCE_S
        assert absolute(place) == place
        of_archive = ("--url", archive.url, "--token-file", archive.token_file)
        for command in (("umount",), ("mount", *of_archive), ("status",), ("ls",)):
            done = quick(*command, place / "below")
            assert done.returncode == 15
            assert "does not answer" in sentence(done)


async def test_a_mount_that_answers_by_its_socket_is_not_touched(
    place: Path, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, tmp_path: Path
) -> None:
    """No request of the kernel's reaches it, by whatever path it is named."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    link = tmp_path / "link"
    link.symlink_to(place)
    with deaf_mount(place, Deafness.TAKEN, subtype="attachfs") as deaf:
        await nursery.start(partial(serve_control, place, {"status": _nothing}))
        for path in (place, link, place / "assets" / ".."):
            assert absolute(path) == place
            assert locate(path / "assets") == (place, "assets")
        assert await trio.to_thread.run_sync(standing, place) == (Standing.ANSWERS, "")
        for function in (check, _claim):
            with pytest.raises(AlreadyMounted, match="already; choose"):
                await trio.to_thread.run_sync(function, place)
        assert not await trio.to_thread.run_sync(unmount, place)
    assert deaf.requests == []


async def _nothing(_: object) -> dict[str, object]:
    await trio.lowlevel.checkpoint()
    return {}


def _claim(place: Path) -> None:
    with claimed(place):
        raise AssertionError


@pytest.mark.parametrize(
    ("deafness", "found"),
    [
        (Deafness.QUEUED, Standing.HANGS),
        (Deafness.TAKEN, Standing.HANGS),
        (Deafness.DEAD, Standing.DEAD),
    ],
)
def test_a_probe_tells_how_a_mount_stands(place: Path, deafness: Deafness, found: Standing) -> None:
    """It asks for nothing but statvfs(2), and leaves who cannot be ended behind."""
    assert probe(place) is Standing.ANSWERS
    assert probe(place / "missing") is Standing.ANSWERS
    with deaf_mount(place, deafness, subtype="strange") as deaf:
        assert probe(place, limit_s=0.3) is found
    assert deaf.requests in ([], [STATFS])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may lock whatever it likes")
def test_a_lock_on_the_mount_point_is_not_waited_for(
    mount: Callable[..., Mount], place: Path
) -> None:
    """Another process may hold it for ever: the mount goes on, and says so."""
    with subprocess.Popen(["flock", place, "sleep", "1d"]) as holder:
        until(lambda: subprocess.run(["flock", "-n", place, "true"], check=False).returncode != 0)
        try:
            mounted = mount(on=place)
            mounted.expected_warnings.add("holds the lock of the mount point")
            assert (mounted.asset("container") / "asset.json").read_text()
        finally:
            holder.kill()


@pytest.mark.parametrize("relative", [False, True])
def test_a_path_below_a_stopped_mount_is_refused_wherever_it_is_given(
    stopped: Mount, quick: Attachfs, archive: Steering, tmp_path: Path, *, relative: bool
) -> None:
    """For whatever it is; it is told which mount does not answer, and nothing waits for that."""
    below = stopped.path / "assets" / "x"
    given = Path(os.path.relpath(below)) if relative else below
    link = tmp_path / "link"
    link.symlink_to(below)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    of_archive = ("--url", archive.url, "--token-file", archive.token_file)
    for path in (given, link, stopped.path):
        for arguments in (
            ("mount", elsewhere, *of_archive, "--cache-dir", path),
            ("mount", elsewhere, "--url", archive.url, "--token-file", path),
            ("mount", elsewhere, *of_archive, "--ca-bundle", path),
            ("mount", elsewhere, *of_archive, "--config", path),
            ("doctor", *of_archive, "--cache-dir", path),
            ("cache", "show", "--cache-dir", path),
            ("cache", "clear", "--cache-dir", path),
            ("verify", "assets", *of_archive, "--report", path),
            ("prefetch", "assets", *of_archive, "--cache-dir", path),
        ):
            done = quick(*arguments)
            assert done.returncode == 15, done
            assert f"mounted on {stopped.path}, does not answer" in sentence(done)
    for path in (given, link):
        done = quick("mount", path, *of_archive)
        assert done.returncode == 15, done
        assert f"mounted on {stopped.path}, does not answer" in sentence(done)


def test_idle_connections_to_its_socket_neither_hang_a_mount_nor_detach_it(
    mount: Callable[..., Mount],
    quick: Attachfs,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are this user's own; the oldest one goes for whoever says what it wants."""
    mounted = mount()
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if "XDG_RUNTIME_DIR" in environment:
        monkeypatch.setenv("XDG_RUNTIME_DIR", environment["XDG_RUNTIME_DIR"])
    with ExitStack() as stack:
        directory = stack.enter_context(opened(directory_path(), make=False))
        for _ in range(60):
            idle = stack.enter_context(socket.socket(socket.AF_UNIX))
            idle.connect(address_of(directory, mounted.path))
        assert quick("status", mounted.path).returncode == 0
        descriptor = os.open(mounted.path / "assets", os.O_RDONLY)
        stack.callback(os.close, descriptor)
        done = quick("umount", mounted.path)
        assert done.returncode == 14, done
        assert list((mounted.path / "assets").iterdir())
        assert mounted_at(mounted.path) is not None
