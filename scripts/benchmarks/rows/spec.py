"""Bytes through fsspec, beside a mount of the same archive."""

import hashlib
import sys

from benchmarks.bench import TMPFS, Bench, remove
from benchmarks.programs import Unfit, run
from benchmarks.timing import Contender, Limit, Row, alternate, elapsed_s

_CAT = """
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


def cat(bench: Bench) -> list[Row]:
    """Take 1,000 attachments of 64 KiB into memory over a network of 50 ms."""
    blobs = bench.data.few if bench.quick else bench.data.small
    bench.data.warm(blobs)
    url = bench.servers.delayed
    expected = [hashlib.sha256(bench.data.local(blob).read_bytes()).hexdigest() for blob in blobs]

    def ours() -> float:
        cache = bench.mounts.fresh("cache")
        paths = [blob.path for blob in blobs]
        token = str(bench.mounts.token_file)
        *digests, took_s = run(
            sys.executable, "-c", _CAT, url, token, str(cache), *paths
        ).splitlines()
        remove(cache)
        if digests != expected:
            raise Unfit("fsspec has given wrong bytes")
        return float(took_s)

    def mounted() -> float:
        target = TMPFS / "attachfs-bench-spec"
        remove(target)
        with bench.mounts.attachfs(url) as mount:
            took_s = elapsed_s("cp", "-r", mount.root / "assets" / blobs[0].asset, target)
        remove(target)
        return took_s

    figures = alternate(
        [Contender("attachfs", ours), Contender("cp from a mount", mounted)], runs=bench.runs
    )
    workload = f"cat of {len(blobs)} x 64 KiB through fsspec, 50 ms"
    return [Row("fsspec", workload, "s", figures, [Limit(1.2, "cp from a mount")])]
