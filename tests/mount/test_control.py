"""The socket of a mount: whoever talks to it, and however, the mount goes on."""

import errno
import os
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
import trio.testing

from attachfs.errors import (
    AlreadyMounted,
    Denied,
    MountHung,
    MountTrouble,
    NotFound,
    NotMounted,
    SetupError,
    UsageError,
)
from attachfs.mount import client, control, sockets
from attachfs.mount import mounts as mount_table
from attachfs.mount.client import ask, ask_long
from attachfs.mount.control import argument, serve_control
from attachfs.mount.sockets import MAX_REQUEST_BYTES, socket_name
from tests.support.mounts import PATIENCE_S

_WELL = b'{"ok":true}\n'
_NO_OBJECT = b'{"ok":false,"error":"the request is no JSON object on a line","exit_code":2}\n'
Request = Mapping[str, Any]
Serve = Callable[..., Awaitable[None]]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory of the sockets, in a runtime directory of the test's own; not made yet."""
    with tempfile.TemporaryDirectory() as path:  # short enough for the tests' own connections
        monkeypatch.setenv("XDG_RUNTIME_DIR", path)
        yield Path(path) / "attachfs"


@pytest.fixture
def mountpoint() -> Path:
    """A path that the tests say is mounted on."""
    return Path("/srv/evidence")


@pytest.fixture
def mounted(mountpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same path, and the kernel says so, too."""
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"20 1 0:20 / {mountpoint} ro - fuse.attachfs https://host ro,user_id=0\n")
    monkeypatch.setattr(mount_table, "_MOUNTINFO", mountinfo)
    return mountpoint


@pytest.fixture
async def serve(
    runtime: Path,  # noqa: ARG001 - set before
    mountpoint: Path,
    nursery: trio.Nursery,
) -> Serve:
    """Serve commands for the mount point until the test ends."""

    async def start(**commands: control.Command) -> None:
        await nursery.start(partial(serve_control, mountpoint, {"echo": _echo, **commands}))

    return start


ServeLong = Callable[[control.LongCommand], Awaitable[None]]


@pytest.fixture
async def serve_long(
    runtime: Path,  # noqa: ARG001 - set before
    mountpoint: Path,
    nursery: trio.Nursery,
) -> ServeLong:
    """Serve a long command, `count`, beside `echo`, until the test ends."""

    async def start(command: control.LongCommand) -> None:
        serve = partial(serve_control, mountpoint, {"echo": _echo}, {"count": command})
        await nursery.start(serve)

    return start


async def _echo(request: Request) -> Request:
    return {key: value for key, value in request.items() if key != "command"}


def _made(runtime: Path) -> Path:
    runtime.mkdir(mode=0o700, exist_ok=True)
    return runtime


def _names(runtime: Path) -> list[str]:
    return [path.name for path in runtime.iterdir()]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _socket_of(runtime: Path) -> Path:
    (name,) = _names(runtime)
    return runtime / name


async def _connect(path: Path) -> trio.SocketStream:
    return await trio.open_unix_socket(path)


async def _all_of(stream: trio.SocketStream) -> bytes:
    """Return what comes, up to the end of a line."""
    received = b""
    while not received.endswith(b"\n") and (some := await stream.receive_some()):
        received += some
    return received


async def _say(path: Path, request: bytes) -> bytes:
    """Return the whole answer to what is sent."""
    async with await _connect(path) as stream:
        try:
            await stream.send_all(request)
        except trio.BrokenResourceError:
            assert len(request) > MAX_REQUEST_BYTES  # it need not listen to the end
        return await _all_of(stream)


async def _ask(mountpoint: Path, request: Request, timeout_s: float = PATIENCE_S) -> Request:
    return await trio.to_thread.run_sync(partial(ask, mountpoint, request, timeout_s=timeout_s))


async def test_a_command_is_answered(serve: Serve, mountpoint: Path) -> None:
    """With what it returns; it is given the request."""
    await serve()
    request = {"command": "echo", "path": "assets/ü", "deep": {"list": [1, None]}}
    answer = await _ask(mountpoint, request)
    assert answer == {"ok": True, "path": "assets/ü", "deep": {"list": [1, None]}}


async def test_the_socket_is_for_us_alone_and_goes_with_the_mount(
    runtime: Path, mountpoint: Path
) -> None:
    """Its directory is 0700, whatever the umask, and it is named after the mount point."""
    before = os.umask(0)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_control, mountpoint, {})
            assert _mode(runtime) == 0o700
            assert _mode(_socket_of(runtime)) == 0o600
            nursery.cancel_scope.cancel()
    finally:
        os.umask(before)
    assert _names(runtime) == []


@pytest.mark.parametrize(
    "name",
    ["mnt", "two words/ü%", os.fsdecode(b"\xff\n"), "/".join(["long" * 40] * 10)],
    ids=["short", "odd", "bytes", "long"],
)
async def test_every_mount_point_has_a_socket(
    runtime: Path, nursery: trio.Nursery, name: str
) -> None:
    """However long and odd its name, and however deep the runtime directory lies."""
    for mountpoint in (Path("/", name), Path("/another", name)):
        await nursery.start(serve_control, mountpoint, {"echo": _echo})
        assert await _ask(mountpoint, {"command": "echo", "a": 1}) == {"ok": True, "a": 1}
    assert len(_names(runtime)) == 2


async def test_a_deep_runtime_directory_is_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, mountpoint: Path
) -> None:
    """The 108 bytes of a socket's address are not exceeded."""
    deep = tmp_path.joinpath(*["deep" * 10] * 5)
    deep.mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    await nursery.start(serve_control, mountpoint, {"echo": _echo})
    assert await _ask(mountpoint, {"command": "echo"}) == {"ok": True}
    assert _socket_of(deep / "attachfs").is_socket()


async def test_without_a_runtime_directory_it_is_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, mountpoint: Path
) -> None:
    """It is private as well, and nobody is warned."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("attachfs.mount.sockets._ROOT_UID", -1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("platformdirs.unix._runtime_dir_problem", _temporary_is_fine)
    await nursery.start(serve_control, mountpoint, {"echo": _echo})
    assert await _ask(mountpoint, {"command": "echo"}) == {"ok": True}
    runtime = tmp_path / f"runtime-{os.geteuid()}"
    assert _mode(runtime) == 0o700
    assert _socket_of(runtime / "attachfs").is_socket()


async def test_roots_mounts_are_found_whatever_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, mountpoint: Path
) -> None:
    """mount(8) and systemd know no XDG_RUNTIME_DIR, a shell of root's may."""
    runs = tmp_path / "runs"
    runs.mkdir(mode=0o700)
    monkeypatch.setattr("attachfs.mount.sockets._ROOT_UID", os.geteuid())
    monkeypatch.setattr("attachfs.mount.sockets._ROOTS_DIRECTORY", runs)
    with monkeypatch.context() as without:
        without.delenv("XDG_RUNTIME_DIR", raising=False)
        await nursery.start(serve_control, mountpoint, {"echo": _echo})
        assert _socket_of(runs).is_socket()
        assert await _ask(mountpoint, {"command": "echo"}) == {"ok": True}
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert await _ask(mountpoint, {"command": "echo"}) == {"ok": True}


