"""Mounts by the real program, and by what it is compared with."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.processes import started

ATTACHFS: Final = (sys.executable, "-m", "attachfs")


@dataclass(frozen=True, slots=True)
class Access:
    """Where an archive is and what gives access to it."""

    url: str
    token_file: Path
    ca_bundle: Path | None = None

    def command(
        self, *words: object, cache: Path, program: Iterable[object] = ATTACHFS
    ) -> list[object]:
        """Return a command of attachfs on the archive, with that cache directory."""
        where = ("--url", self.url, "--token-file", self.token_file, "--cache-dir", cache)
        trust = () if self.ca_bundle is None else ("--ca-bundle", self.ca_bundle)
        return [*program, *words, *where, *trust]


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount point, the process that serves it, and its log."""

    path: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None


def is_mounted(path: Path) -> bool:
    """Return whether the kernel has a mount there, also one of a dead process."""
    return f" {path} " in Path("/proc/self/mounts").read_text()


@contextmanager
def mounted(command: Iterable[object], path: Path) -> Iterator[Mount]:
    """Keep what a program mounts for the block; its log is beside the mount point."""
    log = path.with_suffix(".log")
    try:
        with started(command, log=log, ready=lambda: os.path.ismount(path)) as process:
            yield Mount(path, process, log)
    finally:
        if is_mounted(path):  # the process was killed
            subprocess.run(["/usr/bin/env", "fusermount3", "-u", "-z", path], check=False)


@contextmanager
def mounted_archive(
    access: Access, path: Path, *options: object, cache: Path, prefix: Iterable[object] = ()
) -> Iterator[Mount]:
    """Mount an archive on a directory for the block; `prefix` is put before the command."""
    command = access.command("mount", path, *options, "--foreground", cache=cache)
    with mounted([*prefix, *command], path) as mount:
        yield mount
