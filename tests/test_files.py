"""Files that others hold up: nothing waits for them without a bound."""

import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from attachfs import files
from attachfs.files import lock, open_regular, read_given, require_regular
from tests.support.oddities import ODDITIES, put_in_place
from tests.support.sessions import locked

_LEASE = """
import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print(flush=True)
time.sleep(1e6)
"""


@pytest.mark.parametrize("oddity", ODDITIES)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT])
def test_what_is_not_a_regular_file_is_not_opened(tmp_path: Path, oddity: str, flags: int) -> None:
    """At once, and no descriptor is left."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one call
    with put_in_place(tmp_path / "x", oddity):
        with pytest.raises(OSError, match=r"."):
            open_regular(tmp_path / "x", flags)
        with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
            require_regular(tmp_path / "x")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - one call


def test_a_regular_file_is_opened_or_made(tmp_path: Path) -> None:
    """With the mode asked for; links are followed on request."""
    require_regular(tmp_path / "x")
    os.close(open_regular(tmp_path / "x", os.O_WRONLY | os.O_CREAT))
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600
    require_regular(tmp_path / "x")
    (tmp_path / "link").symlink_to("x")
    with pytest.raises(OSError, match="Too many levels"):
        open_regular(tmp_path / "link")
    with pytest.raises(OSError, match="not a regular file"):
        require_regular(tmp_path / "link")
    os.close(open_regular(tmp_path / "link", follow=True))
    require_regular(tmp_path / "link", follow=True)


@pytest.mark.process
def test_a_lease_of_another_process_is_not_waited_for(tmp_path: Path) -> None:
    """The kernel would have it wait 45 s for one that does not let go (fcntl(2))."""
    path = tmp_path / "x"
    path.touch()
    holder = [sys.executable, "-ISc", _LEASE, str(path)]
    with subprocess.Popen(holder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        try:
            with pytest.raises(BlockingIOError):
                open_regular(path)
        finally:
            process.kill()


@pytest.mark.parametrize("oddity", [name for name in ODDITIES if name != "link to nowhere"])
def test_what_users_name_is_a_regular_file(tmp_path: Path, oddity: str) -> None:
    """Or a link to one; nothing else is waited for."""
    with put_in_place(tmp_path / "x", oddity), pytest.raises(OSError, match=r".") as caught:
        read_given(tmp_path / "x", 10)
    assert caught.value.errno in (errno.EINVAL, errno.EISDIR, errno.ENXIO)


def test_a_file_is_read_as_far_as_asked_for(tmp_path: Path) -> None:
    """By its name, by a link, and by a descriptor's name; the null device is empty."""
    (tmp_path / "x").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("x")
    assert read_given(tmp_path / "link", 4)[1] == b"0123"
    with (tmp_path / "x").open() as file:
        assert read_given(Path(f"/dev/fd/{file.fileno()}"), 20)[1] == b"0123456789"
    assert read_given(Path("/dev/null"), 20)[1] == b""


@pytest.fixture
def pipe() -> Iterator[tuple[Path, int]]:
    """The name of a pipe's descriptor, and where to write to it; the test closes that."""
    reading, writing = os.pipe()
    yield Path(f"/proc/self/fd/{reading}"), writing
    os.close(reading)


def test_a_pipe_is_read_to_its_end(pipe: tuple[Path, int]) -> None:
    """However late what is written comes."""
    path, writing = pipe

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as file:
            file.write(b"a")
            file.write(b"b")

    thread = threading.Timer(0.05, write)
    thread.start()
    assert read_given(path, 10)[1] == b"ab"
    thread.join()


def test_a_pipe_that_nobody_writes_to_is_given_up(
    pipe: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a minute, here sooner."""
    monkeypatch.setattr(files, "_PIPE_S", 0.05)
    path, writing = pipe
    os.write(writing, b"a")
    with pytest.raises(TimeoutError, match="not done in"):
        read_given(path, 10)
    os.close(writing)


def test_a_lock_is_waited_for_as_long_as_it_is_said(tmp_path: Path) -> None:
    """And had once it is free; what cannot be locked is an error."""
    path = tmp_path / "x"
    with locked(path), path.open() as file:
        assert not lock(file.fileno(), limit_s=0)
        assert not lock(file.fileno(), limit_s=0.05)
    had: list[bool] = []
    with path.open() as file:
        thread = threading.Thread(target=lambda: had.append(lock(file.fileno(), limit_s=60)))
        with locked(path):
            thread.start()
            assert had == []
        thread.join()
    assert had == [True]
    with path.open() as file:
        assert lock(file.fileno(), limit_s=0)
    unlockable = os.open(path, os.O_PATH)
    with pytest.raises(OSError, match="Bad file descriptor"):
        lock(unlockable, limit_s=1)
    os.close(unlockable)


def test_a_socket_is_not_a_file(tmp_path: Path) -> None:
    """Whether somebody listens or not."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with pytest.raises(OSError, match="No such device"):
            read_given(tmp_path / "s", 10)
