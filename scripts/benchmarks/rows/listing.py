"""Listings: 1,000 attachments over a network of 50 ms, and 100,000 assets."""

import os
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import httpx
import msgspec

from benchmarks.bench import TOKEN, Bench, Mounting, Walks, row
from benchmarks.data import PAGE_RECORDS, Blob
from harness.processes import MeasurementError, printed_s
from harness.rows import Limit, Row
from harness.servers import round_trips

_RCLONE: Final = "rclone off"
_LOOP: Final = "httpx, msgspec"
_LONG_SIZE: Final = re.compile(r"\S+ +\d+ \S+ +\S+ +(\d+) ")  # of a line of `ls -l`
UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@row
def ls_l_50ms(bench: Bench) -> Iterator[Row]:
    """List attachments with what stat(2) says of them, over a network of 50 ms."""
    url = bench.servers.files.delayed
    peers = {"attachfs": partial(bench.attachfs, url), _RCLONE: partial(bench.rclone, url)}
    # rclone takes a round trip each, eight at a time: 7 s for 1,000
    for name, flag, check in (
        ("ls-l-50ms", "-l", _check_sizes),
        ("ls-color-50ms", "--color=always", _check_names),
    ):
        list_s = partial(_ls_s, bench.small, flag, check)
        contenders = {peer: partial(list_s, mounting) for peer, mounting in peers.items()}
        workload = f"ls {flag} of {len(bench.small)} attachments, cold, 50 ms"
        yield bench.compare(name, workload, "s", contenders, Limit(0.3, _RCLONE), slow=True)


@row
def ls_50ms(bench: Bench) -> Iterator[Row]:
    """List the names of attachments over a network of 50 ms."""
    mounting = partial(bench.attachfs, bench.servers.files.delayed)
    ours = partial(_ls_s, bench.small, "-1", _check_names, mounting)
    contenders = {"attachfs": lambda: round_trips(ours())}
    workload = f"ls of {len(bench.small)} attachments, cold, 50 ms"
    yield bench.compare("ls-50ms", workload, "round trips", contenders, Limit(4))


@row
def ls_100k(bench: Bench) -> Iterator[Row]:
    """List all assets of a large archive; what memory and how many requests that takes."""
    records, walks = bench.data.listed, Walks(bench, bench.servers.listed)
    records.warm()

    def check(count: int) -> None:
        if count != records.asset_count:
            raise MeasurementError(f"{count} of {records.asset_count} assets were listed")

    def ours() -> float:
        took_s, lines = walks.printed_s(walks.server.plain, "ls", "-U", "assets")
        check(len(lines))
        check(len(set(lines)))
        return took_s

    def loop() -> float:
        begin_s = time.perf_counter()
        count = _count_assets(walks.server.plain)
        took_s = time.perf_counter() - begin_s
        check(count)
        return took_s

    workload = f"ls -U of {records.asset_count} assets, no delay"
    contenders, limit = {"attachfs": ours, _LOOP: loop}, Limit(2.0, _LOOP)
    yield bench.compare("ls-100k", workload, "s", contenders, limit, slow=True)
    memory = {"attachfs": walks.peak_mib, "afterwards": walks.afterwards_mib}
    what = f"peak resident size, and that after {workload}"
    yield Row("ls-100k-memory", what, "MiB", memory, [Limit(300)])
    what = f"requests of a mount for {workload}"
    yield walks.requests_row("requests-ls-100k", what, records.page_count)


@row
def ls_100k_first(bench: Bench) -> Iterator[Row]:
    """Wait for the first name of a large archive's assets."""
    records = bench.data.listed
    records.warm()

    def ours() -> float:
        with bench.attachfs(bench.servers.listed.delayed) as mount:
            begin_s = time.perf_counter()
            with os.scandir(mount.path / "assets") as entries:
                next(entries)
                return round_trips(time.perf_counter() - begin_s)

    workload = f"first entry of {records.asset_count} assets, cold, 50 ms"
    yield bench.compare("ls-100k-first", workload, "round trips", {"attachfs": ours}, Limit(3))


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


def _ls_s(
    blobs: list[Blob],
    flag: str,
    check: Callable[[list[Blob], list[str]], None],
    mounting: Mounting,
) -> float:
    """Return how long `ls` takes on a fresh mount."""
    with mounting() as mount:
        took_s, lines = printed_s("ls", flag, f"assets/{blobs[0].asset}", cwd=mount.path)
    check(blobs, lines)
    return took_s


def _check_names(blobs: list[Blob], lines: list[str]) -> None:
    printed = {name for line in lines for name in UUID.findall(line)}
    missing = sum(blob.attachment not in printed for blob in blobs)
    if missing:
        raise MeasurementError(f"ls did not print {missing} of {len(blobs)} attachments")


def _check_sizes(blobs: list[Blob], lines: list[str]) -> None:
    sizes = {line.rpartition(" ")[2]: _LONG_SIZE.match(line) for line in lines}
    for blob in blobs:
        size = sizes.get(blob.attachment)
        if size is None or int(size[1]) != blob.size_bytes:
            raise MeasurementError(f"ls -l did not print the size of {blob.attachment}")
