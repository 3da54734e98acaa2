"""The socket by which other commands talk to a running mount.

One JSON object a line each way, one request a connection: `{"command": "refresh", "path": ""}` is
answered `{"ok": true}`, or `{"ok": false, "error": "...", "exit_code": 2}`. Before that, a command
may say more, `{"more": ...}` a line; such a one takes as long as it takes, and ends when whoever
asked hangs up.
"""

import os
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import structlog
import trio

from attachfs.errors import (
    AttachfsError,
    MountTrouble,
    NotFound,
    SetupError,
    TimedOut,
    UsageError,
    first_cause,
)
from attachfs.escaping import escaped_json
from attachfs.mount.sockets import (
    MAX_REQUEST_BYTES,
    UCRED,
    address_of,
    directory_path,
    opened,
    socket_name,
)

Command = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Take a request, return what its answer holds besides `ok`."""

More = Callable[[Any], Awaitable[None]]
LongCommand = Callable[[Mapping[str, Any], More], Awaitable[None]]
"""Take a request and what sends a value before the answer; may be cancelled at any time."""

_TALKING_TIMEOUT_S: Final = 5.0  # for a request to come, and for its answer to go
_COMMAND_TIMEOUT_S: Final = 60.0
_MAX_CLIENTS: Final = 16  # more wait until these are done
_PAUSE_S: Final = 1.0
_MAX_JOBS: Final = 16  # long commands at a time; they take no places of the others
_ROOT_UID: Final = 0

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
        places, jobs = trio.Semaphore(_MAX_CLIENTS), trio.Semaphore(_MAX_JOBS)
        silent: OrderedDict[object, trio.CancelScope] = OrderedDict()
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(listener.socket)
                if not places.value and silent:  # a command says at once what it wants
                    silent.popitem(last=False)[1].cancel()
                await places.acquire()
                try:
                    stream = await listener.accept()
                except OSError as error:  # no descriptors or no memory are left
                    places.release()
                    _log.warning("cannot listen to another command", reason=str(error))
                    await trio.sleep(_PAUSE_S)
                else:
                    place = _Place(places, jobs, silent)
                    nursery.start_soon(_converse, stream, commands, long_commands, place)


def argument(request: Mapping[str, Any], name: str) -> str:
    """Return a text that a request must hold; raises `UsageError`."""
    value = request.get(name)
    if not isinstance(value, str):
        raise UsageError(f"the request has no {name}")
    return value


class _Place:
    """Hold a place among the clients; a long command gives it up, for one among the jobs.

    Who has said nothing yet is among the `silent`, of whom the first has to go for the next client.
    """

    def __init__(
        self,
        places: trio.Semaphore,
        jobs: trio.Semaphore,
        silent: MutableMapping[object, trio.CancelScope],
    ) -> None:
        self._held = places
        self._jobs = jobs
        self._silent = silent

    async def first_line(self, stream: trio.SocketStream) -> bytes | None:
        """Return what the client says, None where its place was needed before it said anything."""
        with trio.CancelScope() as scope:
            self._silent[self] = scope
            try:
                return await _receive_line(stream)
            finally:
                self._silent.pop(self, None)
        return None

    def become_job(self) -> None:
        """Let the next client in; raises `MountTrouble` where too many jobs are under way."""
        try:
            self._jobs.acquire_nowait()
        except trio.WouldBlock:
            raise MountTrouble(
                f"the mount is doing {_MAX_JOBS} jobs already; try again when one of them is done"
            ) from None
        self._held.release()
        self._held = self._jobs

    def leave(self) -> None:
        """Give back what is held."""
        self._held.release()


async def _converse(
    stream: trio.SocketStream,
    commands: Mapping[str, Command],
    long_commands: Mapping[str, LongCommand],
    place: _Place,
) -> None:
    """Take one request and answer it; a peer that hangs up is no matter."""
    try:
        async with stream:
            if not _is_trusted(stream):
                return
            with suppress(trio.BrokenResourceError):
                line = await place.first_line(stream)
                if line is None:
                    return
                answer = await _answer(line, commands, long_commands, stream, place)
                with trio.move_on_after(_TALKING_TIMEOUT_S):
                    await stream.send_all(answer + b"\n")
    finally:
        place.leave()


def _is_trusted(stream: trio.SocketStream) -> bool:
    """Tell whether the peer is ours or root's."""
    # The directory keeps the others away already, as long as nobody changes its mode.
    ucred = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)
    _, uid, _ = UCRED.unpack(ucred)
    trusted = uid in (os.geteuid(), _ROOT_UID)
    if not trusted:
        _log.warning("another user may not give commands", uid=uid)
    return trusted


async def _receive_line(stream: trio.SocketStream) -> bytes:
    """Return what comes up to the end of a line, in time, and little more than is allowed."""
    received = bytearray()
    with trio.move_on_after(_TALKING_TIMEOUT_S):
        while b"\n" not in received and len(received) <= MAX_REQUEST_BYTES:
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
    place: _Place,
) -> bytes:
    """Return the answer to a request, whatever happens; raises `BrokenResourceError`."""
    try:
        request = _parse(line)
        name = argument(request, "command")
        if name in long_commands:
            place.become_job()
            await _go_on(long_commands[name], request, stream)
            return _encoded({"ok": True})
        if name not in commands:
            raise UsageError(f"this mount knows no command {name!r}")  # noqa: TRY301
        with trio.move_on_after(_COMMAND_TIMEOUT_S):
            return _encoded({"ok": True, **await commands[name](request)})
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
        line = _encoded({"more": value}) + b"\n"
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
    if len(line) > MAX_REQUEST_BYTES:
        raise UsageError(f"the request is longer than {MAX_REQUEST_BYTES} bytes")
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
    return _encoded({"ok": False, "error": str(cause), "exit_code": exit_code})


def _encoded(answer: Mapping[str, Any]) -> bytes:
    """Return an answer as JSON that a terminal may be shown."""
    return escaped_json(msgspec.json.encode(answer))


@contextmanager
def _listening(mountpoint: Path) -> Iterator[trio.SocketListener]:
    """Have the mount's socket for the block; one that was left there is replaced.

    Raises `OSError` where there can be none.
    """
    name = socket_name(mountpoint)
    with (
        opened(directory_path(), make=True) as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
    ):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        os.fchmod(listener.fileno(), 0o600)  # Linux makes the file with the socket's own mode
        listener.bind(address_of(directory, mountpoint))
        made = os.stat(name, dir_fd=directory)
        listener.listen()
        try:
            yield trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        finally:
            with suppress(OSError):
                # A successor may have replaced it.
                if os.path.samestat(made, os.stat(name, dir_fd=directory)):
                    os.unlink(name, dir_fd=directory)
