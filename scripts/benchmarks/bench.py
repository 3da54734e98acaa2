"""What every row is given: data, servers, mounts, tools, and how a row is measured."""

import mmap
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from filecmp import cmpfiles
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Final

from benchmarks.data import MIB, Blob, Data
from harness.gauges import memory_bytes
from harness.mounts import Access, Mount, mounted, mounted_archive
from harness.processes import TMPFS, MeasurementError, compiled, elapsed_s, printed_s
from harness.rows import Contenders, Limit, Row, alternate
from harness.servers import Server, Servers

TOKEN: Final = "benchmark.only.token"  # noqa: S105 - the server takes any
RCLONE: Final = str(Path(sys.executable).with_name("rclone"))
_WARM_BYTES: Final = 768 * 1024 * 1024
_FEW_RUNS: Final = 3

Mounting = Callable[[], AbstractContextManager[Mount]]


@dataclass(frozen=True, slots=True)
class Bench:
    """One run of the benchmarks; `work` is a directory on a disk, removed at the end."""

    data: Data
    servers: Servers
    work: Path
    runs: int
    quick: bool

    @property
    def small(self) -> list[Blob]:
        """The blobs of 64 KiB of an asset: 1,000, or a tenth where it is `quick`."""
        return self.data.few if self.quick else self.data.small

    @property
    def large(self) -> Blob:
        """The blob of 1 GiB, or that of 256 MiB where it is `quick`."""
        return self.data.big if self.quick else self.data.huge

    def compare(
        self,
        name: str,
        workload: str,
        unit: str,
        contenders: Contenders,
        *limits: Limit,
        runs: int = 0,
        warmups: int = 1,
        few: bool = False,
        slow: bool = False,
    ) -> Row:
        """Run contenders, each of which returns its figure, in turn, and return their row.

        At least `runs` times, or at most three where `few` are enough. `slow` ones take ten
        seconds and more: few runs, and none to warm up.
        """
        runs = min(self.runs, _FEW_RUNS) if few or slow else max(self.runs, runs)
        figures = alternate(contenders, runs=runs, warmups=0 if slow else warmups)
        return Row(name, workload, unit, figures, limits)

    def access(self, url: str) -> Access:
        """Return what gives access to one of the servers."""
        certificate = self.servers.certificate if url.startswith("https") else None
        token_file = self.work / "token"
        if not token_file.exists():
            token_file.touch(mode=0o600)
            token_file.write_text(f"Authorization: Bearer {TOKEN}\n")
        return Access(url, token_file, certificate)

    def fresh(self, name: str) -> Path:
        """Return a new, empty directory."""
        return Path(mkdtemp(prefix=f"{name}-", dir=self.work))

    @contextmanager
    def scratch(self, name: str = "cache") -> Iterator[Path]:
        """Offer a new directory, which is removed after the block."""
        with TemporaryDirectory(prefix=f"{name}-", dir=self.work) as directory:
            yield Path(directory)

    @contextmanager
    def attachfs(
        self, url: str, *options: str, cache: Path | None = None, core: int | None = None
    ) -> Iterator[Mount]:
        """Mount an archive; without `cache`, its cache directory is removed at the end."""
        access, mountpoint, prefix = self.access(url), self.fresh("attachfs"), _pinned(core)
        with (
            nullcontext(cache) if cache else self.scratch() as directory,
            mounted_archive(access, mountpoint, *options, cache=directory, prefix=prefix) as mount,
        ):
            yield mount

    @contextmanager
    def rclone(self, url: str, *, cache_mode: str = "off") -> Iterator[Mount]:
        """Mount the same files through rclone's HTTP backend; its cache is empty.

        As in a mount of attachfs, they are in `assets`: that is where it is mounted.
        """
        root = self.fresh("rclone")
        (mountpoint := root / "assets").mkdir()
        command = [
            *(RCLONE, "mount", ":http:", mountpoint, f"--http-url={url}/files/"),
            *("--read-only", "--config", "", f"--vfs-cache-mode={cache_mode}"),
            *("--ca-cert", self.servers.certificate, "--cache-dir"),
        ]
        with self.scratch() as cache, mounted([*command, cache], mountpoint) as mount:
            yield replace(mount, path=root)

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

    def copied_s(self, blobs: list[Blob], *command: object) -> float:
        """Run what copies blobs of an asset to the directory named after it; compare the copies.

        Raises `MeasurementError` where a fast copy is one of wrong bytes.
        """
        expected, names = self.data.local(blobs[0]).parent, [blob.attachment for blob in blobs]
        with TemporaryDirectory(prefix="attachfs-bench-", dir=TMPFS) as directory:
            copy = Path(directory) / "copy"
            took_s = elapsed_s(*command, copy)
            _, wrong, missing = cmpfiles(expected, copy, names, shallow=False)
        if wrong or missing:
            raise MeasurementError(f"{command[0]} copied wrong bytes: {(wrong + missing)[:3]}")
        return took_s


@dataclass(frozen=True, slots=True)
class Walks:
    """Walks through fresh mounts of a server, and what each took besides time, a figure a walk."""

    bench: Bench
    server: Server
    peak_mib: list[float] = field(default_factory=list)
    afterwards_mib: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)

    def printed_s(self, url: str, *command: str) -> tuple[float, list[str]]:
        """Run a program on a mount; return the seconds it took, and the lines it printed."""
        before = self.server.request_count()
        with self.bench.attachfs(url) as mount:
            walked = printed_s(*command, cwd=mount.path)
            self.peak_mib.append(memory_bytes(mount.process.pid, "VmHWM") / MIB)
            self.afterwards_mib.append(memory_bytes(mount.process.pid, "VmRSS") / MIB)
        self.requests.append(self.server.request_count() - before)
        return walked

    def requests_row(self, name: str, workload: str, pages: int) -> Row:
        """Return the row of all requests, beside the pages that there are."""
        figures = {"attachfs": self.requests, "pages": [float(pages)] * len(self.requests)}
        return Row(name, workload, "requests", figures, [Limit(1.1, "pages")])


Measure = Callable[[Bench], Iterable[Row]]
ROWS: Final[dict[str, Measure]] = {}


def row(measure: Measure) -> Measure:
    """Register what measures a row, or a few, under the name that the command line has for it."""
    ROWS[measure.__name__.replace("_", "-")] = measure
    return measure


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


def _pinned(core: int | None) -> list[str]:
    return [] if core is None else ["taskset", "-c", str(core)]
