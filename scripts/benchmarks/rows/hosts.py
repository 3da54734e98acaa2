"""Beside other ways to read: a shared store, fsspec, two workers; and how long starting takes."""

import hashlib
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.bench import RCLONE, Bench, row
from harness.processes import MeasurementError, elapsed_s, printed_s
from harness.rows import Limit, Row

_JOBS: Final = 2
_ATTACHFS: Final = Path(sys.executable).with_name("attachfs")
_CAT: Final = """
import hashlib, sys, time
import fsspec
url, token, cache, *paths = sys.argv[1:]
fs = fsspec.filesystem("archivist", archive=url, token_file=token, cache_dir=cache)
fs.ls("")
begin_s = time.perf_counter()
bodies = fs.cat(paths)
took_s = time.perf_counter() - begin_s
for path in paths:
    print(hashlib.sha256(bodies[path]).hexdigest())
print(took_s)
"""


@row
def shared(bench: Bench) -> Iterator[Row]:
    """Read 256 MiB on a second host, from the store that the first one shares."""
    blob, url = bench.data.big, bench.servers.slow
    bench.data.warm([blob])
    store = bench.fresh("shared")
    options = ("--shared-store", str(store))
    with bench.scratch() as first:  # returns when the store has all of it
        elapsed_s(*bench.access(url).command("prefetch", blob.path, *options, cache=first))
    if not any(path.stat().st_size == blob.size_bytes for path in store.glob("sha256/*/*")):
        raise MeasurementError("nothing was written to the shared store")

    def cat_s(*options: str) -> float:
        with bench.attachfs(url, *options) as mount:
            return elapsed_s("cat", mount.path / blob.path)

    contenders = {"attachfs": lambda: cat_s(*options), "from the archive": cat_s}
    workload = "a second host's first cat of 256 MiB, shared, archive at 50 MB/s"
    limit = Limit(0.5, "from the archive")
    yield bench.compare("shared", workload, "s", contenders, limit, few=True)


@row
def fsspec(bench: Bench) -> Iterator[Row]:
    """Read 1,000 attachments of 64 KiB into memory over a network of 50 ms."""
    blobs = bench.small
    bench.data.warm(blobs)
    access = bench.access(bench.servers.files.delayed)
    expected = [hashlib.sha256(bench.data.local(blob).read_bytes()).hexdigest() for blob in blobs]

    def ours() -> float:
        paths = [blob.path for blob in blobs]
        with bench.scratch() as cache:
            command = (sys.executable, "-c", _CAT, access.url, access.token_file, cache, *paths)
            _, printed = printed_s(*command)
        if printed[:-1] != expected:
            raise MeasurementError("fsspec returned wrong bytes")
        return float(printed[-1])

    def mounted() -> float:
        with bench.attachfs(access.url) as mount:
            return bench.copied_s(blobs, "cp", "-r", mount.path / "assets" / blobs[0].asset)

    contenders, limit = (
        {"attachfs": ours, "cp from a mount": mounted},
        Limit(1.2, "cp from a mount"),
    )
    workload = f"cat of {len(blobs)} x 64 KiB through fsspec, 50 ms"
    yield bench.compare("fsspec", workload, "s", contenders, limit)


@row
def dask(bench: Bench) -> Iterator[Row]:
    """Verify 2,000 attachments of 1 MiB, of 100 assets, over a network of 50 ms.

    Both download all of it; what two processes take to start is in the figure.
    """
    assets = bench.data.wide[:10] if bench.quick else bench.data.wide
    bench.data.make_wide(assets)
    blobs = [blob for asset in assets for blob in asset]
    bench.data.warm(blobs)
    paths = [f"assets/{asset[0].asset}" for asset in assets]
    access = bench.access(bench.servers.files.delayed)

    def verified(*options: str) -> float:
        words = ("verify", *paths, *options, "--jobs", str(_JOBS))
        with bench.scratch() as cache:
            return elapsed_s(*access.command(*words, cache=cache))

    contenders = {"attachfs": lambda: verified("--workers", "2"), "one process": verified}
    workload = f"verify {len(blobs)} x 1 MiB, 50 ms, 2 workers, {_JOBS} at once in each"
    yield bench.compare("dask", workload, "s", contenders, Limit(0.6, "one process"), few=True)


@row
def start(bench: Bench) -> Iterator[Row]:
    """Time `attachfs --help`, and `attachfs mount` until it returns, mounted before."""
    # Users do not have rich, which httpx and structlog import if they can.
    attachfs = ("env", f"PYTHONPATH={Path('tests/support/bare').absolute()}", _ATTACHFS)

    def ms(*command: object) -> float:
        return 1000 * elapsed_s(*command)

    helps = {
        "attachfs": partial(ms, *attachfs, "--help"),
        "python -c pass": partial(ms, sys.executable, "-c", "pass"),
        "rclone": partial(ms, RCLONE, "--help"),
    }
    yield bench.compare("help", "attachfs --help", "ms", helps, Limit(150), runs=7)
    cache = bench.fresh("cache")
    access = bench.access(bench.servers.files.plain)

    def mount_s() -> float:
        mountpoint = bench.fresh("background")
        command = access.command("mount", mountpoint, cache=cache, program=attachfs)
        try:
            took_s = elapsed_s(*command)
            if not mountpoint.is_mount():
                raise MeasurementError(f"nothing is mounted on {mountpoint}")
        finally:
            elapsed_s(_ATTACHFS, "umount", mountpoint)
        return took_s

    workload = "attachfs mount, warm, until it answers"
    yield bench.compare("mount", workload, "s", {"attachfs": mount_s}, Limit(1), runs=7)