def _temporary_is_fine(path: str, **_: bool) -> str | None:
    return "is not there" if path.startswith("/run/") else None


async def test_a_socket_that_was_left_is_replaced(
    runtime: Path, mounted: Path, nursery: trio.Nursery
) -> None:
    """By that of the next mount; until then, who asks is told that the mount was killed."""
    killed = trio.CancelScope()
    with killed:
        async with trio.open_nursery() as first:
            await first.start(serve_control, mounted, {})
            left = _socket_of(runtime)
            left.rename(runtime / "kept")
            killed.cancel()
    (runtime / "kept").rename(left)
    with pytest.raises(MountTrouble, match=rf"was killed; run: attachfs umount {mounted}, and"):
        await _ask(mounted, {"command": "echo"})
    await nursery.start(serve_control, mounted, {"echo": _echo})
    assert await _ask(mounted, {"command": "echo"}) == {"ok": True}
    assert _socket_of(runtime) == left


async def test_a_successor_keeps_its_socket(
    runtime: Path, mountpoint: Path, nursery: trio.Nursery
) -> None:
    """A mount that ends late does not take away that of the next one."""
    async with trio.open_nursery() as first:
        await first.start(serve_control, mountpoint, {})
        await nursery.start(serve_control, mountpoint, {"echo": _echo})
        first.cancel_scope.cancel()
    assert await _ask(mountpoint, {"command": "echo"}) == {"ok": True}
    assert _socket_of(runtime).is_socket()


