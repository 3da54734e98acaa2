"""The daemon: the first byte, a read beside a download, the floor of each operation, memory."""

import mmap
import os
import shlex
import statistics
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench, Mounting, forget_names, row
from benchmarks.data import MIB
from harness.gauges import memory_bytes
from harness.processes import compiled, elapsed_s, printed_s
from harness.rows import Limit, Row
from harness.servers import round_trips

_CORE: Final = 0
_READ_BYTES: Final = 4096
_PAUSE_S: Final = 0.0005
_OUTSIDE: Final = "idle, beside curl and openssl"
_FLOOR: Final = "C libfuse"
_OPERATIONS: Final = {"getattr": 20_000, "lookup": 500, "open": 10_000, "read": 20_000}


@row
def first_byte(bench: Bench) -> Iterator[Row]:
    """Read the first 4 KiB of 256 MiB by a path that was not looked up before."""

    def ours() -> float:
        with bench.attachfs(bench.servers.files.delayed) as mount:
            # Connections are warm, and know nothing of what comes: another asset was read.
            (mount.path / bench.data.few[0].path).read_bytes()
            begin_s = time.perf_counter()
            with (mount.path / bench.data.big.path).open("rb", buffering=0) as file:
                file.read(_READ_BYTES)
            return round_trips(time.perf_counter() - begin_s)

    workload = "first 4 KiB of 256 MiB by direct path, warm connection"
    yield bench.compare("first-byte", workload, "round trips", {"attachfs": ours}, Limit(4))


@row
def quiet(bench: Bench) -> Iterator[Row]:
    """Read a cached file, past the page cache, while a large one is being downloaded."""
    loud = bench.large
    bench.data.warm([loud])

    def p99_ms(*beside: str) -> float:
        with bench.attachfs(bench.servers.files.plain) as mount:
            ready = mount.path / bench.data.few[0].path
            ready.read_bytes()
            with subprocess.Popen(beside, stdout=subprocess.DEVNULL, cwd=mount.path) as program:
                latencies = _latencies_ms(ready, program)
            return statistics.quantiles(latencies, n=100)[98]

    url = bench.bytes_url(bench.servers.files.plain, loud)
    outside = " ".join([*map(shlex.quote, [*bench.curl(), url]), "| openssl dgst -sha256"])
    contenders = {
        "attachfs": partial(p99_ms, "cat", loud.path),
        _OUTSIDE: partial(p99_ms, "sh", "-c", outside),
        "attachfs, no download": partial(p99_ms, "sleep", "2"),
    }
    workload = f"p99 of a 4 KiB read while {loud.size_bytes >> 20} MiB download"
    yield bench.compare("quiet", workload, "ms", contenders, Limit(1.5, _OUTSIDE))


@row
def op(bench: Bench) -> Iterator[Row]:
    """Time single operations, client and daemon on one core, against libfuse in C."""
    client = compiled("operations", bench.work)
    runs = 1 if bench.quick else 5
    with (
        bench.attachfs(bench.servers.files.plain, core=_CORE) as mount,
        bench.floor(core=_CORE) as floor,
    ):
        ours = [mount.path / blob.path for blob in bench.data.small[:500]]
        theirs = [floor.path / str(number) for number in range(len(ours))]
        for path in ours:
            path.stat()
        ours[0].read_bytes()
        for name, count in _OPERATIONS.items():
            mean_us = partial(_mean_us, client, name, count)
            contenders = {"attachfs": partial(mean_us, ours), _FLOOR: partial(mean_us, theirs)}
            limit, workload = Limit(2.5, _FLOOR), f"{name}, uncached"
            yield bench.compare(f"op-{name}", workload, "us", contenders, limit, runs=runs)


@row
def memory(bench: Bench) -> Iterator[Row]:
    """Measure the resident size, at rest and at its peak."""
    blob, url = bench.large, bench.servers.files.plain
    bench.data.warm([blob])

    def held_mib(mounting: Mounting, field: str, *command: str) -> float:
        with mounting() as mount:
            elapsed_s(*command, cwd=mount.path)
            return memory_bytes(mount.process.pid, field) / MIB

    attachfs, rclone = partial(bench.attachfs, url), partial(bench.rclone, url)
    at_rest = {"attachfs": partial(held_mib, attachfs, "VmRSS", "stat", "assets")}
    workload, limit = "resident size at rest", Limit(80)
    yield bench.compare("memory-rest", workload, "MiB", at_rest, limit, warmups=0)
    peak = {
        name: partial(held_mib, mounting, "VmHWM", "cat", blob.path)
        for name, mounting in (("attachfs", attachfs), ("rclone off", rclone))
    }
    workload = f"peak resident size while cat of {blob.size_bytes >> 20} MiB"
    yield bench.compare("memory", workload, "MiB", peak, Limit(150), slow=True)


def _mean_us(client: Path, operation: str, count: int, paths: list[Path]) -> float:
    if operation == "lookup":
        forget_names()
        time.sleep(0.2)  # the kernel reports what it forgets to the daemon: that is not timed
        for directory in {path.parent for path in paths}:
            directory.stat()
    _, printed = printed_s("taskset", "-c", str(_CORE), client, operation, str(count), *paths)
    return float(printed[0]) / 1e3


def _latencies_ms(path: Path, program: subprocess.Popen[bytes]) -> list[float]:
    """Read blocks of a file past the page cache until a program ends; return the times taken."""
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
