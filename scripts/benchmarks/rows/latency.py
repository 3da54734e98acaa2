"""How long one operation takes: the first byte, a read beside a download, the floor of each."""

import mmap
import os
import statistics
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench, forget_names
from benchmarks.programs import compiled, run
from benchmarks.servers import ROUND_TRIP_MS
from benchmarks.timing import Contender, Limit, Row, alternate

_CORE: Final = 0
_READ_BYTES: Final = 4096
_PAUSE_S: Final = 0.0005
_FLOOR: Final = "C libfuse"


def first_byte(bench: Bench) -> list[Row]:
    """Read the first 4 KiB of 256 MiB by a path nobody has looked at."""
    blob = bench.data.big

    def ours() -> float:
        with bench.mounts.attachfs(bench.servers.delayed) as mounted:
            # Connections are warm, and know nothing of what comes: another asset was read.
            (mounted.path(bench.data.few[0])).read_bytes()
            begin_s = time.perf_counter()
            with mounted.path(blob).open("rb", buffering=0) as file:
                file.read(_READ_BYTES)
            return (time.perf_counter() - begin_s) / (ROUND_TRIP_MS / 1e3)

    figures = alternate([Contender("attachfs", ours)], runs=bench.runs)
    workload = "first 4 KiB of 256 MiB by direct path, warm connection"
    return [Row("first-byte", workload, "round trips", figures, [Limit(4)])]


def quiet(bench: Bench) -> list[Row]:
    """Read a ready file, past the page cache, while a large one is being downloaded."""
    ready = bench.data.few[0]
    loud = bench.data.big if bench.quick else bench.data.huge
    bench.data.warm([loud])

    def ours(*, beside: bool) -> float:
        with bench.mounts.attachfs(bench.servers.plain) as mounted:
            mounted.path(ready).read_bytes()
            command = ["cat", str(mounted.path(loud))] if beside else ["sleep", "2"]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as program:
                latencies = _latencies_ms(mounted.path(ready), program)
            return statistics.quantiles(latencies, n=100)[98]

    contenders = [
        Contender("attachfs", lambda: ours(beside=True)),
        Contender("attachfs, no download", lambda: ours(beside=False)),
    ]
    figures = alternate(contenders, runs=bench.runs)
    workload = f"p99 of a 4 KiB read while {loud.size_bytes >> 20} MiB download"
    return [Row("quiet", workload, "ms", figures, [Limit(0.5)])]


def op(bench: Bench) -> list[Row]:
    """Time single operations, client and daemon on one core, against libfuse in C."""
    client = compiled("operations", bench.work)
    small = bench.data.small[:500]
    rows = []
    with (
        bench.mounts.attachfs(bench.servers.plain, core=_CORE) as mounted,
        bench.mounts.floor(core=_CORE) as floor,
    ):
        ours = [mounted.path(blob) for blob in small]
        theirs = [floor.root / str(number) for number in range(len(small))]
        for path in ours:
            path.stat()
        ours[0].read_bytes()
        for operation, count in (
            ("getattr", 20_000),
            ("lookup", len(small)),
            ("open", 10_000),
            ("read", 20_000),
        ):
            contenders = [
                Contender(name, partial(_mean_us, client, operation, count, paths))
                for name, paths in (("attachfs", ours), (_FLOOR, theirs))
            ]
            figures = alternate(contenders, runs=bench.runs if bench.quick else max(bench.runs, 5))
            rows.append(
                Row(
                    f"op-{operation}", f"{operation}, uncached", "us", figures, [Limit(2.5, _FLOOR)]
                )
            )
    return rows


def _mean_us(client: Path, operation: str, count: int, paths: list[Path]) -> float:
    if operation == "lookup":
        forget_names()
        time.sleep(0.2)  # what it makes the kernel forget, it tells us: that is not timed
        for directory in {path.parent for path in paths}:
            directory.stat()
    printed = run("taskset", "-c", str(_CORE), client, operation, str(count), *paths)
    return float(printed) / 1e3


def _latencies_ms(path: Path, program: subprocess.Popen[bytes]) -> list[float]:
    """Read blocks of a file past the page cache until a program ends; returns the times taken."""
    latencies = []
    blocks = path.stat().st_size // _READ_BYTES
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, _READ_BYTES)  # aligned, as O_DIRECT wants it
    number = 0
    while program.poll() is None:
        number += 1
        offset = number * 7 % blocks * _READ_BYTES
        begin_ns = time.perf_counter_ns()
        os.preadv(descriptor, [buffer], offset)
        latencies.append((time.perf_counter_ns() - begin_ns) / 1e6)
        time.sleep(_PAUSE_S)
    os.close(descriptor)
    return latencies
