"""What is measured, one after the other, on one estate."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from soaking.processes import running

from scaling.estate import Size
from scaling.runs import Run, Site, held_bytes

# Making 100,000 attachments takes a minute and a half.
_FILLING_S: Final = 900.0
TTL_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How large the estate is, which stages, and how many requests a second a limited one has."""

    size: Size
    stages: tuple[str, ...]
    rate: float


@dataclass(frozen=True, slots=True)
class Kept:
    """What the first verification left, in bytes on the disk."""

    index_bytes: int
    objects_bytes: int
    report_bytes: int


def measured(
    plan: Plan, directory: Path, tell: Callable[[str], None]
) -> tuple[dict[str, Run], Kept | None]:
    """Run the stages below a directory, each told of as it ends."""
    runs: dict[str, Run] = {}
    kept: Kept | None = None
    with _site(plan, directory) as (site, said):
        wired = Site(site.archive, said["wired"], site.token_file, directory)
        stages = {
            "start": lambda: site.run("verify", f"assets/{said['asset']}", *site.options("start")),
            "first": lambda: _first(site, directory),
            "again": lambda: _again(site),
            "refetch": lambda: site.run("verify", "assets", "--refetch", *site.options("refetch")),
            "prefetch": lambda: site.run("prefetch", "assets", *site.options("prefetch")),
            "list": lambda: site.listed("list"),
            "wire": lambda: wired.run("verify", "assets", *wired.options("wire")),
            "limited": lambda: _limited(site, plan.rate, "60s"),
            "limited-ttl": lambda: _limited(site, plan.rate, "1h"),
        }
        for name in plan.stages:
            runs[name] = stages[name]()
            tell(f"{name}: {runs[name].seconds:.1f} s, {runs[name].all_requests} requests")
            if name == "first":
                kept = _kept(directory)
    return runs, kept


STAGES: Final = (
    *("start", "first", "again", "refetch", "prefetch", "list", "wire"),
    *("limited", "limited-ttl"),
)


@contextmanager
def _site(plan: Plan, directory: Path) -> Iterator[tuple[Site, dict[str, Any]]]:
    with running("scaling.archive", str(plan.size.assets)) as archive:
        said = archive.heard(_FILLING_S)
        yield Site(archive, said["url"], said["token_file"], directory), said


def _first(site: Site, directory: Path) -> Run:
    report = str(directory / "report.json")
    return site.run("verify", "assets", "--report", report, *site.options("cache"))


def _again(site: Site) -> Run:
    """Verify what is cached, once nothing that was learnt is believed any more."""
    time.sleep(TTL_S)
    return site.run("verify", "assets", *site.options("cache"))


def _limited(site: Site, rate: float, ttl: str) -> Run:
    site.limit(rate)
    try:
        options = site.options(f"limited-{ttl}", "--metadata-ttl", ttl)
        return site.run("verify", "assets", *options)
    finally:
        site.limit(0)


def _kept(directory: Path) -> Kept:
    return Kept(
        held_bytes(directory / "cache" / "index"),
        held_bytes(directory / "cache" / "objects"),
        held_bytes(directory / "report.json"),
    )
