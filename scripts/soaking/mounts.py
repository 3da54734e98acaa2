"""The mount under soak, by the real program."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

TIMEOUT_S: Final = 30.0
_OPTIONS: Final = ("--metadata-ttl", "10s", "--timeout", f"{TIMEOUT_S:.0f}s", "--foreground")
# Caches hold such a part of all there is: it is evicted and had again, over and over.
_DISK_PART: Final = 8
_MEMORY_PART: Final = 32
_START_S: Final = 60.0
_END_S: Final = 10.0
_TICK_S: Final = 0.05
_TOLD_CHARACTERS: Final = 4000
_LEVEL: Final = re.compile(r"\[(warning|error|critical) *\]")


@dataclass(frozen=True)
class Mounted:
    """A mount, its process and its log."""

    path: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    def end(self) -> list[str]:
        """Take it down, whatever it does; return what went wrong with that."""
        wrong: list[str] = []
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            wrong.append(f"the mount did not end within {_END_S:g} s")
            self.process.kill()
            status = self.process.wait()
        if status:
            wrong.append(f"the mount ended with {status}")
        if str(self.path) in Path("/proc/self/mounts").read_text():
            wrong.append("it is still mounted")
            subprocess.run(["/usr/bin/env", "fusermount3", "-u", "-z", self.path], check=False)
        return wrong

    def warnings(self) -> int:
        """Count the lines of the log that warn of something."""
        return len(_LEVEL.findall(self.log.read_text()))

    def tracebacks(self) -> list[str]:
        """Return the end of the log where it tells of an error that nobody foresaw."""
        text = self.log.read_text()
        return [f"a traceback in the log: {text[-_TOLD_CHARACTERS:]}"] * ("Traceback" in text)


@contextmanager
def mounted(url: str, token_file: str, directory: Path, *, all_bytes: int) -> Iterator[Mounted]:
    """Mount an archive with so many bytes of evidence below a directory for the block."""
    path, log = directory / "mnt", directory / "log"
    path.mkdir()
    where = ("--url", url, "--token-file", token_file, "--cache-dir", str(directory / "cache"))
    caches = (
        *("--cache-size", str(all_bytes // _DISK_PART)),
        *("--memory-cache", str(all_bytes // _MEMORY_PART)),
    )
    command = [sys.executable, "-m", "attachfs", "mount", str(path), *where, *caches, *_OPTIONS]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=file, process_group=0)
    mount = Mounted(path, process, log)
    try:
        deadline_s = time.monotonic() + _START_S
        while not path.is_mount():
            if not mount.alive or time.monotonic() > deadline_s:
                raise click.ClickException(f"nothing was mounted:\n{log.read_text()}")
            time.sleep(_TICK_S)
        yield mount
    finally:
        mount.end()
