"""The program in a process of its own: what it says in the end, and while it runs."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import forkserver
from tests.support.mounts import PATIENCE_S

PROGRAM = (sys.executable, "-m", "attachfs")
# The same with as many attempts, no waits between them, and little patience for a server that is
# away.
HASTY = (
    sys.executable,
    "-c",
    """
from attachfs.access import preflight
from attachfs.archive import policy
from attachfs.cli.app import main
preflight._NO_CONNECTION_S = 0.1
policy.FIRST_PAUSE_S = 0.0
main()
""",
)
# Runs a program that sees no attachfs but those below $ROOT: other tests run beside it, and mount.
# Paths are bytes, and may end with a newline.
ALONE = (
    *("/usr/bin/unshare", "--mount", sys.executable, "-ISc"),
    r"""
import ctypes, os, re, sys
libc, root = ctypes.CDLL(None), os.environb[b"ROOT"] + b"/"
with open("/proc/self/mounts", "rb") as file:
    lines = [line.split(b" ") for line in file.read().split(b"\n") if b" fuse.attachfs " in line]
for _, escaped, *_ in lines:
    path = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), escaped)
    if not path.startswith(root):
        libc.umount2(path, 2)  # MNT_DETACH
os.execvp(sys.argv[1], sys.argv[1:])
""",
)
Done = subprocess.CompletedProcess[str]

_LOGGED = re.compile(r"\d{4}-\d\d-\d\dT\S+Z \[")


_PROGRESS = re.compile(r"attachfs: (verify|prefetch): .* files, .* of .*\n")


def without_progress(stderr: str) -> str:
    """Return what a job has said but for how far it was: every five seconds on a slow machine."""
    return _PROGRESS.sub("", stderr)


def sentence(done: Done) -> str:
    """Return the one sentence that a program which failed has said, besides its log."""
    said = [line for line in without_progress(done.stderr).splitlines() if not _LOGGED.match(line)]
    assert done.returncode != 0
    assert done.stdout == ""
    assert len(said) == 1, done.stderr
    assert said[0].startswith("attachfs: "), done.stderr
    return said[0].removeprefix("attachfs: ")


def usage_error(done: Done) -> str:
    """Return what is wrong with a command line, told in the last line, after a hint at --help."""
    said = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert said[-1].startswith("Error: "), said
    assert len(said) == 1 or (said[0].startswith("Usage: ") and "--help" in said[1]), said
    return said[-1].removeprefix("Error: ")


@contextmanager
def running(
    *arguments: object,
    env: Mapping[str, str],
    patience_s: float = PATIENCE_S,
    popen: type[subprocess.Popen[Any]] = forkserver.Popen,
    **settings: Any,
) -> Iterator[subprocess.Popen[str]]:
    """Start the program for the block, which ends it; where it does not, it is killed."""
    process = popen(
        [*PROGRAM, *map(str, arguments)],
        env=env,
        text=True,
        **{
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **settings,
        },
    )
    watchdog = threading.Timer(patience_s, process.kill)
    watchdog.start()
    try:
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
    finally:
        watchdog.cancel()
        watchdog.join()


def left_mounted(root: Path) -> list[str]:
    """Unmount what is still mounted below a directory; return where that was."""
    lines = os.fsdecode(Path("/proc/self/mountinfo").read_bytes()).split("\n")
    fields = [line.split(" ")[4] for line in lines if line]
    paths = [re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), field) for field in fields]
    left = [path for path in paths if path.startswith(f"{root}/")]
    for path in left:
        subprocess.run(["fusermount3", "-u", "-z", "--", path], check=True)
    return left
