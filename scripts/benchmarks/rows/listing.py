"""Listings: 1,000 attachments over a network of 50 ms, and 100,000 assets."""

import os
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from benchmarks.bench import Bench
from benchmarks.data import MIB, Blob
from benchmarks.estates import PAGE_RECORDS
from benchmarks.mounts import TOKEN, Mounted
from benchmarks.programs import Unfit
from benchmarks.servers import ROUND_TRIP_MS
from benchmarks.timing import Contender, Limit, Row, alternate, printed_s

_RCLONE: Final = "rclone off"
_LOOP: Final = "httpx, msgspec"
_MAX_RUNS: Final = 3  # of what takes ten seconds and more
_LONG_SIZE: Final = re.compile(r"\S+ +\d+ \S+ +\S+ +(\d+) ")  # of a line of `ls -l`
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def ls_l_50ms(bench: Bench) -> list[Row]:
    """List attachments with what stat(2) says of them, over a network of 50 ms."""
    blobs = _blobs(bench)
    rows = []
    for name, flag, check in (
        ("ls-l-50ms", "-l", _check_sizes),
        ("ls-color-50ms", "--color=always", _check_names),
    ):
        contenders = [
            Contender(
                "attachfs",
                partial(_ls_s, bench.mounts.attachfs, bench, flag, blobs, check, below="assets"),
            ),
            Contender(_RCLONE, partial(_ls_s, bench.mounts.rclone, bench, flag, blobs, check)),
        ]
        figures = alternate(contenders, runs=min(bench.runs, _MAX_RUNS), warmups=0)
        workload = f"ls {flag} of {len(blobs)} attachments, cold, 50 ms"
        rows.append(Row(name, workload, "s", figures, [Limit(0.3, _RCLONE)]))
    return rows


def ls_50ms(bench: Bench) -> list[Row]:
    """List the names of attachments over a network of 50 ms."""
    blobs = _blobs(bench)

    def ours() -> float:
        mount = bench.mounts.attachfs
        took_s = _ls_s(mount, bench, "-1", blobs, _check_names, below="assets")
        return _round_trips(took_s)

    figures = alternate([Contender("attachfs", ours)], runs=bench.runs)
    workload = f"ls of {len(blobs)} attachments, cold, 50 ms"
    return [Row("ls-50ms", workload, "round trips", figures, [Limit(4)])]


def ls_100k(bench: Bench) -> list[Row]:
    """List all assets of a large archive; what memory and how many requests that takes."""
    estate, server = bench.data.listed, bench.servers.listed
    estate.warm()
    peaks: list[float] = []
    afterwards: list[float] = []
    requests: list[float] = []

    def ours() -> float:
        before = server.request_count()
        with bench.mounts.attachfs(server.plain) as mounted:
            took_s, lines = printed_s("ls", "-U", "assets", cwd=mounted.root)
            peaks.append(mounted.status_bytes("VmHWM") / MIB)
            afterwards.append(mounted.status_bytes("VmRSS") / MIB)
        requests.append(server.request_count() - before)
        if len(lines) != estate.asset_count or len(set(lines)) != estate.asset_count:
            raise Unfit(f"ls printed {len(lines)} of {estate.asset_count} assets")
        return took_s

    def loop() -> float:
        begin_s = time.perf_counter()
        count = _count_assets(server.plain)
        took_s = time.perf_counter() - begin_s
        if count != estate.asset_count:
            raise Unfit(f"the loop found {count} of {estate.asset_count} assets")
        return took_s

    contenders = [Contender("attachfs", ours), Contender(_LOOP, loop)]
    figures = alternate(contenders, runs=min(bench.runs, _MAX_RUNS), warmups=0)
    workload = f"ls -U of {estate.asset_count} assets, no delay"
    pages = [float(estate.asset_page_count)] * len(requests)
    return [
        Row("ls-100k", workload, "s", figures, [Limit(2.0, _LOOP)]),
        Row(
            "ls-100k-memory",
            f"peak resident size, and that after {workload}",
            "MiB",
            {"attachfs": peaks, "afterwards": afterwards},
            [Limit(300)],
        ),
        Row(
            "requests-ls-100k",
            f"requests of a mount for {workload}",
            "requests",
            {"attachfs": requests, "pages": pages},
            [Limit(1.1, "pages")],
        ),
    ]


def ls_100k_first(bench: Bench) -> list[Row]:
    """Wait for the first name of a large archive's assets."""
    estate = bench.data.listed
    estate.warm()

    def ours() -> float:
        with bench.mounts.attachfs(bench.servers.listed.delayed) as mounted:
            begin_s = time.perf_counter()
            with os.scandir(mounted.root / "assets") as entries:
                next(entries)
                return _round_trips(time.perf_counter() - begin_s)

    figures = alternate([Contender("attachfs", ours)], runs=bench.runs)
    workload = f"first entry of {estate.asset_count} assets, cold, 50 ms"
    return [Row("ls-100k-first", workload, "round trips", figures, [Limit(3)])]


class _Asset(msgspec.Struct):
    identity: str
    attributes: dict[str, Any]


class _Page(msgspec.Struct):
    assets: list[_Asset]
    next_page_token: str


def _count_assets(url: str) -> int:
    """Read a listing to its end, with no more than it takes."""
    count = 0
    query = {"page_size": str(PAGE_RECORDS)}
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        while True:
            answer = http.get("/archivist/v2/assets", params=query).raise_for_status()
            page = msgspec.json.decode(answer.content, type=_Page)
            count += len(page.assets)
            if not page.next_page_token:
                return count
            query["page_token"] = page.next_page_token


def _blobs(bench: Bench) -> list[Blob]:
    # rclone takes a round trip a file, eight at a time: 7 s for 1,000 files.
    return bench.data.few if bench.quick else bench.data.small


def _ls_s(
    mount: Callable[[str], AbstractContextManager[Mounted]],
    bench: Bench,
    flag: str,
    blobs: list[Blob],
    check: Callable[[list[Blob], list[str]], None],
    *,
    below: str = "",
) -> float:
    """Return how long `ls` takes on a fresh mount."""
    with mount(bench.servers.delayed) as mounted:
        directory = Path(below) / blobs[0].asset
        took_s, lines = printed_s("ls", flag, directory, cwd=mounted.root)
    check(blobs, lines)
    return took_s


def _check_names(blobs: list[Blob], lines: list[str]) -> None:
    printed = {name for line in lines for name in _UUID.findall(line)}
    missing = sum(blob.attachment not in printed for blob in blobs)
    if missing:
        raise Unfit(f"ls did not print {missing} of {len(blobs)} attachments")


def _check_sizes(blobs: list[Blob], lines: list[str]) -> None:
    sizes = {line.rpartition(" ")[2]: _LONG_SIZE.match(line) for line in lines}
    for blob in blobs:
        size = sizes.get(blob.attachment)
        if size is None or int(size[1]) != blob.size_bytes:
            raise Unfit(f"ls -l did not print the size of {blob.attachment}")


def _round_trips(took_s: float) -> float:
    return took_s / (ROUND_TRIP_MS / 1e3)
