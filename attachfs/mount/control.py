"""The socket by which other commands talk to a running mount.

One JSON object a line each way, one request a connection: `{"command": "refresh", "path": ""}` is
answered `{"ok": true}`, or `{"ok": false, "error": "...", "exit_code": 2}`. Before that, a command
may say more, `{"more": ...}` a line; such a one takes as long as it takes, and ends when whoever
asked hangs up.
"""

import errno
import hashlib
import os
import socket
import struct
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shlex import quote as shell_quote
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import msgspec
import platformdirs
import structlog
import trio

from attachfs.errors import (
    AttachfsError,
    MountTrouble,
    NotFound,
    NotMounted,
    SetupError,
    TimedOut,
    UsageError,
    first_cause,
)
from attachfs.mount.mountpoint import attachfs_mounts

Command = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Take a request, return what its answer holds besides `ok`."""

More = Callable[[Any], Awaitable[None]]
LongCommand = Callable[[Mapping[str, Any], More], Awaitable[None]]
"""Take a request and what sends a value before the answer; may be cancelled at any time."""

_MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024  # more than a command line can hold, execve(2)
_TALKING_TIMEOUT_S: Final = 5.0  # for a request to come, and for its answer to go
_COMMAND_TIMEOUT_S: Final = 60.0
_MAX_CLIENTS: Final = 16  # more wait until these are done
_PAUSE_S: Final = 1.0
# With /proc/self/fd/<number>/ before it, it fits into the 108 bytes of sun_path.
_MAX_NAME_BYTES: Final = 80
_ROOT_UID: Final = 0
_ROOTS_DIRECTORY: Final = Path("/run/attachfs")
_UCRED: Final = struct.Struct("3i")  # process, user, group: unix(7)

_log = structlog.get_logger(__name__)


async def serve_control(
    mountpoint: Path,
    commands: Mapping[str, Command],
    long_commands: Mapping[str, LongCommand] = MappingProxyType({}),
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer the commands of other processes until cancelled.

    Whatever they send or do, nothing is raised. Where there can be no socket, a warning is logged
    and that is all.
    """
    with ExitStack() as stack:
        try:
            listener = stack.enter_context(_listening(mountpoint))
        except OSError as error:
            _log.warning(
                "no socket for other commands, `attachfs refresh` will not reach this mount",
                reason=str(error),
            )
            task_status.started()
            return
        task_status.started()
        slots = trio.Semaphore(_MAX_CLIENTS)
        async with trio.open_nursery() as nursery:
            while True:
                await slots.acquire()
                try:
                    stream = await listener.accept()
                except OSError as error:  # no descriptors or no memory are left
                    slots.release()
                    _log.warning("cannot listen to another command", reason=str(error))
                    await trio.sleep(_PAUSE_S)
                else:
                    nursery.start_soon(_converse, stream, commands, long_commands, slots)


def argument(request: Mapping[str, Any], name: str) -> str:
    """Return a text that a request must hold; raises `UsageError`."""
    value = request.get(name)
    if not isinstance(value, str):
        raise UsageError(f"the request has no {name}")
    return value


