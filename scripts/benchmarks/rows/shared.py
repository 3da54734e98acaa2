"""A large attachment from the store that hosts share, beside an archive that is not fast."""

import time

from benchmarks.bench import Bench
from benchmarks.programs import Unfit
from benchmarks.timing import Contender, Limit, Row, alternate, elapsed_s

_PATIENCE_S = 60.0


def cat(bench: Bench) -> list[Row]:
    """Read 256 MiB on a second host, and as the first one does."""
    blob, url = bench.data.big, bench.servers.slow
    bench.data.warm([blob])
    shared = bench.mounts.fresh("shared")
    options = ("--shared-store", str(shared))
    with bench.mounts.attachfs(url, *options) as first:
        elapsed_s("cat", first.path(blob))
        _await_object(bench, blob.size_bytes)

    def second() -> float:
        with bench.mounts.attachfs(url, *options) as mounted:
            return elapsed_s("cat", mounted.path(blob))

    def alone() -> float:
        with bench.mounts.attachfs(url) as mounted:
            return elapsed_s("cat", mounted.path(blob))

    contenders = [Contender("attachfs", second), Contender("from the archive", alone)]
    figures = alternate(contenders, runs=min(bench.runs, 3))
    workload = "a second host's first cat of 256 MiB, shared, archive at 50 MB/s"
    return [Row("shared", workload, "s", figures, [Limit(0.5, "from the archive")])]


def _await_object(bench: Bench, size_bytes: int) -> None:
    """Wait until the first host has written its copy."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while not any(
        path.is_file() and path.stat().st_size == size_bytes and "." not in path.name
        for path in bench.work.glob("shared-*/sha256/*/*")
    ):
        if time.monotonic() > deadline_s:
            raise Unfit("nothing was written to the shared store")
        time.sleep(0.1)
