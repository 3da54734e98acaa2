"""The rows of the table: one module for each kind of workload."""

from collections.abc import Callable
from typing import Final

from benchmarks.bench import Bench
from benchmarks.rows import latency, many, memory, one
from benchmarks.timing import Row

ROWS: Final[dict[str, Callable[[Bench], list[Row]]]] = {
    "cold": one.cold,
    "cold-tls": one.cold_tls,
    "warm": one.warm,
    "restart": one.restart,
    "cp-50ms": many.cp_50ms,
    "cp-0": many.cp_0,
    "store": many.store,
    "first-byte": latency.first_byte,
    "quiet": latency.quiet,
    "op": latency.op,
    "memory": memory.memory,
}
