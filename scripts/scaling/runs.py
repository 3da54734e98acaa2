"""The real program, run on an estate; what it took of the machine and of the archive."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from soaking.processes import Process

_ANSWER_S: Final = 60.0
_START_S: Final = 60.0
_TICK_S: Final = 0.05
_TOLD_CHARACTERS: Final = 2000
_BLOCK_BYTES: Final = 512  # of stat(2)


@dataclass(frozen=True, slots=True)
class Run:
    """What a command took: time, processor, memory; what the archive was asked for meanwhile.

    `bytes` are those of answers without their headers, by kind; `wire_bytes` are all of both ways,
    where it was asked through what counts them.
    """

    seconds: float
    cpu_s: float
    peak_bytes: int
    requests: Mapping[str, int] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)
    wire_bytes: int = 0

    @property
    def all_requests(self) -> int:
        """Count the requests of every kind."""
        return sum(self.requests.values())


@dataclass(frozen=True, slots=True)
class Site:
    """Where the archive is, and a directory for what is kept."""

    archive: Process
    url: str
    token_file: str
    directory: Path

    def options(self, cache: str, *more: str) -> tuple[str, ...]:
        """Return the options of a command that keeps its cache under that name."""
        where = ("--url", self.url, "--token-file", self.token_file)
        return (*where, "--cache-dir", str(self.directory / cache), *more)

    def run(self, *arguments: str) -> Run:
        """Run a command of attachfs to its end, which must be a good one."""
        self._asked()
        begun_s = time.monotonic()
        process = self._started(*arguments)
        return self._ended(process, begun_s)

    def limit(self, rate: float) -> None:
        """Have the archive refuse what is more than so many requests a second; 0 for no limit."""
        self._asked(rate=rate)

    @contextmanager
    def mounted(self, cache: str) -> Iterator[tuple[Path, int]]:
        """Mount for the block; yields where, and the process."""
        mountpoint = self.directory / f"{cache}-mnt"
        mountpoint.mkdir()
        command = ("mount", str(mountpoint), *self.options(cache), "--foreground")
        process = self._started(*command)
        try:
            deadline_s = time.monotonic() + _START_S
            while not mountpoint.is_mount():
                if process.poll() is not None or time.monotonic() > deadline_s:
                    raise click.ClickException(f"nothing was mounted:\n{self._log()}")
                time.sleep(_TICK_S)
            yield mountpoint, process.pid
        finally:
            process.terminate()
            process.wait()

    def listed(self, cache: str) -> Run:
        """Mount, and have `ls -lR` look at every file; the time is that of `ls` alone."""
        self._asked()
        with self.mounted(cache) as (mountpoint, pid):
            begun_s = time.monotonic()
            with (self.directory / "listing").open("w") as listing:
                subprocess.run(
                    ["/bin/ls", "-lR", mountpoint / "assets"], stdout=listing, check=True
                )
            seconds = time.monotonic() - begun_s
            peak_bytes, cpu_s = _used(pid)
        return _run(seconds, cpu_s, peak_bytes, self._asked())

    def _started(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "attachfs", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def _ended(self, process: subprocess.Popen[bytes], begun_s: float) -> Run:
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.monotonic() - begun_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise click.ClickException(f"attachfs ended with {process.returncode}:\n{self._log()}")
        cpu_s = used.ru_utime + used.ru_stime
        return _run(seconds, cpu_s, used.ru_maxrss * 1024, self._asked())

    def _asked(self, **told: float) -> dict[str, Any]:
        """Return what the archive was asked for since the last time."""
        self.archive.tell(told)
        return self.archive.heard(_ANSWER_S)

    def _log(self) -> str:
        return (self.directory / "log").read_text()[-_TOLD_CHARACTERS:]


def held_bytes(path: Path) -> int:
    """Return what a file, or all below a directory, takes of the disk."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(file.stat().st_blocks * _BLOCK_BYTES for file in files)


def _run(seconds: float, cpu_s: float, peak_bytes: int, asked: dict[str, Any]) -> Run:
    return Run(seconds, cpu_s, peak_bytes, asked["requests"], asked["bytes"], asked["wire_bytes"])


def _used(pid: int) -> tuple[int, float]:
    """Return the peak of a process's memory in bytes, and its processor time in seconds."""
    process = Path(f"/proc/{pid}")
    lines = (process / "status").read_text().splitlines()
    (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    # Behind the name, which may hold anything, utime and stime are the 12th and 13th (proc(5)).
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return int(peak) * 1024, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
