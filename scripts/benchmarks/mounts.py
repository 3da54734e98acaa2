"""The mounts under comparison: attachfs, rclone, and the floor, a file system in C."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import Blob
from benchmarks.programs import compiled, is_mounted, running

TOKEN = "benchmark.only.token"  # noqa: S105 - the server takes any


@dataclass(frozen=True, slots=True)
class Mounted:
    """Hold one mount and the program behind it."""

    root: Path
    program: subprocess.Popen[bytes]

    def path(self, blob: Blob) -> Path:
        """Return the path of an attachment in a mount of attachfs."""
        return self.root / blob.path

    def status_bytes(self, field: str) -> int:
        """Return a figure of the program's /proc/<pid>/status, in bytes: VmHWM, VmRSS."""
        status = Path(f"/proc/{self.program.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
        return int(line.split()[1]) * 1024


class Mounts:
    """Mount this and that, each on a fresh mount point below `work`."""

    def __init__(self, work: Path, certificate: Path) -> None:
        self._work = work
        self._certificate = certificate
        self._count = 0
        self.token_file = work / "token"
        self.token_file.write_text(f"Authorization: Bearer {TOKEN}\n")
        self.token_file.chmod(0o600)

    def fresh(self, name: str) -> Path:
        """Return a new, empty directory."""
        self._count += 1
        path = self._work / f"{name}-{self._count}"
        path.mkdir()
        return path

    @contextmanager
    def attachfs(
        self, url: str, *options: str, cache: Path | None = None, core: int | None = None
    ) -> Iterator[Mounted]:
        """Mount an archive; without `cache` its store is its own and goes with it."""
        mountpoint = self.fresh("attachfs")
        own = self.fresh("cache") if cache is None else None
        command = [
            *_pinned(core),
            *(sys.executable, "-m", "attachfs", "mount", mountpoint, "--url", url),
            *("--token-file", self.token_file, "--cache-dir", cache or own, "--foreground"),
            *(["--ca-bundle", self._certificate] if url.startswith("https") else []),
            *options,
        ]
        try:
            with self._mounted(command, mountpoint) as mounted:
                yield mounted
        finally:
            if own is not None:
                shutil.rmtree(own)

    @contextmanager
    def rclone(self, url: str, *, cache_mode: str = "off") -> Iterator[Mounted]:
        """Mount the same files through rclone's HTTP backend; its cache is empty."""
        mountpoint = self.fresh("rclone")
        cache = self.fresh("rclone-cache")
        command = [
            *(rclone(), "mount", ":http:", mountpoint, f"--http-url={url}/files/"),
            *("--read-only", "--config", "", f"--vfs-cache-mode={cache_mode}"),
            *("--cache-dir", cache, "--ca-cert", self._certificate),
        ]
        try:
            with self._mounted(command, mountpoint) as mounted:
                yield mounted
        finally:
            shutil.rmtree(cache)

    @contextmanager
    def static(self, description: Path, *, lifetime_s: int) -> Iterator[Mounted]:
        """Mount the names of a description; the kernel believes them for `lifetime_s` seconds."""
        mountpoint = self.fresh("static")
        command = [sys.executable, "-m", "benchmarks.static", description, mountpoint, lifetime_s]
        with self._mounted(command, mountpoint) as mounted:
            yield mounted

    @contextmanager
    def floor(self, *, core: int) -> Iterator[Mounted]:
        """Mount the C file system: files `0` to `999`."""
        mountpoint = self.fresh("floor")
        command = [*_pinned(core), compiled("floor", self._work), mountpoint]
        with self._mounted(command, mountpoint) as mounted:
            yield mounted

    @contextmanager
    def _mounted(self, command: list[object], mountpoint: Path) -> Iterator[Mounted]:
        with running(
            [str(part) for part in command],
            ready=lambda: is_mounted(mountpoint),
            log=self._work / f"{mountpoint.name}.log",
        ) as program:
            yield Mounted(mountpoint, program)


def rclone() -> str:
    """Return where the rclone of this virtual environment is."""
    return str(Path(sys.executable).with_name("rclone"))


def _pinned(core: int | None) -> list[str]:
    return [] if core is None else ["taskset", "-c", str(core)]
