"""Ask a running mount by its socket (see `mount/control.py`), in bounded time even where it hangs.

Commands ask by the socket alone: stat(2) or open(2) on a mount that hangs would never return.
"""

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from shlex import quote
from typing import Any, Final

import msgspec

from attachfs.errors import MountHung, MountTrouble, NotMounted, SetupError, UsageError
from attachfs.mount.mounts import attachfs_mounts
from attachfs.mount.probe import Standing, probe
from attachfs.mount.sockets import (
    MAX_REQUEST_BYTES,
    UCRED,
    address_of,
    directory_of,
    directory_path,
    opened,
    socket_name,
)

# A mount that is well answers within milliseconds, busy or not.
ANSWER_S: Final = 1.0
# After so long without a word, a mount that works on something is asked whether it still lives.
_FIRST_SILENCE_S: Final = 0.5
_LONGEST_SILENCE_S: Final = 5.0
_BLOCK_BYTES: Final = 256 * 1024
_IS_ALIVE: Final = b'{"command":"status"}\n'
_STOPPED: Final = ("T", "t")  # proc_pid_stat(5)


def ask(mountpoint: Path, request: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
    """Return what the mount at an absolute path answers to a request.

    Raises `NotMounted` where there is none, `MountHung` where it does not answer in time, or shows
    no sign of life for a second or two, `MountTrouble` where it cannot be asked, and what it
    answers with: the `SetupError` of that exit code.
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


def ask_all(
    mountpoints: Sequence[Path], request: Mapping[str, Any], *, timeout_s: float
) -> list[Mapping[str, Any] | SetupError]:
    """Return what each mount answers, or the error that `ask` raises, in the order given.

    They are asked at the same time: several of them may hang.
    """

    def answer(mountpoint: Path) -> Mapping[str, Any] | SetupError:
        try:
            return ask(mountpoint, request, timeout_s=timeout_s)
        except SetupError as error:
            return error

    with ThreadPoolExecutor(max(1, len(mountpoints))) as pool:
        return list(pool.map(answer, mountpoints))


def standing(mountpoint: Path) -> tuple[Standing, str]:
    """Return how the attachfs at an absolute path stands, and what is wrong, nothing if it is well.

    Blocks for a second or so at most. One that cannot be asked by its socket is probed: it was
    killed, or is another user's.
    """
    try:
        ask(mountpoint, {"command": "status"}, timeout_s=ANSWER_S)
    except MountHung as error:
        return Standing.HANGS, str(error)
    except SetupError as error:
        return probe(mountpoint), str(error)
    return Standing.ANSWERS, ""


def _answers(
    mountpoint: Path, request: Mapping[str, Any], timeout_s: float | None
) -> Iterator[Mapping[str, Any]]:
    """Yield each line that the mount answers with; the last one says that all is well."""
    try:
        line = msgspec.json.encode(request)
    except UnicodeEncodeError as error:
        raise UsageError("nothing in an archive has a name that is not UTF-8") from error
    if len(line) > MAX_REQUEST_BYTES:
        raise UsageError("that is more than a mount takes at once; name fewer paths")
    with _told(mountpoint, ANSWER_S if timeout_s is None else timeout_s):
        for reply in _exchange(mountpoint, line + b"\n", inf if timeout_s is None else timeout_s):
            answer = _parse_reply(mountpoint, reply)
            yield answer
            if "ok" in answer:
                return


@contextmanager
def _told(mountpoint: Path, limit_s: float) -> Iterator[None]:
    """Raise what to say of a mount that cannot be talked to."""
    try:
        yield
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise _absent(mountpoint, error) from error
    except (TimeoutError, BlockingIOError) as error:
        raise MountHung(
            f"the attachfs on {mountpoint} does not answer within {limit_s:g} s; "
            "look into its log, and mount it again if need be"
        ) from error
    except OSError as error:
        raise MountTrouble(
            f"cannot talk to the attachfs on {mountpoint}: {error.strerror or error} "
            f"({error.filename or socket_name(mountpoint)})"
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
    again = f"run: attachfs umount {quote(str(mountpoint))}, and mount it again"
    if isinstance(error, ConnectionRefusedError):
        return MountTrouble(f"the attachfs on {mountpoint} was killed; {again}")
    return MountTrouble(
        f"the attachfs on {mountpoint} has no socket in {directory_path()}; "
        f"set XDG_RUNTIME_DIR as it was for the mount, or {again}"
    )


def _exchange(mountpoint: Path, line: bytes, timeout_s: float) -> Iterator[bytes]:
    """Yield the lines that a request is answered with; an empty one where it is cut off.

    Whenever nothing comes for a while, the mount is asked whether it lives. Raises `OSError`, and
    `MountHung` where its process is stopped.
    """
    until_s = time.monotonic() + timeout_s
    silence_s = _FIRST_SILENCE_S
    received: list[bytes] = []
    with _connected(mountpoint, min(timeout_s, ANSWER_S)) as connection:
        with suppress(BrokenPipeError):  # it may have answered without listening to the end
            connection.sendall(line)
        while True:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            connection.settimeout(min(left_s, silence_s))
            try:
                block = connection.recv(_BLOCK_BYTES)
            except TimeoutError:
                if silence_s < left_s:
                    _check_alive(mountpoint)
                    silence_s = min(2 * silence_s, _LONGEST_SILENCE_S)
                continue
            if not block:
                break
            received.append(block)
            if b"\n" in block:
                *lines, rest = b"".join(received).split(b"\n")
                received = [rest]
                yield from lines
    yield b"".join(received)
    yield b""


def _check_alive(mountpoint: Path) -> None:
    """Raise unless a mount answers something to somebody else; as `_told`."""
    with _told(mountpoint, ANSWER_S), _connected(mountpoint, ANSWER_S) as connection:
        connection.sendall(_IS_ALIVE)
        connection.recv(1)


@contextmanager
def _connected(mountpoint: Path, timeout_s: float) -> Iterator[socket.socket]:
    """Offer a connection to a mount whose process is not stopped; raises as `_exchange`."""
    with (
        opened(directory_of(mountpoint), make=False) as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
    ):
        connection.settimeout(timeout_s)
        connection.connect(address_of(directory, mountpoint))
        pid, _, _ = UCRED.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)
        )
        if _is_stopped(pid):
            raise MountHung(
                f"the attachfs on {mountpoint} does not answer, as its process {pid} is stopped; "
                f"run: kill -CONT {pid}, or attachfs umount {quote(str(mountpoint))}"
            )
        yield connection


def _is_stopped(pid: int) -> bool:
    """Return whether a process is stopped, by a signal or a debugger; False where unknown."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return os.fsdecode(status.rpartition(b") ")[2][:1]) in _STOPPED
