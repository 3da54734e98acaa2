"""Go into the background once it is known whether the mount answers."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from attachfs.errors import MountFailed
from attachfs.escaping import print_traceback
from attachfs.files import open_regular

_READY: Final = b"\0"


def run_in_background(serve: Callable[[Callable[[], None]], int], log_file: Path) -> int:
    """Run `serve` in a child; return 0 once it called its argument, else its exit status.

    Until then the child shares our standard error, to say what is wrong; afterwards its standard
    streams are closed and only the log file is left. Must be called before any thread is started.
    """
    log = _open_log(log_file)
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(log)
        os.close(writing)
        return _wait_for(child, reading)
    os.close(reading)
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until the mount takes it
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.chdir("/")  # the directory we were started in must not be kept from being unmounted
        status = serve(lambda: _detach(writing, log))
    except BaseException as error:  # noqa: BLE001 - os._exit would swallow it
        print_traceback(type(error), error, error.__traceback__)
    finally:
        with suppress(OSError):  # nobody may read it any more
            sys.stderr.flush()
        os._exit(status)


def _wait_for(child: int, reading: int) -> int:
    try:
        with os.fdopen(reading, "rb") as pipe:
            if pipe.read(1) == _READY:
                return 0
        _, status = os.waitpid(child, 0)
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _open_log(log_file: Path) -> int:
    try:
        log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return open_regular(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, follow=True)
    except OSError as error:
        raise MountFailed(
            f"cannot write the log {log_file}: {error.strerror}; "
            "set XDG_STATE_HOME to a directory of yours, or use --foreground"
        ) from error


def _detach(writing: int, log: int) -> None:
    # libfuse and the interpreter write to descriptor 2 whatever we do: let the log have it.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)
    os.write(writing, _READY)
    os.close(writing)