def ask(mountpoint: Path, request: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
    """Return what the mount at an absolute path answers to a request.

    Raises `NotMounted` where there is none, `MountTrouble` where it does not answer in time, and
    what it answers with: the `SetupError` of that exit code.
    """
    (answer,) = _answers(mountpoint, request, timeout_s)
    return answer


def ask_long(mountpoint: Path, request: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what the mount at an absolute path says until it has done what it is asked for.

    Raises as `ask`. What has begun ends when the iterator is closed.
    """
    for answer in _answers(mountpoint, request, None):
        if "more" in answer:
            yield answer["more"]


def _answers(
    mountpoint: Path, request: Mapping[str, Any], timeout_s: float | None
) -> Iterator[Mapping[str, Any]]:
    """Yield each line that the mount answers with; the last one says that all is well."""
    try:
        line = msgspec.json.encode(request)
    except UnicodeEncodeError as error:
        raise UsageError("nothing in an archive has a name that is not UTF-8") from error
    if len(line) > _MAX_REQUEST_BYTES:
        raise UsageError("that is more than a mount takes at once; name fewer paths")
    try:
        for reply in _exchange(mountpoint, line + b"\n", timeout_s):
            answer = _parse_reply(mountpoint, reply)
            yield answer
            if "ok" in answer:
                return
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise _absent(mountpoint, error) from error
    except (TimeoutError, BlockingIOError) as error:
        within = "" if timeout_s is None else f" within {timeout_s:g} s"
        raise MountTrouble(
            f"the attachfs on {mountpoint} does not answer{within}; "
            "look into its log, and mount it again if need be"
        ) from error
    except OSError as error:
        raise MountTrouble(
            f"cannot talk to the attachfs on {mountpoint}: {error.strerror or error} "
            f"({error.filename or _socket_name(mountpoint)})"
        ) from error


def _parse_reply(mountpoint: Path, reply: bytes) -> dict[str, Any]:
    """Return a line of an answer; raises the error that it tells of."""
    try:
        answer = msgspec.json.decode(reply, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise MountTrouble(
            f"the attachfs on {mountpoint} ended before it answered; see its log"
        ) from error
    if answer.get("ok") is False:
        kinds = {kind.exit_code: kind for kind in SetupError.__subclasses__()}
        raise kinds.get(answer.get("exit_code", 0), MountTrouble)(str(answer.get("error")))
    return answer


def _absent(mountpoint: Path, error: OSError) -> SetupError:
    """Return what to say of a mount that listens to nobody."""
    if mountpoint not in attachfs_mounts():
        return NotMounted(f"no attachfs is mounted on {mountpoint}; run: attachfs mount")
    again = f"run: attachfs umount {shell_quote(str(mountpoint))}, and mount it again"
    if isinstance(error, ConnectionRefusedError):
        return MountTrouble(f"the attachfs on {mountpoint} was killed; {again}")
    return MountTrouble(
        f"the attachfs on {mountpoint} has no socket in {_directory_path()}; "
        f"set XDG_RUNTIME_DIR as it was for the mount, or {again}"
    )


def _exchange(mountpoint: Path, line: bytes, timeout_s: float | None) -> Iterator[bytes]:
    """Yield the lines that a request is answered with; an empty one where it is cut off."""
    with (
        _opened(_directory_of(mountpoint), make=False) as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
    ):
        connection.settimeout(timeout_s)
        connection.connect(_address(directory, mountpoint))
        with suppress(BrokenPipeError):  # it may have answered without listening to the end
            connection.sendall(line)
        with connection.makefile("rb") as replies:
            yield from replies
            yield b""


async def _converse(
    stream: trio.SocketStream,
    commands: Mapping[str, Command],
    long_commands: Mapping[str, LongCommand],
    slots: trio.Semaphore,
) -> None:
    """Take one request and answer it; a peer that hangs up is no matter."""
    try:
        async with stream:
            if not _is_trusted(stream):
                return
            with suppress(trio.BrokenResourceError):
                line = await _receive_line(stream)
                answer = await _answer(line, commands, long_commands, stream)
                with trio.move_on_after(_TALKING_TIMEOUT_S):
                    await stream.send_all(answer + b"\n")
    finally:
        slots.release()


def _is_trusted(stream: trio.SocketStream) -> bool:
    """Tell whether the peer is ours or root's."""
    # The directory keeps the others away already, as long as nobody changes its mode.
    ucred = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(ucred)
    trusted = uid in (os.geteuid(), _ROOT_UID)
    if not trusted:
        _log.warning("another user may not give commands", uid=uid)
    return trusted


async def _receive_line(stream: trio.SocketStream) -> bytes:
    """Return what comes up to the end of a line, in time, and little more than is allowed."""
    received = bytearray()
    with trio.move_on_after(_TALKING_TIMEOUT_S):
        while b"\n" not in received and len(received) <= _MAX_REQUEST_BYTES:
            some = await stream.receive_some()
            if not some:
                break
            received += some
    return bytes(received.partition(b"\n")[0])


async def _answer(
    line: bytes,
    commands: Mapping[str, Command],
    long_commands: Mapping[str, LongCommand],
    stream: trio.SocketStream,
) -> bytes:
    """Return the answer to a request, whatever happens; raises `BrokenResourceError`."""
    try:
        request = _parse(line)
        name = argument(request, "command")
        if name in long_commands:
            await _go_on(long_commands[name], request, stream)
            return msgspec.json.encode({"ok": True})
        if name not in commands:
            raise UsageError(f"this mount knows no command {name!r}")  # noqa: TRY301
        with trio.move_on_after(_COMMAND_TIMEOUT_S):
            return msgspec.json.encode({"ok": True, **await commands[name](request)})
        raise TimedOut(f"the mount was not done with it in {_COMMAND_TIMEOUT_S:g} s")  # noqa: TRY301
    except Exception as error:  # noqa: BLE001 - the mount goes on, whatever it was
        cause = first_cause(error)
        if isinstance(cause, trio.BrokenResourceError):
            raise cause from None
        return _failure(cause)


async def _go_on(
    command: LongCommand, request: Mapping[str, Any], stream: trio.SocketStream
) -> None:
    """Do what may take long; raises `BrokenResourceError` once nobody waits for it any more."""
    one_at_a_time = trio.Lock()

    async def more(value: Any) -> None:
        line = msgspec.json.encode({"more": value}) + b"\n"
        async with one_at_a_time:
            await stream.send_all(line)

    hung_up = False

    async def watch() -> None:
        nonlocal hung_up
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass
        hung_up = True
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await command(request, more)
        nursery.cancel_scope.cancel()
    if hung_up:
        raise trio.BrokenResourceError


def _parse(line: bytes) -> dict[str, Any]:
    if len(line) > _MAX_REQUEST_BYTES:
        raise UsageError(f"the request is longer than {_MAX_REQUEST_BYTES} bytes")
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError("the request is no JSON object on a line") from error


def _failure(cause: BaseException) -> bytes:
    if not isinstance(cause, AttachfsError):
        _log.error("unexpected error in a command", exc_info=cause)
        cause = MountTrouble("the mount failed at it; its log says how")
    exit_code = MountTrouble.exit_code
    if isinstance(cause, SetupError):
        exit_code = cause.exit_code
    elif isinstance(cause, NotFound):
        exit_code = UsageError.exit_code
    return msgspec.json.encode({"ok": False, "error": str(cause), "exit_code": exit_code})


@contextmanager
def _listening(mountpoint: Path) -> Iterator[trio.SocketListener]:
    """Have the mount's socket for the block; one that was left there is replaced.

    Raises `OSError` where there can be none.
    """
    name = _socket_name(mountpoint)
    with (
        _opened(_directory_path(), make=True) as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
    ):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        os.fchmod(listener.fileno(), 0o600)  # Linux makes the file with the socket's own mode
        listener.bind(_address(directory, mountpoint))
        made = os.stat(name, dir_fd=directory)
        listener.listen()
        try:
            yield trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        finally:
            with suppress(OSError):
                # A successor may have replaced it.
                if os.path.samestat(made, os.stat(name, dir_fd=directory)):
                    os.unlink(name, dir_fd=directory)


def check_sockets() -> Path:
    """Return where the sockets of mounts are, or will be; raises `OSError` where they cannot."""
    path = _directory_path()
    try:
        with _opened(path, make=False):
            return path
    except FileNotFoundError:
        parent = path.parent if path.parent.exists() else path.parent.parent
        if os.access(parent, os.W_OK | os.X_OK, effective_ids=True):
            return path
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(parent)) from None


@contextmanager
def _opened(path: Path, *, make: bool) -> Iterator[int]:
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


def _directory_path() -> Path:
    """Return where the sockets are.

    A mount of root's that systemd or mount(8) made knows no XDG_RUNTIME_DIR; a shell of root's may.
    """
    if os.geteuid() == _ROOT_UID and "XDG_RUNTIME_DIR" not in os.environ:
        return _ROOTS_DIRECTORY
    with warnings.catch_warnings(action="ignore"):  # without XDG_RUNTIME_DIR, it is in /tmp
        return platformdirs.user_runtime_path("attachfs")


def _directory_of(mountpoint: Path) -> Path:
    """Return in which directory the socket of a mount is, or would be."""
    path = _directory_path()
    if os.geteuid() != _ROOT_UID or os.path.lexists(path / _socket_name(mountpoint)):
        return path
    other = _ROOTS_DIRECTORY
    return other if os.path.lexists(other / _socket_name(mountpoint)) else path


def _address(directory: int, mountpoint: Path) -> str:
    """Return an address of the socket that fits whatever the directory is called."""
    return f"/proc/self/fd/{directory}/{_socket_name(mountpoint)}"


def _socket_name(mountpoint: Path) -> str:
    """Return a file name that tells mount points apart: `%2F` for each slash, or a digest."""
    path = os.fsencode(mountpoint)
    name = quote(path.strip(b"/"), safe="") + ".socket"
    if len(name) <= _MAX_NAME_BYTES:
        return name
    return hashlib.sha256(path).hexdigest() + ".socket"