@pytest.mark.parametrize("wrong", ["mode", "link", "file", "full"])
async def test_without_a_safe_place_the_mount_goes_on(
    runtime: Path,
    mounted: Path,
    expected_warnings: set[str],
    quiet_log: list[structlog.typing.EventDict],
    wrong: str,
) -> None:
    """A warning says what does not work, and who asks is told what is wrong there."""
    expected_warnings.add("`attachfs refresh` will not reach this mount")
    _spoil(runtime, mounted, wrong)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, mounted, {})  # and it is done
    (warning,) = quiet_log
    assert str(runtime) in warning["reason"] or wrong == "full"
    with pytest.raises(MountTrouble) as caught:
        await _ask(mounted, {"command": "refresh"})
    assert str(mounted) in str(caught.value)
    if wrong == "mode":
        for said in (warning["reason"], str(caught.value)):
            assert f"run: chmod 700 {runtime}" in said


def _spoil(runtime: Path, mountpoint: Path, wrong: str) -> None:
    if wrong == "mode":
        runtime.mkdir()
        runtime.chmod(0o750)
    elif wrong == "link":
        runtime.symlink_to(runtime.parent)
    elif wrong == "file":
        runtime.touch()
    else:
        (_made(runtime) / socket_name(mountpoint)).mkdir()


async def test_a_directory_of_another_user_is_not_used(
    runtime: Path, mounted: Path, monkeypatch: pytest.MonkeyPatch, expected_warnings: set[str]
) -> None:
    """Whoever made it could take the socket away, or have put one there."""
    expected_warnings.add("no socket for other commands")
    _made(runtime)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    monkeypatch.setattr(control, "directory_path", lambda: runtime)
    monkeypatch.setattr(sockets, "directory_path", lambda: runtime)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, mounted, {})
    assert _names(runtime) == []
    with pytest.raises(MountTrouble, match="must be yours alone"):
        await _ask(mounted, {"command": "echo"})


_INTRUDER = """
import os, socket, sys
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as s:
    s.connect(f"/proc/self/fd/{sys.argv[1]}/{sys.argv[2]}")
    try:
        s.sendall(b'{"command": "echo"}\\n')
        print(s.recv(99))
    except OSError as error:
        print(b"")
"""


def _open_to_all(runtime: Path) -> None:
    _socket_of(runtime).chmod(0o666)
    runtime.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_another_user_is_not_listened_to(
    serve: Serve,
    runtime: Path,
    expected_warnings: set[str],
    quiet_log: list[structlog.typing.EventDict],
) -> None:
    """Not even where the modes of directory and socket were opened to all."""
    await serve()
    _open_to_all(runtime)
    expected_warnings.add("another user may not give commands")
    descriptor = os.open(runtime, os.O_PATH)
    try:
        command = [sys.executable, "-c", _INTRUDER, str(descriptor), _socket_of(runtime).name]
        done = await trio.run_process(command, pass_fds=[descriptor], capture_stdout=True)
    finally:
        os.close(descriptor)
    assert done.stdout == b"b''\n"
    assert [event["uid"] for event in quiet_log] == [65534]


@pytest.mark.parametrize(
    "request_",
    [b"\n", b"hello\n", b"{\n", b"[]\n", b"null\n", b"\xff\xfe\n", b'{"command": "echo"',
     b"[" * 60_000 + b"\n", b'{"command":' * 5000 + b"\n", b"\0" * 100 + b"\n"],
)  # fmt: skip
async def test_garbage_is_answered_as_such(serve: Serve, runtime: Path, request_: bytes) -> None:
    """In one line, and the next request is served."""
    await serve()
    path = _socket_of(runtime)
    async with await _connect(path) as stream:
        await stream.send_all(request_)
        stream.socket.shutdown(socket.SHUT_WR)
        assert await _all_of(stream) == _NO_OBJECT
    assert await _say(path, b'{"command": "echo"}\n') == _WELL


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (b"{}\n", b"the request has no command"),
        (b'{"command": ["echo"]}\n', b"the request has no command"),
        (b'{"command": null}\n', b"the request has no command"),
        (b'{"command": "reload"}\n', b"this mount knows no command 'reload'"),
    ],
)
async def test_what_is_no_command_is_told_so(
    serve: Serve, runtime: Path, request_: bytes, message: bytes
) -> None:
    """As wrong usage."""
    await serve()
    answer = await _say(_socket_of(runtime), request_)
    assert answer == b'{"ok":false,"error":"%s","exit_code":2}\n' % message


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("size_bytes", [4_194_305, 10_000_000])
async def test_too_much_is_refused_unread(
    serve: Serve, runtime: Path, size_bytes: int, end: bytes
) -> None:
    """Without waiting for its end; what is just short enough is taken."""
    await serve()
    path = _socket_of(runtime)
    answer = await _say(path, b" " * size_bytes + end)
    assert b"the request is longer than 4194304 bytes" in answer
    assert await _say(path, b'{"command": "echo"}'.ljust(4_194_304) + b"\n") == _WELL


