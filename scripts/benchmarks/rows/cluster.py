"""An estate verified by two workers, beside one process."""

import sys
from typing import TYPE_CHECKING

from benchmarks.bench import Bench, remove
from benchmarks.timing import Contender, Limit, Row, alternate, elapsed_s

if TYPE_CHECKING:
    from pathlib import Path

_JOBS = 2


def verify(bench: Bench) -> list[Row]:
    """Verify 2,000 attachments of 1 MiB, of 100 assets, over a network of 50 ms.

    Both download all of it; what two processes take to start is in the figure.
    """
    assets = bench.data.wide[:10] if bench.quick else bench.data.wide
    bench.data.make_wide(assets)
    blobs = [blob for asset in assets for blob in asset]
    bench.data.warm(blobs)
    paths = [f"assets/{asset[0].asset}" for asset in assets]

    def verified(*options: str) -> float:
        cache = bench.mounts.fresh("cache")
        command: list[str | Path] = [
            *(sys.executable, "-m", "attachfs", "verify", *paths, *options),
            *("--url", bench.servers.delayed, "--token-file", bench.mounts.token_file),
            *("--cache-dir", cache, "--jobs", str(_JOBS)),
        ]
        took_s = elapsed_s(*command)
        remove(cache)
        return took_s

    contenders = [
        Contender("attachfs", lambda: verified("--workers", "2")),
        Contender("one process", verified),
    ]
    figures = alternate(contenders, runs=min(bench.runs, 3))
    workload = f"verify {len(blobs)} x 1 MiB, 50 ms, 2 workers, {_JOBS} at once in each"
    return [Row("dask", workload, "s", figures, [Limit(0.6, "one process")])]
