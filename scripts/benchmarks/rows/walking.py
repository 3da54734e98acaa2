"""Walks through a whole archive: for the first time, and after a restart."""

import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import msgspec

from benchmarks.bench import Bench, remove
from benchmarks.estates import Estate
from benchmarks.mounts import TOKEN
from benchmarks.programs import Unfit
from benchmarks.timing import Contender, Limit, Row, alternate, printed_s

_EACH: Final = "a request an asset"
_EACH_ASKED: Final = 100  # of all: 10,000 would take nine minutes
_STATIC: Final = "static pyfuse3"
_MAX_RUNS: Final = 3  # of what takes twenty seconds
# How long what is known is believed, here and in the kernel, longer than a walk takes: the default,
# for the few assets of `--quick` less.
_LIFETIME_S: Final = 60
_QUICK_LIFETIME_S: Final = 5
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def find_10k(bench: Bench) -> list[Row]:
    """Walk through an archive nobody has looked at, over 50 ms; how many requests that takes."""
    estate, server = bench.data.walked, bench.servers.walked
    estate.warm()
    requests: list[float] = []

    def ours() -> float:
        before = server.request_count()
        with bench.mounts.attachfs(server.delayed) as mounted:
            took_s, lines = printed_s("find", "assets", cwd=mounted.root)
        requests.append(server.request_count() - before)
        _check_assets(estate, lines)
        return took_s

    def each() -> float:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        begin_s = time.perf_counter()
        with httpx.Client(base_url=server.delayed, headers=headers) as http:
            for number in range(_EACH_ASKED):
                path = f"/archivist/v2/assets/{estate.asset(number)}/events"
                http.get(path).raise_for_status().json()
        return (time.perf_counter() - begin_s) / _EACH_ASKED * estate.asset_count

    contenders = [Contender("attachfs", ours), Contender(_EACH, each)]
    figures = alternate(contenders, runs=min(bench.runs, _MAX_RUNS), warmups=0)
    what = f"find of {estate.asset_count} assets with 2 events each, cold, 50 ms"
    scaled = f"the peer's time is that of {_EACH_ASKED} assets, scaled to {estate.asset_count}"
    page_count = estate.asset_page_count + estate.event_page_count
    return [
        Row("find-10k", f"{what}; {scaled}", "s", figures, [Limit(0.05, _EACH)]),
        Row(
            "requests-find-10k",
            f"requests of a mount for {what}; pages of assets and of events",
            "requests",
            {"attachfs": requests, "pages": [float(page_count)] * len(requests)},
            [Limit(1.1, "pages")],
        ),
    ]


def restart_find(bench: Bench) -> list[Row]:
    """Walk through an archive known from an earlier mount."""
    with _known(bench, "assets") as known:
        _check_assets(bench.data.walked, [path for _kind, path in known.entries])
        figures = _walks(bench, known)
    workload = f"find of {bench.data.walked.asset_count} assets after a restart, lifetimes over"
    return [Row("restart-find", workload, "s", figures, [Limit(1.3, _STATIC)])]


def find_by_name(bench: Bench) -> list[Row]:
    """Walk through the names that people gave, known from an earlier mount."""
    estate = bench.data.walked
    with _known(bench, "by-name") as known:
        if len(known.entries) <= estate.asset_count:
            raise Unfit(f"by-name has {len(known.entries)} entries")
        figures = _walks(bench, known)
    workload = f"find of {estate.asset_count} assets by name after a restart, lifetimes over"
    return [Row("find-by-name", workload, "s", figures)]


@dataclass(frozen=True, slots=True)
class _Known:
    """Hold what a first mount found in a view, as `benchmarks.static` takes it, and its cache."""

    view: str
    entries: list[tuple[str, str]]
    cache: Path
    lifetime_s: int

    @property
    def options(self) -> tuple[str, str]:
        """What attachfs is mounted with."""
        return ("--metadata-ttl", f"{self.lifetime_s}s")

    def check(self, lines: list[str]) -> None:
        """Raise where a walk did not print what the first one found."""
        if sorted(lines) != sorted(path for _kind, path in self.entries):
            raise Unfit(f"find printed other names in {self.view}: {len(lines)}")


@contextmanager
def _known(bench: Bench, view: str) -> Iterator[_Known]:
    cache = bench.mounts.fresh("cache")
    lifetime_s = _QUICK_LIFETIME_S if bench.quick else _LIFETIME_S
    bench.data.walked.warm()
    try:
        with bench.mounts.attachfs(bench.servers.walked.plain, cache=cache) as mounted:
            if not (mounted.root / view).is_dir():
                raise Unfit(f"there is no {view}")
            _, lines = printed_s("find", view, "-printf", r"%y %p\n", cwd=mounted.root)
        time.sleep(lifetime_s + 1)
        yield _Known(view, [(line[0], line[2:]) for line in lines], cache, lifetime_s)
    finally:
        remove(cache)


def _walks(bench: Bench, known: _Known) -> dict[str, list[float]]:
    description = bench.work / f"{known.view}.msgpack"
    description.write_bytes(msgspec.msgpack.encode(known.entries))

    def ours() -> float:
        # A copy: what this walk learns must not make the next one's lifetimes begin anew.
        cache = bench.mounts.fresh("cache")
        shutil.copytree(known.cache, cache, dirs_exist_ok=True)
        url = bench.servers.walked.plain
        with bench.mounts.attachfs(url, *known.options, cache=cache) as mounted:
            took_s, lines = printed_s("find", known.view, cwd=mounted.root)
        remove(cache)
        known.check(lines)
        return took_s

    def static() -> float:
        with bench.mounts.static(description, lifetime_s=known.lifetime_s) as mounted:
            took_s, lines = printed_s("find", known.view, cwd=mounted.root)
        known.check(lines)
        return took_s

    contenders = [Contender("attachfs", ours), Contender(_STATIC, static)]
    return alternate(contenders, runs=min(bench.runs, _MAX_RUNS), warmups=0)


def _check_assets(estate: Estate, paths: list[str]) -> None:
    """Raise where a walk has missed a record or an attachment."""
    count = Counter(_UUID.sub("*", path) for path in paths)
    for pattern, expected in (
        ("assets/*/asset.json", estate.asset_count),
        ("assets/*/*", estate.attachment_count),
        ("assets/*/events/*/event.json", 2 * estate.asset_count),
        # A creation event has the asset's own, the other one of its own.
        ("assets/*/events/*/*", estate.attachment_count + estate.asset_count),
    ):
        if count[pattern] != expected:
            raise Unfit(f"find printed {count[pattern]} of {expected} {pattern}")