async def test_silence_is_hung_up_on(
    runtime: Path, mountpoint: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """After some seconds, whether nothing was said or half of it."""
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, mountpoint, {"echo": _echo})
        path = _socket_of(runtime)
        for said in (b"", b'{"command": '):
            before_s = trio.current_time()
            async with await _connect(path) as stream:
                await stream.send_all(said)
                assert await _all_of(stream) == _NO_OBJECT
            waited_s = trio.current_time() - before_s
            assert 0 < waited_s <= control._TALKING_TIMEOUT_S + 1
        nursery.cancel_scope.cancel()
    assert autojump_clock.autojump_threshold == 0


async def test_who_does_not_take_the_answer_is_left(
    runtime: Path, mountpoint: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """However long it is, it holds a place for some seconds at most."""
    assert autojump_clock.autojump_threshold == 0

    async def long(_: Request) -> Request:
        return {"text": "x" * 10_000_000}

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, mountpoint, {"long": long})
        async with await _connect(_socket_of(runtime)) as stream:
            await stream.send_all(b'{"command": "long"}\n')
            await trio.sleep(control._TALKING_TIMEOUT_S + 1)
            assert len(await _all_of(stream)) < 10_000_000
        nursery.cancel_scope.cancel()


async def test_a_command_that_takes_too_long_is_given_up(
    runtime: Path, mountpoint: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """The answer says so."""
    assert autojump_clock.autojump_threshold == 0
    ended = trio.Event()

    async def sleep(_: Request) -> Request:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, mountpoint, {"sleep": sleep})
        answer = await _say(_socket_of(runtime), b'{"command": "sleep"}\n')
        nursery.cancel_scope.cancel()
    assert ended.is_set()
    assert answer == (
        b'{"ok":false,"error":"the mount was not done with it in 60 s","exit_code":15}\n'
    )


