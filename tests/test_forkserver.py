"""Forked programs behave as those do that an interpreter was started for."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support import forkserver
from tests.support.mounts import PATIENCE_S

pytestmark = pytest.mark.process

_SHOW = """
import json, os, sys
print(json.dumps([sys.argv[1:], os.getcwd(), os.environ.get("OWN"), os.getppid(), os.getsid(0),
    os.umask(0), sys.stdin.read(), open("/proc/self/cmdline").read().rstrip(chr(0)).split(chr(0)),
    __name__, os.listdir("/proc/self/fd")]))
"""
_THREAD = """
import os, threading, time
threading.Thread(target=lambda: (time.sleep(0.05), os._exit(9))).start()
"""
_ENDINGS = {
    "returns": ("pass", 0),
    "exits with a number": ("raise SystemExit(300)", 300 & 0xFF),
    "exits with a text": ("raise SystemExit('so it is')", 1),
    "raises": ("raise ValueError('so it is')", 1),
    "is killed": ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
    "is interrupted": ("raise KeyboardInterrupt('so it is')", -signal.SIGINT),
    "leaves by os._exit": ("import os; os._exit(7)", 7),
    "waits for a thread": (_THREAD, 9),
    "runs exit handlers": ("import atexit, os; atexit.register(os._exit, 8)", 8),
    "cannot write": ("import sys; sys.stdout = open('/dev/full', 'w'); print(1)", 120),
}

Start = Callable[..., subprocess.CompletedProcess[Any]]


@pytest.fixture(params=["forked", "started"])
def start(request: pytest.FixtureRequest) -> Start:
    """Both ways to run a program."""
    return forkserver.run if request.param == "forked" else subprocess.run


@pytest.mark.parametrize("ending", _ENDINGS)
def test_exit_status_is_that_of_a_started_program(start: Start, ending: str) -> None:
    """However the program ends; and what it says of it is on standard error."""
    code, status = _ENDINGS[ending]
    done = start(
        [sys.executable, "-c", code],
        env=forkserver.user_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == status
    assert ("so it is" in done.stderr) == ("so it is" in code)


def test_process_is_as_it_was_asked_for(start: Start, tmp_path: Path) -> None:
    """Arguments, directory, environment, parent, session, umask, input, and no descriptor more."""
    extra = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "program.py").write_text(_SHOW)
    command = [sys.executable, str(tmp_path / "program.py"), "a b", "ü"]
    try:
        done = start(
            command,
            env=forkserver.user_environment() | {"OWN": "yes"},
            cwd=tmp_path,
            umask=0o027,
            input="given",
            pass_fds=[extra],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        os.close(extra)
    descriptors = sorted(["0", "1", "2", str(extra)])
    *shown, found = json.loads(done.stdout)
    assert shown == [
        *(["a b", "ü"], str(tmp_path), "yes", os.getpid(), os.getsid(0)),
        *(0o027, "given", command, "__main__"),
    ]
    assert set(descriptors) <= set(found)
    assert len(found) == len(descriptors) + 1  # the directory itself


def test_module_is_run_as_main(start: Start, tmp_path: Path) -> None:
    """From the working directory, with the module's path as its name."""
    (tmp_path / "own.py").write_text("import sys; print(__name__, sys.argv)")
    done = start(
        [sys.executable, "-m", "own", "x"],
        env=forkserver.user_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"__main__ {[str(tmp_path / 'own.py'), 'x']}\n"


def test_session_is_new_where_it_is_asked_for() -> None:
    """And the process leads it."""
    program = "import os; print(os.getsid(0) == os.getpid())"
    done = forkserver.run(
        [sys.executable, "-c", program],
        env=forkserver.user_environment(),
        start_new_session=True,
        capture_output=True,
    )
    assert done.stdout == b"True\n"


@pytest.mark.parametrize(
    ("options", "variables"),
    [((), {"PYTHONHASHSEED": "7"}), ((), {"LC_ALL": "C.utf8"}), (("-X", "utf8"), {})],
)
def test_what_an_interpreter_reads_at_its_start_starts_one(
    options: tuple[str, ...], variables: dict[str, str]
) -> None:
    """A forked program has attachfs imported already, a started one does not."""
    program = "import sys; print('attachfs' in sys.modules)"
    found = [
        forkserver.run([sys.executable, *given, "-c", program], env=env, capture_output=True).stdout
        for given, env in (
            ((), forkserver.user_environment()),
            (options, forkserver.user_environment() | variables),
        )
    ]
    assert found == [b"True\n", b"False\n"]


def test_signal_reaches_the_program() -> None:
    """Which dies of it, as any child."""
    with forkserver.Popen(
        [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"],
        env=forkserver.user_environment(),
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        process.terminate()
        assert process.wait(PATIENCE_S) == -signal.SIGTERM


class _Preloading(forkserver.Popen):
    preload: ClassVar[tuple[str, ...]] = ("colorsys",)  # attachfs has no use for it


# The target of a spawned process is found by its name.
_CHILD = """
import multiprocessing, sys
print("colorsys" in sys.modules, flush=True)
child = multiprocessing.get_context("spawn").Process(
    target=exec, args=("import sys; print('colorsys' in sys.modules); sys.exit(5)",))
child.start()
child.join()
print(child.exitcode)
"""


@pytest.mark.parametrize(
    ("popen", "said"), [(forkserver.Popen, "False False 5"), (_Preloading, "True True 5")]
)
def test_preloaded_modules_are_imported_already(
    popen: type[subprocess.Popen[Any]], said: str
) -> None:
    """By a program and by what it spawns, which is started where nothing is preloaded."""
    done = forkserver.run(
        [sys.executable, "-c", _CHILD],
        env=forkserver.user_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        popen=popen,
    )
    assert (done.stdout.split(), done.stderr) == (said.split(), "")
