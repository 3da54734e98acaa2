"""Start Python programs by forking a process that has already imported attachfs.

`Popen` and `run` are those of `subprocess`, for command lines that begin with this Python. The
program is a child of the caller and has arguments, an environment, descriptors, signals and an exit
status of its own; it saves the 0.4 to 0.8 s in which an interpreter starts and imports attachfs.

As there is no execve(2), two things differ from a true start: modules are imported already, and the
interpreter is not finalized at the end. Tests of either use `subprocess` itself.

The server, `tests/support/forked.py`, is a process for each process that starts programs, and for
each set of modules that these need besides attachfs. It forks twice and ends the process in
between; a program becomes a child of the caller because the caller is a subreaper (prctl(2)) at
that moment.
"""

import atexit
import inspect
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from tests.support import forked

# Room for the arguments of a program, which replace those of the server in /proc/PID/cmdline.
_ARGUMENTS_BYTES: Final = 16 * 1024
# What the interpreter and the C library read once, when they start; and secrets, which attachfs
# removes from the memory that execve(2) has put them into.
_OF_A_TRUE_START: Final = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "GLIBC_", "DATATRAILS_")
_HERE: Final = Path(__file__).parent
_EXECUTE_CHILD: Final = "_execute_child"  # subprocess.Popen's, which differs by platform alone
_PARAMETERS: Final = tuple(inspect.signature(getattr(subprocess.Popen, _EXECUTE_CHILD)).parameters)[
    1:
]
_FOR_TRUE_STARTS: Final = ("executable", "preexec_fn", "shell", "gid", "gids", "uid")


class Popen(subprocess.Popen[Any]):
    """Start a Python program by forking, any other as `subprocess.Popen` does.

    A Python program is started truly where it needs what a forked one cannot have: options of the
    interpreter, a `preexec_fn`, another user, or variables that are read when a process starts.

    A subclass names modules that its server imports besides those of attachfs.
    """

    preload: ClassVar[tuple[str, ...]] = ()

    def _execute_child(self, *values: Any) -> None:
        given = dict(zip(_PARAMETERS, values, strict=True))
        program = _forkable(given)
        if program is None:
            getattr(super(), _EXECUTE_CHILD)(*values)
            return
        ends = [given[name] for name in _PARAMETERS if name.startswith(("p2c", "c2p", "err"))]
        standard = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        descriptors = [end if end >= 0 else number for number, end in enumerate(standard)]
        self.pid = _server(self.preload).fork(program, [*descriptors, *sorted(given["pass_fds"])])
        self._child_created = True
        getattr(self, "_close_pipe_fds")(*ends)  # noqa: B009 - not in the stubs


def run(
    command: Sequence[Any],
    *,
    input: str | bytes | None = None,  # noqa: A002 - as `subprocess.run` has it
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    popen: type[subprocess.Popen[Any]] = Popen,
    **settings: Any,
) -> subprocess.CompletedProcess[Any]:
    """Run a program to its end, as `subprocess.run` does."""
    if capture_output:
        settings |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if input is not None:
        settings["stdin"] = subprocess.PIPE
    with popen(command, **settings) as process:
        try:
            output, error = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, output, error)
    if check:
        done.check_returncode()
    return done


def user_environment() -> dict[str, str]:
    """Return the caller's environment without settings that the program heeds.

    Left out are the variables of attachfs, proxies and authorities; the locale and the search path
    of modules are set.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ATTACHFS_", "DATATRAILS_", "LC_", "LANG"))
        and name.lower() not in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
        and name not in ("SSL_CERT_FILE", "SSL_CERT_DIR")
    }
    return kept | {"LC_ALL": "C.UTF-8", "PYTHONPATH": str(_HERE / "bare")}


def _forkable(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the program that Popen is asked to start, or None where it needs a true start."""
    if isinstance(given["args"], (str, bytes, os.PathLike)):
        return None
    interpreter, *arguments = map(os.fsdecode, given["args"])
    if interpreter != sys.executable or not arguments:
        return None
    if arguments[0].startswith("-") and arguments[0] not in ("-m", "-c"):
        return None
    if any(given[name] not in (None, False, -1) for name in _FOR_TRUE_STARTS):
        return None
    given_environment = os.environ if given["env"] is None else given["env"]
    environment = {os.fsdecode(k): os.fsdecode(v) for k, v in given_environment.items()}
    if _of_a_true_start(environment) != _of_a_true_start(user_environment()):
        return None
    return {
        "arguments": arguments,
        "environment": environment,
        "directory": os.fsdecode(given["cwd"] or os.getcwd()),  # noqa: PTH109 - bytes are allowed
        "umask": given["umask"],
        "new_session": given["start_new_session"],
        "process_group": given["process_group"],
        "descriptors": [0, 1, 2, *sorted(given["pass_fds"])],
    }


def _of_a_true_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(_OF_A_TRUE_START) and name != "PYTHONFAULTHANDLER"
    }


class _Server:
    """The near end of a server, which ends when this process does."""

    def __init__(self, preload: Sequence[str]) -> None:
        near, far = socket.socketpair()
        with far:
            number = str(far.fileno())
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", _HERE / "forked.py"),
                    *(number, " " * _ARGUMENTS_BYTES, *preload),
                ],
                env=user_environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=[far.fileno()],
            )
        self._requests = near
        atexit.register(self._end)

    def fork(self, program: Mapping[str, Any], descriptors: Sequence[int]) -> int:
        """Run a program with copies of these descriptors; return its process id."""
        return forked.fork(self._requests, program, descriptors)

    def _end(self) -> None:
        self._requests.close()
        self._process.wait()


_servers: Final[dict[tuple[int, tuple[str, ...]], _Server]] = {}
_starting: Final = threading.Lock()


def _server(preload: tuple[str, ...]) -> _Server:
    """Return the server of this process that has imported these modules."""
    key = (os.getpid(), preload)
    with _starting:
        if key not in _servers:
            _servers[key] = _Server(preload)
        return _servers[key]