async def test_clients_do_not_wait_for_one_another(serve: Serve, mountpoint: Path) -> None:
    """One is answered while another's command is under way."""
    begun, release = trio.Event(), trio.Event()

    async def slow(_: Request) -> Request:
        begun.set()
        await release.wait()
        return {"slow": True}

    await serve(slow=slow)
    answers: list[Request] = []

    async def ask_slowly() -> None:
        answers.append(await _ask(mountpoint, {"command": "slow"}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_slowly)
        await begun.wait()
        answers.append(await _ask(mountpoint, {"command": "echo"}))
        release.set()
    assert answers == [{"ok": True}, {"ok": True, "slow": True}]


async def test_many_connections_take_few_places(serve: Serve, runtime: Path) -> None:
    """Those beyond wait in the kernel, and all are served as others hang up."""
    held = 0
    most = 0

    async def count(_: Request) -> Request:
        nonlocal held, most
        held += 1
        most = max(most, held)
        await trio.testing.wait_all_tasks_blocked()
        held -= 1
        return {}

    await serve(count=count)
    path = _socket_of(runtime)
    silent = [await _connect(path) for _ in range(control._MAX_CLIENTS)]
    answers: list[bytes] = []

    async def say() -> None:
        answers.append(await _say(path, b'{"command": "count"}\n'))

    async with trio.open_nursery() as nursery:
        for _ in range(3 * control._MAX_CLIENTS):
            nursery.start_soon(say)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == []
        for stream in silent:
            await stream.aclose()
    assert answers == [_WELL] * 3 * control._MAX_CLIENTS
    assert 0 < most <= control._MAX_CLIENTS


async def test_hanging_up_is_no_matter(serve: Serve, runtime: Path) -> None:
    """Before, within and after the request, with and without a reset."""
    entered, left = trio.Event(), trio.Event()

    async def work(_: Request) -> Request:
        entered.set()
        await left.wait()
        return {"text": "x" * 1000}

    await serve(work=work)
    path = _socket_of(runtime)
    for said in (b"", b'{"comm', b"garbage\n", b'{"command": "echo"}\nand more', b"x" * 70_000):
        async with await _connect(path) as stream:
            await stream.send_all(said)
    async with await _connect(path) as stream:
        await stream.send_all(b'{"command": "work"}\n')
        await entered.wait()
    left.set()
    assert await _say(path, b'{"command": "echo"}\n') == _WELL


async def test_without_descriptors_it_goes_on_later(
    serve: Serve,
    runtime: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: set[str],
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The mount's own needs come first; the warning says what is missing."""
    assert autojump_clock.autojump_threshold == 0
    expected_warnings.add("cannot listen to another command")
    accept = trio.SocketListener.accept
    failures = [OSError(errno.EMFILE, os.strerror(errno.EMFILE))]

    async def scarce(listener: trio.SocketListener) -> trio.SocketStream:
        if failures:
            raise failures.pop()
        return await accept(listener)

    monkeypatch.setattr(trio.SocketListener, "accept", scarce)
    await serve()
    assert await _say(_socket_of(runtime), b'{"command": "echo"}\n') == _WELL
    assert not failures


@pytest.mark.parametrize(
    ("error", "kind", "exit_code"),
    [
        (NotFound("no such name"), UsageError, 2),
        (UsageError("no such name"), UsageError, 2),
        (AlreadyMounted("no such name"), AlreadyMounted, 12),
        (Denied("no such name"), MountTrouble, 15),
        (ExceptionGroup("", [NotFound("no such name")]), UsageError, 2),
    ],
)
async def test_what_a_command_refuses_is_raised_where_it_was_asked_for(
    serve: Serve, mountpoint: Path, error: Exception, kind: type[SetupError], exit_code: int
) -> None:
    """With its own words, and an exit code."""

    async def refuse(_: Request) -> Request:
        raise error

    await serve(refuse=refuse)
    with pytest.raises(SetupError, match=r"^no such name$") as caught:
        await _ask(mountpoint, {"command": "refuse"})
    assert (type(caught.value), caught.value.exit_code) == (kind, exit_code)


@pytest.mark.parametrize("how", ["raised", "in a group", "not JSON"])
async def test_a_defect_is_logged_and_told_without_details(
    serve: Serve,
    mountpoint: Path,
    expected_warnings: set[str],
    quiet_log: list[structlog.typing.EventDict],
    how: str,
) -> None:
    """With its traceback; the next command is served."""
    expected_warnings.add("unexpected error in a command")

    async def fail(_: Request) -> Request:
        if how == "raised":
            raise ValueError("hunter2")
        if how == "in a group":
            raise ExceptionGroup("two", [ValueError("hunter2"), NotFound("x")])
        return {"answer": object()}

    await serve(fail=fail)
    with pytest.raises(MountTrouble, match=r"^the mount failed at it; its log says how$"):
        await _ask(mountpoint, {"command": "fail"})
    (event,) = quiet_log
    assert isinstance(event["exc_info"], Exception)
    assert await _ask(mountpoint, {"command": "echo"}) == {"ok": True}


def test_arguments_are_texts() -> None:
    """Whatever else a request holds in their place is wrong usage."""
    assert argument({"path": ""}, "path") == ""
    for request in ({}, {"path": None}, {"path": 1}, {"path": ["x"]}):
        with pytest.raises(UsageError, match="the request has no path"):
            argument(request, "path")


@pytest.mark.usefixtures("runtime")
async def test_where_nothing_is_mounted_nothing_answers(mountpoint: Path) -> None:
    """The message says so, whether or not there was one before."""
    with pytest.raises(NotMounted, match=f"no attachfs is mounted on {mountpoint}; run: "):
        await _ask(mountpoint, {"command": "echo"})


async def test_a_mount_without_a_socket_is_told_apart(runtime: Path, mounted: Path) -> None:
    """It may have been made with another runtime directory."""
    for _ in range(2):
        with pytest.raises(MountTrouble, match=rf"has no socket in {runtime}; set XDG_RUNTIME_DIR"):
            await _ask(mounted, {"command": "echo"})
        _made(runtime)


async def test_a_mount_that_hangs_is_not_waited_for(runtime: Path, mounted: Path) -> None:
    """Whether it takes the connection or not."""
    _made(runtime)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(f"{runtime}/{socket_name(mounted)}")
        deaf.listen(0)
        for _ in range(2):
            with pytest.raises(MountTrouble, match=r"does not answer within 0\.01 s; look into"):
                await _ask(mounted, {"command": "echo"}, timeout_s=0.01)


@pytest.mark.parametrize("answer", [b"", b"{", b"[]\n", b"\xff\n"])
async def test_half_an_answer_is_none(runtime: Path, mounted: Path, answer: bytes) -> None:
    """As from a mount that was taken down meanwhile."""
    _made(runtime)

    def reply() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{runtime}/{socket_name(mounted)}")
        server.listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, reply)
            with pytest.raises(MountTrouble, match="ended before it answered"):
                await _ask(mounted, {"command": "echo"})


@pytest.mark.parametrize(
    ("path", "reason"), [("\udcff", "that is not UTF-8"), ("x" * 5_000_000, "name fewer paths")]
)
def test_what_cannot_be_asked_for_is_not_sent(mountpoint: Path, path: str, reason: str) -> None:
    """As wrong usage."""
    with pytest.raises(UsageError, match=reason):
        ask(mountpoint, {"command": "refresh", "path": path}, timeout_s=PATIENCE_S)


async def test_it_ends_at_once_under_its_clients(runtime: Path, mounted: Path) -> None:
    """A mount that is taken down waits for none of them; they are told."""
    begun = trio.Event()

    async def forever(_: Request) -> Request:
        begun.set()
        await trio.sleep_forever()
        raise AssertionError

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, mounted, {"forever": forever})
        async with await _connect(_socket_of(runtime)), trio.open_nursery() as clients:

            async def be_told() -> None:
                with pytest.raises(MountTrouble, match="ended before it answered"):
                    await _ask(mounted, {"command": "forever"})

            clients.start_soon(be_told)
            await begun.wait()
            nursery.cancel_scope.cancel()


