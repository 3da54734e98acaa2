"""What every row is given: data, servers, mounts, tools, and how a row is measured."""

import mmap
import os
import shutil
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from benchmarks.data import Blob, Data
from harness.mounts import Access, Mount, mounted, mounted_archive
from harness.processes import MeasurementError, compiled, elapsed_s
from harness.servers import Servers

TOKEN: Final = "benchmark.only.token"  # noqa: S105 - the server takes any
RCLONE: Final = str(Path(sys.executable).with_name("rclone"))
_WARM_BYTES: Final = 768 * 1024 * 1024
_FEW_RUNS: Final = 3


@dataclass(frozen=True, slots=True)
class Limit:
    """What a row shall reach: at most `most` times the figure of `peer`; without one, `most`."""

    most: float
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: the figures of each contender, attachfs first, in `unit`."""

    name: str
    workload: str
    unit: str
    figures: dict[str, list[float]]
    limits: Sequence[Limit] = ()

    def median(self, contender: str = "attachfs") -> float:
        """Return the median figure of a contender."""
        return statistics.median(self.figures[contender])

    def reached(self, limit: Limit) -> float:
        """Return what a limit is held against: a ratio, or the figure itself."""
        return self.median() / (1 if limit.peer is None else self.median(limit.peer))


@dataclass(frozen=True, slots=True)
class Bench:
    """One run of the benchmarks; `work` is a directory on a disk, removed at the end."""

    data: Data
    servers: Servers
    work: Path
    runs: int
    quick: bool
    _serial: Iterator[int] = field(default_factory=count)

    @property
    def few_runs(self) -> int:
        """How often to run what takes ten seconds and more."""
        return min(self.runs, _FEW_RUNS)

    @property
    def small(self) -> list[Blob]:
        """The blobs of 64 KiB of an asset: 1,000, or a tenth where it is `quick`."""
        return self.data.few if self.quick else self.data.small

    @property
    def token_file(self) -> Path:
        """A file with the token."""
        file = self.work / "token"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(f"Authorization: Bearer {TOKEN}\n")
        return file

    def compare(
        self,
        name: str,
        workload: str,
        unit: str,
        contenders: Mapping[str, Callable[[], float]],
        *limits: Limit,
        runs: int | None = None,
        warmups: int = 1,
        slow: bool = False,
    ) -> Row:
        """Run contenders, each of which returns its figure, in turn, and return their row.

        `slow` ones take ten seconds and more: few runs, and none to warm up.
        """
        runs, warmups = (self.few_runs, 0) if slow else (runs or self.runs, warmups)
        figures = alternate(contenders, runs=runs, warmups=warmups)
        return Row(name, workload, unit, figures, limits)

    def access(self, url: str) -> Access:
        """Return what gives access to one of the servers."""
        certificate = self.servers.certificate if url.startswith("https") else None
        return Access(url, self.token_file, certificate)

    def fresh(self, name: str) -> Path:
        """Return a new, empty directory."""
        path = self.work / f"{name}-{next(self._serial)}"
        path.mkdir()
        return path

    @contextmanager
    def attachfs(
        self, url: str, *options: str, cache: Path | None = None, core: int | None = None
    ) -> Iterator[Mount]:
        """Mount an archive; without `cache`, its cache directory is removed at the end."""
        directory = cache or self.fresh("cache")
        mountpoint = self.fresh("attachfs")
        try:
            with mounted_archive(
                self.access(url), mountpoint, *options, cache=directory, prefix=_pinned(core)
            ) as mount:
                yield mount
        finally:
            if cache is None:
                remove(directory)

    @contextmanager
    def rclone(self, url: str, *, cache_mode: str = "off") -> Iterator[Mount]:
        """Mount the same files through rclone's HTTP backend; its cache is empty."""
        mountpoint, cache = self.fresh("rclone"), self.fresh("rclone-cache")
        command = [
            *(RCLONE, "mount", ":http:", mountpoint, f"--http-url={url}/files/"),
            *("--read-only", "--config", "", f"--vfs-cache-mode={cache_mode}"),
            *("--cache-dir", cache, "--ca-cert", self.servers.certificate),
        ]
        try:
            with mounted(command, mountpoint) as mount:
                yield mount
        finally:
            remove(cache)

    def static(self, description: Path, *, lifetime_s: int) -> AbstractContextManager[Mount]:
        """Mount the names of a description; the kernel caches them for `lifetime_s` seconds."""
        mountpoint = self.fresh("static")
        command = [sys.executable, "-m", "benchmarks.static", description, mountpoint]
        return mounted([*command, str(lifetime_s)], mountpoint)

    def floor(self, *, core: int) -> AbstractContextManager[Mount]:
        """Mount the C file system: files `0` to `999`."""
        mountpoint = self.fresh("floor")
        return mounted([*_pinned(core), compiled("floor", self.work), mountpoint], mountpoint)

    def curl(self) -> list[str]:
        """Return a curl command line as far as the URLs."""
        certificate = str(self.servers.certificate)
        return ["curl", "-sSf", "-H", f"Authorization: Bearer {TOKEN}", "--cacert", certificate]

    def bytes_url(self, url: str, blob: Blob) -> str:
        """Return the URL of a blob's bytes."""
        return f"{url}/archivist/v2/attachments/{blob.path}"


Measure = Callable[[Bench], Iterable[Row]]
ROWS: Final[dict[str, Measure]] = {}


def row(name: str) -> Callable[[Measure], Measure]:
    """Register what measures a row, or a few, under a name of the command line."""

    def register(measure: Measure) -> Measure:
        ROWS[name] = measure
        return measure

    return register


def alternate(
    contenders: Mapping[str, Callable[[], float]], *, runs: int, warmups: int = 1
) -> dict[str, list[float]]:
    """Run the contenders one after the other, `runs` times, after rounds that do not count.

    What disturbs the machine for a while disturbs all of them.
    """
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(-warmups, runs):
        for name, run in contenders.items():
            figure = run()
            if number >= 0:
                figures[name].append(figure)
    return figures


def warm_memory() -> None:
    """Touch as much memory as a contender may fill, and free it again.

    On a virtual machine the host provides a page when it is first written, and takes free ones
    back after seconds: a program that writes a file there pays for it (256 MiB took 0.2 s to a
    second instead of 0.06 s), unless as much has just been freed.
    """
    with mmap.mmap(-1, _WARM_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for offset in range(0, _WARM_BYTES, mmap.PAGESIZE):
            memory[offset] = 1


def forget_pages(path: Path) -> None:
    """Drop the pages of a file, or of all files below a directory, from the page cache."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def forget_names() -> None:
    """Drop the kernel's names and inodes, of all file systems; needs root."""
    try:
        Path("/proc/sys/vm/drop_caches").write_text("2")
    except OSError as error:
        raise MeasurementError(f"timing lookups needs root: {error.strerror}") from error


def same_tree(expected: Path, copied: Path, names: list[str]) -> None:
    """Raise where a copied file has other bytes: a fast copy of wrong bytes does not count."""
    for name in names:
        elapsed_s("cmp", "-s", expected / name, copied / name)


def remove(path: Path) -> None:
    """Remove a file or a directory that may not be there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _pinned(core: int | None) -> list[str]:
    return [] if core is None else ["taskset", "-c", str(core)]
