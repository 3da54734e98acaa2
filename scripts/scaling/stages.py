"""What is measured, one after the other, on one estate, and how it is stored in a file."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from harness.archive import serve_archive
from harness.gauges import cpu_s, disk_bytes, memory_bytes, watch
from harness.mounts import Access, mounted_archive
from harness.processes import MeasurementError, Worker, elapsed_s, started, tail, worker
from scaling.estate import Size, fill
from tests.support.relays import relaying

_ANSWER_S: Final = 60.0
# Making 100,000 attachments takes a minute and a half.
_FILLING_S: Final = 900.0
TTL_S: Final = 60.0
_NO_LIMIT: Final = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """What a command took: time, processor, memory; what the archive was asked for meanwhile.

    `bytes` are those of answers without their headers, by kind; `wire_bytes` are all of both
    directions, where a relay counted them.
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
class Kept:
    """What the first verification left, in bytes on the disk."""

    index_bytes: int
    objects_bytes: int
    report_bytes: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The runs of one estate by the name of their stage, and what the first one left."""

    size: Size
    rate: float
    runs: Mapping[str, Run]
    kept: Kept | None

    def write(self, path: Path) -> None:
        """Write all of it as JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what was written."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    @property
    def request_bytes(self) -> float:
        """How many bytes a request and its answer take on the wire, without a body's own."""
        run = self.runs["wire"]
        return (run.wire_bytes - run.bytes["bodies"]) / run.all_requests


@dataclass(frozen=True, slots=True)
class Site:
    """The archive, one of its assets, and a directory for caches, mounts and logs."""

    archive: Worker
    access: Access
    asset: str
    directory: Path

    def run_counted(self, cache: str, *words: object) -> Run:
        """Run a command through a relay that counts bytes."""
        with relaying(self.access.url) as relay:
            run = replace(self, access=replace(self.access, url=relay.url)).run(cache, *words)
            return replace(run, wire_bytes=relay.carried_bytes)

    def list(self) -> Run:
        """Mount, and have `ls -lR` look at every file; the time is that of `ls` alone."""
        self._counted()
        mountpoint, cache = self.directory / "list-mnt", self.directory / "list"
        mountpoint.mkdir()
        with mounted_archive(self.access, mountpoint, cache=cache) as mount:
            output, assets = self.directory / "listing", mountpoint / "assets"
            seconds = elapsed_s("/bin/ls", "-lR", assets, output=output)
            pid = mount.process.pid
            return Run(seconds, cpu_s(pid), memory_bytes(pid, "VmHWM"), **self._counted())

    def run(self, cache: str, *words: object, rate: float = _NO_LIMIT) -> Run:
        """Run a command of attachfs, at that many requests a second at most; it must succeed."""
        log = self.directory / f"{cache}.log"
        command = self.access.command(*words, cache=self.directory / cache)
        self._counted(rate)
        begin_s = time.monotonic()
        with started(command, log=log) as process:
            processor_s, peak_bytes = watch(process)
        seconds = time.monotonic() - begin_s
        if process.returncode:
            raise MeasurementError(f"attachfs ended with {process.returncode}:\n{tail(log)}")
        return Run(seconds, processor_s, peak_bytes, **self._counted())

    def _counted(self, rate: float = _NO_LIMIT) -> dict[str, Any]:
        """Return what the archive counted since the last call, and set its rate limit."""
        self.archive.send(rate)
        counted: dict[str, Any] = self.archive.receive(_ANSWER_S)
        return counted


def _verify_again(site: Site) -> Run:
    """Verify what is cached, once all lifetimes are over."""
    time.sleep(TTL_S)
    return site.run("cache", *_VERIFY)


def _verify_limited(site: Site, rate: float, ttl: str) -> Run:
    return site.run(f"limited-{ttl}", *_VERIFY, "--metadata-ttl", ttl, rate=rate)


_VERIFY: Final = ("verify", "assets")
_REPORT: Final = "report.json"
STAGES: Final[dict[str, Callable[[Site, float], Run]]] = {
    "start": lambda site, _: site.run("start", "verify", f"assets/{site.asset}"),
    "first": lambda site, _: site.run("cache", *_VERIFY, "--report", site.directory / _REPORT),
    "again": lambda site, _: _verify_again(site),
    "refetch": lambda site, _: site.run("refetch", *_VERIFY, "--refetch"),
    "prefetch": lambda site, _: site.run("prefetch", "prefetch", "assets"),
    "list": lambda site, _: site.list(),
    "wire": lambda site, _: site.run_counted("wire", *_VERIFY),
    "limited": lambda site, rate: _verify_limited(site, rate, "60s"),
    "limited-ttl": lambda site, rate: _verify_limited(site, rate, "1h"),
}


def measure(
    size: Size, stages: Iterable[str], rate: float, directory: Path, report: Callable[[str], None]
) -> Figures:
    """Run stages below a directory, the limited ones at `rate`; `report` gets a line for each."""
    runs: dict[str, Run] = {}
    kept: Kept | None = None
    with worker(serve_archive, partial(fill, size)) as archive:
        url, token_file, asset = archive.receive(_FILLING_S)
        site = Site(archive, Access(url, token_file), asset, directory)
        for name in stages:
            runs[name] = run = STAGES[name](site, rate)
            report(f"{name}: {run.seconds:.1f} s, {run.all_requests} requests")
            if name == "first":
                parts = ("cache/index", "cache/objects", _REPORT)
                kept = Kept(*(disk_bytes(directory / part) for part in parts))
    return Figures(size, rate, runs, kept)