async def _count(request: Request, more: control.More) -> None:
    for number in range(request["to"]):
        await more(number)


async def _count_and_wait(request: Request, more: control.More) -> None:
    await _count(request, more)
    await trio.sleep_forever()


async def _count_and_fail(request: Request, more: control.More) -> None:
    await _count(request, more)
    raise NotFound("nothing is called that")


async def _count_and_break(request: Request, more: control.More) -> None:
    await _count(request, more)
    raise ValueError("a defect")


async def _asked_long(mountpoint: Path, to: int, said: list[Any]) -> None:
    def listen() -> None:
        said.extend(ask_long(mountpoint, {"command": "count", "to": to}))

    await trio.to_thread.run_sync(listen)


async def test_a_long_command_says_what_it_has_before_it_is_done(
    serve_long: ServeLong, mountpoint: Path
) -> None:
    """Each value once, in order, however many; and none where it has nothing to say."""
    await serve_long(_count)
    for to in (0, 1, 5_000):
        said: list[Any] = []
        await _asked_long(mountpoint, to, said)
        assert said == list(range(to))


async def test_a_long_command_that_fails_has_said_what_it_had(
    serve_long: ServeLong, mountpoint: Path
) -> None:
    """Its error comes after that, as any other command's."""
    await serve_long(_count_and_fail)
    said: list[Any] = []
    with pytest.raises(UsageError, match="nothing is called that"):
        await _asked_long(mountpoint, 3, said)
    assert said == [0, 1, 2]


async def test_a_defect_of_a_long_command_is_told_without_details(
    serve_long: ServeLong, mountpoint: Path, expected_warnings: set[str]
) -> None:
    """The mount goes on."""
    expected_warnings.add("unexpected error in a command")
    await serve_long(_count_and_break)
    for _ in range(2):
        said: list[Any] = []
        with pytest.raises(MountTrouble, match="its log says how"):
            await _asked_long(mountpoint, 1, said)
        assert said == [0]


