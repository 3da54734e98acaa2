"""The fork server: `python -P forked.py SOCKET ROOM MODULE...`, started by `forkserver.py`.

It imports the modules besides attachfs. What programs of such a server start by `multiprocessing`,
with the method `spawn`, is forked as well, from a process that has imported the same.

A request is the length of a JSON object in 20 digits, accompanied by the program's descriptors, and
the object itself. The reply is a line with the program's process id.
"""

import atexit
import ctypes
import faulthandler
import fcntl
import gc
import importlib
import json
import multiprocessing.util
import os
import pkgutil
import runpy
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

_PR_SET_CHILD_SUBREAPER: Final = 36  # prctl(2)
_PR_GET_CHILD_SUBREAPER: Final = 37
_LENGTH_BYTES: Final = 20
_MOST_DESCRIPTORS: Final = 253  # of one message, unix(7)
_OUTPUT_LOST: Final = 120  # as the interpreter has it where the last of the output is not written
# Imported by few commands, and large.
_HEAVY: Final = ("attachfs.cluster", "attachfs.fsspec", "attachfs.audit.parquet")

_libc: Final = ctypes.CDLL(None)
_forking: Final = threading.Lock()  # a connection has one user at a time, as subreaping has


def fork(connection: socket.socket, program: Mapping[str, Any], descriptors: Sequence[int]) -> int:
    """Have a server run a program with copies of these descriptors; return its process id."""
    message = json.dumps(program).encode()
    with _forking, adopting():
        socket.send_fds(connection, [b"%20d" % len(message)], descriptors)
        connection.sendall(message)
        reply = connection.recv(_LENGTH_BYTES)
    assert reply, "the fork server has ended"
    return int(reply)


@contextmanager
def adopting() -> Iterator[None]:
    """Become the parent of processes that are orphaned in the block, as a subreaper (prctl(2))."""
    before = ctypes.c_int()
    assert _libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0) == 0
    assert _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        assert _libc.prctl(_PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0) == 0


def _serve(connection: socket.socket, *, forks_children: bool) -> NoReturn:
    """Fork programs until the other end is closed."""
    while True:
        length, descriptors, _, _ = socket.recv_fds(connection, _LENGTH_BYTES, _MOST_DESCRIPTORS)
        if not length:
            os._exit(0)
        program = json.loads(connection.recv(int(length), socket.MSG_WAITALL))
        waiting, going = os.pipe()
        told, telling = os.pipe()
        between = os.fork()
        if between == 0:
            pid = os.fork()
            if pid:
                os.write(telling, b"%d\n" % pid)
                os._exit(0)
            connection.close()
            for descriptor in (going, told, telling):
                os.close(descriptor)
            os.read(waiting, 1)
            os.close(waiting)
            if forks_children:
                _fork_children()
            _run(program, descriptors)
        os.waitpid(between, 0)  # now the program is the caller's child
        connection.sendall(os.read(told, _LENGTH_BYTES))
        for descriptor in (going, waiting, told, telling, *descriptors):
            os.close(descriptor)


def _fork_children() -> None:
    """Have what this process starts by `multiprocessing` forked by a server of its own."""
    near, far = socket.socketpair()
    if os.fork() == 0:
        near.close()
        _serve(far, forks_children=False)
    far.close()
    multiprocessing.util.spawnv_passfds = partial(_spawn, near)


def _spawn(
    connection: socket.socket, _path: bytes, command: Sequence[str], descriptors: Sequence[int]
) -> int:
    """Do what `multiprocessing.util.spawnv_passfds` does."""
    inherited = [0, 1, 2, *sorted(map(int, descriptors))]
    program = {
        "arguments": command[command.index("-c") :],
        "environment": dict(os.environ),
        "directory": os.getcwd(),  # noqa: PTH109
        "umask": -1,
        "new_session": False,
        "process_group": -1,
        "descriptors": inherited,
    }
    return fork(connection, program, inherited)


def _import_all(besides: Sequence[str]) -> None:
    """Import what commands import when they run; nothing of it is looked at by a collection."""
    gc.disable()
    package = importlib.import_module("attachfs")
    for module in pkgutil.walk_packages(package.__path__, "attachfs."):
        if not module.name.startswith(_HEAVY) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in besides:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    gc.enable()


def _run(program: dict[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Become the process of a program, run it, and end as an interpreter does."""
    status = 1
    try:
        _inherit(descriptors, program["descriptors"])
        if program["new_session"]:
            os.setsid()
        if program["process_group"] >= 0:
            os.setpgid(0, program["process_group"])
        if program["umask"] >= 0:
            os.umask(program["umask"])
        os.chdir(program["directory"])
        os.environ.clear()
        os.environ.update(program["environment"])
        _show_arguments([sys.executable, *program["arguments"]])
        time.tzset()
        if "dask.config" in sys.modules:  # it reads the environment when it is imported
            sys.modules["dask.config"].refresh()
        if program["environment"].get("PYTHONFAULTHANDLER"):
            faulthandler.enable()
        status = _status(program["arguments"])
    finally:
        os._exit(status)


def _inherit(descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    """Give descriptors their numbers."""
    above = max(*descriptors, *numbers) + 1  # none of these is overwritten before it is copied
    copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, above) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for copy, number in zip(copies, numbers, strict=True):
        os.dup2(copy, number)
        os.close(copy)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]


def _show_arguments(arguments: Sequence[str]) -> None:
    """Have /proc/PID/cmdline be that of a program, in the place of this process's own."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, proc(5)
    shown = b"".join(os.fsencode(argument) + b"\0" for argument in arguments)
    ctypes.memmove(begin, shown[: end - begin - 1].ljust(end - begin, b"\0"), end - begin)


def _status(arguments: Sequence[str]) -> int:
    """Run a program; return its exit status once its threads have ended and its output is out."""
    status = 0
    try:
        _execute(arguments)
    except SystemExit as error:
        status = _said(error.code)
    except BaseException as error:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        status = _OUTPUT_LOST
    with suppress(OSError):
        sys.stderr.flush()
    return status


def _execute(arguments: Sequence[str]) -> None:
    """Do what the interpreter does with `-m MODULE ...`, `-c CODE ...` or `FILE ...`."""
    first, *rest = arguments
    if first == "-m":
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as the interpreter has it
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.path.insert(0, "")
        sys.argv = ["-c", *rest[1:]]
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)  # noqa: S102 - that is `-c`
    else:
        sys.path.insert(0, str(Path(first).parent))
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


def _said(code: object) -> int:
    """Return the exit status of `sys.exit(code)`, and print a code that is text."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


if __name__ == "__main__":
    _import_all(sys.argv[3:])
    _serve(socket.socket(fileno=int(sys.argv[1])), forks_children=bool(sys.argv[3:]))
