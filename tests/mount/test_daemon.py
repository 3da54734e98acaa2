"""Into the background: the parent tells how it went, the child has a log of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.oddities import ODDITIES, put_in_place

_SCRIPT = """
import sys
from pathlib import Path
from attachfs.mount.daemon import run_in_background
def serve(ready):
    {body}
    return 7
sys.exit(run_in_background(serve, Path(sys.argv[1])))
"""


def _run(body: str, log: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(body=body), log],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_it_is_well_once_the_child_is_ready(tmp_path: Path) -> None:
    """Whatever the child ends with later; what it says from then on is in the log, 0600."""
    log = tmp_path / "state" / "log"
    body = "ready(); print('later', file=sys.stderr, flush=True)"
    done = _run(body, log)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("pass", 7, ""),
        ("print('a reason', file=sys.stderr)", 7, "a reason"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + 9, ""),
    ],
)
def test_a_child_that_never_gets_ready_is_a_failure(
    tmp_path: Path, body: str, status: int, said: str
) -> None:
    """Its exit status and what it said are the parent's; a defect of ours has its traceback."""
    done = _run(body, tmp_path / "log")
    assert done.returncode == status
    assert said in done.stderr
    assert bool(done.stderr) is bool(said)


@pytest.mark.parametrize("oddity", ODDITIES)
def test_an_oddity_in_place_of_the_log_is_a_failure(tmp_path: Path, oddity: str) -> None:
    """It is not waited for, and the child never begins."""
    log = tmp_path / "log"
    with put_in_place(log, oddity):
        done = _run("ready()", log)
    assert done.returncode == 1
    assert f"MountFailed: cannot write the log {log}: " in done.stderr