async def test_who_hangs_up_ends_a_long_command(serve_long: ServeLong, mountpoint: Path) -> None:
    """At once, though it would go on for ever."""
    ended = trio.Event()

    async def command(request: Request, more: control.More) -> None:
        try:
            await _count_and_wait(request, more)
        finally:
            ended.set()

    def take_one() -> None:
        answers = ask_long(mountpoint, {"command": "count", "to": 2})
        assert next(iter(answers)) == 0
        answers.close()  # type: ignore[attr-defined]  # generators have it

    await serve_long(command)
    await trio.to_thread.run_sync(take_one)
    with trio.fail_after(PATIENCE_S):
        await ended.wait()


async def test_who_takes_nothing_holds_a_long_command_up(
    serve_long: ServeLong, mountpoint: Path
) -> None:
    """It waits for its reader instead of piling up what it has to say; others are answered."""
    said = 0

    async def command(_: Request, more: control.More) -> None:
        nonlocal said
        while True:
            await more("x" * 10_000)
            said += 1

    await serve_long(command)
    answers = ask_long(mountpoint, {"command": "count", "to": 0})
    await trio.to_thread.run_sync(lambda: next(iter(answers)))
    before = -1
    while said != before:  # until the socket is full
        before = said
        await trio.sleep(0.1)
    assert said * 10_000 < 4 * 1024 * 1024
    answer = await trio.to_thread.run_sync(
        partial(ask, mountpoint, {"command": "echo", "a": "b"}, timeout_s=PATIENCE_S)
    )
    assert answer["a"] == "b"
    await trio.to_thread.run_sync(answers.close)  # type: ignore[attr-defined]


async def test_jobs_take_no_places_of_other_commands(
    serve_long: ServeLong, mountpoint: Path
) -> None:
    """However many wait for something, the mount answers; one more than it does is refused."""
    begun = 0

    async def command(_: Request, more: control.More) -> None:
        nonlocal begun
        begun += 1
        await more("begun")
        await trio.sleep_forever()

    def begin() -> Any:
        answers = ask_long(mountpoint, {"command": "count"})
        assert next(iter(answers)) == "begun"
        return answers

    await serve_long(command)
    jobs = [await trio.to_thread.run_sync(begin) for _ in range(control._MAX_JOBS)]
    assert begun == control._MAX_JOBS >= control._MAX_CLIENTS
    assert await _ask(mountpoint, {"command": "echo"}) == {"ok": True}
    with pytest.raises(MountTrouble, match="jobs already; try again"):
        await trio.to_thread.run_sync(begin)
    await trio.to_thread.run_sync(jobs.pop().close)
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                jobs.append(await trio.to_thread.run_sync(begin))
            except MountTrouble:
                await trio.sleep(0.01)
            else:
                break
    for answers in jobs:
        await trio.to_thread.run_sync(answers.close)


@pytest.mark.parametrize("is_alive", [True, False])
async def test_a_mount_that_falls_silent_in_a_job_is_asked_whether_it_lives(
    runtime: Path, mounted: Path, monkeypatch: pytest.MonkeyPatch, *, is_alive: bool
) -> None:
    """While it answers others it is waited for, and no longer."""
    monkeypatch.setattr(client, "_FIRST_SILENCE_S", 0.01)
    monkeypatch.setattr(client, "ANSWER_S", PATIENCE_S if is_alive else 0.1)
    _made(runtime)
    said: list[Any] = []
    asked: list[bytes] = []

    def serve() -> None:
        job, _ = server.accept()
        with job:
            job.recv(4096)
            job.sendall(b'{"more":1}\n')
            while is_alive and len(asked) < 3:
                other, _ = server.accept()
                with other:
                    asked.append(other.recv(4096))
                    other.sendall(b'{"ok":true}\n')
            if is_alive:
                job.sendall(b'{"more":2}\n{"ok":true}\n')
            over.wait(PATIENCE_S)

    over = threading.Event()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{runtime}/{socket_name(mounted)}")
        server.listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, serve)
            if is_alive:
                await _asked_long(mounted, 0, said)
            else:
                with pytest.raises(MountHung, match="does not answer within"):
                    await _asked_long(mounted, 0, said)
            over.set()
    assert said == ([1, 2] if is_alive else [1])
    assert asked == [b'{"command":"status"}\n'] * (3 if is_alive else 0)
