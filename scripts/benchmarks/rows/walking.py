"""Walks through a whole archive: for the first time, and after a restart."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

import httpx
import msgspec

from benchmarks.bench import TOKEN, Bench, Walks, row
from benchmarks.data import Records
from benchmarks.rows.listing import UUID
from harness.mounts import Mount
from harness.processes import MeasurementError, printed_s
from harness.rows import Limit, Row

_EACH: Final = "a request an asset"
_EACH_ASKED: Final = 100  # of all: 10,000 would take nine minutes
_STATIC: Final = "static pyfuse3"
# How long metadata is cached, here and in the kernel, longer than a walk takes: the default, for
# the few assets of `--quick` less.
_LIFETIME_S: Final = 60
_QUICK_LIFETIME_S: Final = 5


@row
def find_10k(bench: Bench) -> Iterator[Row]:
    """Walk through an unknown archive, over 50 ms; how many requests that takes."""
    records, walks = bench.data.walked, Walks(bench, bench.servers.walked)
    url, count = walks.server.delayed, records.asset_count
    records.warm()

    def ours() -> float:
        took_s, lines = walks.printed_s(url, "find", "assets")
        _check_assets(records, lines)
        return took_s

    def each() -> float:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        begin_s = time.perf_counter()
        with httpx.Client(base_url=url, headers=headers) as http:
            for number in range(_EACH_ASKED):
                path = f"/archivist/v2/assets/{records.asset(number)}/events"
                http.get(path).raise_for_status().json()
        return (time.perf_counter() - begin_s) / _EACH_ASKED * count

    what = f"find of {count} assets with 2 events each, cold, 50 ms"
    workload = f"{what}; the peer's time is that of {_EACH_ASKED} assets, scaled to {count}"
    contenders, limit = {"attachfs": ours, _EACH: each}, Limit(0.05, _EACH)
    yield bench.compare("find-10k", workload, "s", contenders, limit, slow=True)
    workload = f"requests of a mount for {what}; pages of assets and of events"
    yield walks.requests_row("requests-find-10k", workload, records.page_count)


@row
def restart_find(bench: Bench) -> Iterator[Row]:
    """Walk through an archive known from an earlier mount."""
    yield _find_again(bench, "restart-find", "assets", "", Limit(1.3, _STATIC))


@row
def find_by_name(bench: Bench) -> Iterator[Row]:
    """Walk through the names that people gave, known from an earlier mount."""
    yield _find_again(bench, "find-by-name", "by-name", " by name")


def _find_again(bench: Bench, name: str, view: str, kind: str, *limits: Limit) -> Row:
    """Walk through a view after a restart, once the lifetimes of its first walk are over."""
    records, url = bench.data.walked, bench.servers.walked.plain
    lifetime_s = _QUICK_LIFETIME_S if bench.quick else _LIFETIME_S
    records.warm()
    known = bench.fresh("cache")
    with bench.attachfs(url, cache=known) as mount:
        _, lines = printed_s("find", view, "-printf", r"%y %p\n", cwd=mount.path)
    entries = [(line[0], line[2:]) for line in lines]
    paths = sorted(path for _kind, path in entries)
    if view == "assets":
        _check_assets(records, paths)
    elif len(paths) <= records.asset_count:
        raise MeasurementError(f"{view} has {len(paths)} entries")
    description = bench.work / f"{view}.msgpack"
    description.write_bytes(msgspec.msgpack.encode(entries))
    time.sleep(lifetime_s + 1)

    def find_s(mounting: AbstractContextManager[Mount]) -> float:
        with mounting as mount:
            took_s, lines = printed_s("find", view, cwd=mount.path)
        if sorted(lines) != paths:
            raise MeasurementError(f"find printed other names in {view}: {len(lines)}")
        return took_s

    def ours() -> float:
        # A copy: what this walk learns must not begin the next one's lifetimes anew.
        with bench.scratch() as cache:
            shutil.copytree(known, cache, dirs_exist_ok=True)
            return find_s(bench.attachfs(url, "--metadata-ttl", f"{lifetime_s}s", cache=cache))

    def static() -> float:
        return find_s(bench.static(description, lifetime_s=lifetime_s))

    workload = f"find of {records.asset_count} assets{kind} after a restart, lifetimes over"
    contenders = {"attachfs": ours, _STATIC: static}
    return bench.compare(name, workload, "s", contenders, *limits, slow=True)


def _check_assets(records: Records, paths: list[str]) -> None:
    """Raise where a walk has missed a record or an attachment."""
    count = Counter(UUID.sub("*", path) for path in paths)
    for pattern, expected in (
        ("assets/*/asset.json", records.asset_count),
        ("assets/*/*", records.attachment_count),
        ("assets/*/events/*/event.json", 2 * records.asset_count),
        # A creation event has the asset's own, the other one of its own.
        ("assets/*/events/*/*", records.attachment_count + records.asset_count),
    ):
        if count[pattern] != expected:
            raise MeasurementError(f"find printed {count[pattern]} of {expected} {pattern}")
