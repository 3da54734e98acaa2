"""What is measured, one after the other, on one estate, and how it is stored in a file."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, Self

import msgspec

from harness.archive import Served, serving_archive
from harness.gauges import cpu_s, disk_bytes, memory_bytes, watch
from harness.mounts import mounted_archive
from harness.processes import MeasurementError, elapsed_s, started, tail
from scaling.estate import Size, fill
from tests.support.relays import relaying

# Making 100,000 attachments takes a minute and a half.
_FILLING_S: Final = 900.0
_TTL_S: Final = 60.0
_REPORT: Final = "report.json"
_KEPT: Final = {
    "index_bytes": "cache/index",
    "objects_bytes": "cache/objects",
    "report_bytes": _REPORT,
}


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
class Figures:
    """The runs of one estate by the name of their stage, and what the first verification left."""

    size: Size
    rate: float
    runs: Mapping[str, Run]
    kept: Mapping[str, int] | None  # on the disk

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
    """The archive, the requests a second that stages with limits have, and a directory for all."""

    archive: Served
    rate: float
    directory: Path

    def run(self, cache: str, *words: object, limited: bool = False) -> Run:
        """Run a command of attachfs, with that cache; it must succeed."""
        log = self.directory / f"{cache}.log"
        command = self.archive.access.command(*words, cache=self.directory / cache)
        self.archive.counted(self.rate if limited else 0)
        begin_s = time.monotonic()
        with started(command, log=log) as process:
            processor_s, peak_bytes = watch(process)
        seconds = time.monotonic() - begin_s
        if process.returncode:
            raise MeasurementError(f"attachfs ended with {process.returncode}:\n{tail(log)}")
        return Run(seconds, processor_s, peak_bytes, **self.archive.counted())

    def verify(self, cache: str, *options: object, limited: bool = False) -> Run:
        """Verify all assets."""
        return self.run(cache, "verify", "assets", *options, limited=limited)

    def verify_again(self) -> Run:
        """Verify what is cached, once all lifetimes are over."""
        time.sleep(_TTL_S)
        return self.verify("cache")

    def verify_counted(self) -> Run:
        """Verify through a relay that counts bytes."""
        access = self.archive.access
        with relaying(access.url) as relay:
            relayed = replace(self.archive, access=replace(access, url=relay.url))
            run = replace(self, archive=relayed).verify("wire")
            return replace(run, wire_bytes=relay.carried_bytes)

    def list(self) -> Run:
        """Mount, and have `ls -lR` look at every file; the time is that of `ls` alone."""
        self.archive.counted()
        mountpoint, cache = self.directory / "list-mnt", self.directory / "list"
        mountpoint.mkdir()
        with mounted_archive(self.archive.access, mountpoint, cache=cache) as mount:
            output, assets = self.directory / "listing", mountpoint / "assets"
            seconds = elapsed_s("/bin/ls", "-lR", assets, output=output)
            pid, counted = mount.process.pid, self.archive.counted()
            return Run(seconds, cpu_s(pid), memory_bytes(pid, "VmHWM"), **counted)


STAGES: Final[dict[str, Callable[[Site], Run]]] = {
    "start": lambda site: site.run("start", "verify", f"assets/{site.archive.filled}"),
    "first": lambda site: site.verify("cache", "--report", site.directory / _REPORT),
    "again": Site.verify_again,
    "refetch": lambda site: site.verify("refetch", "--refetch"),
    "prefetch": lambda site: site.run("prefetch", "prefetch", "assets"),
    "list": Site.list,
    "wire": Site.verify_counted,
    "limited": lambda site: site.verify("limited-60s", "--metadata-ttl", "60s", limited=True),
    "limited-ttl": lambda site: site.verify("limited-1h", "--metadata-ttl", "1h", limited=True),
}


def measure(
    size: Size, stages: Iterable[str], rate: float, directory: Path, report: Callable[[str], None]
) -> Figures:
    """Run stages below a directory, the limited ones at `rate`; `report` gets a line for each."""
    runs: dict[str, Run] = {}
    kept: dict[str, int] | None = None
    with serving_archive(partial(fill, size), within_s=_FILLING_S) as archive:
        site = Site(archive, rate, directory)
        for name in stages:
            runs[name] = run = STAGES[name](site)
            report(f"{name}: {run.seconds:.1f} s, {run.all_requests} requests")
            if name == "first":
                kept = {what: disk_bytes(directory / part) for what, part in _KEPT.items()}
    return Figures(size, rate, runs, kept)
