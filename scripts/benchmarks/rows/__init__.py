"""The rows of the table: one module for each kind of workload."""

from collections.abc import Callable
from typing import Final

from benchmarks.bench import Bench
from benchmarks.rows import (
    cluster,
    inodes,
    latency,
    listing,
    many,
    memory,
    one,
    shared,
    spec,
    starting,
    walking,
)
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
    "ls-l-50ms": listing.ls_l_50ms,
    "ls-50ms": listing.ls_50ms,
    "ls-100k": listing.ls_100k,
    "ls-100k-first": listing.ls_100k_first,
    "find-10k": walking.find_10k,
    "restart-find": walking.restart_find,
    "find-by-name": walking.find_by_name,
    "inodes": inodes.inodes,
    "shared": shared.cat,
    "fsspec": spec.cat,
    "dask": cluster.verify,
    "start": starting.starting,
}
