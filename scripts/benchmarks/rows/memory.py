"""How much memory the daemon takes: at rest, and while a large file passes through."""

from benchmarks.bench import Bench
from benchmarks.data import MIB
from benchmarks.timing import Contender, Limit, Row, alternate, elapsed_s


def memory(bench: Bench) -> list[Row]:
    """Take the resident size, at rest and at its peak."""
    blob = bench.data.big if bench.quick else bench.data.huge
    bench.data.warm([blob])

    def rest() -> float:
        with bench.mounts.attachfs(bench.servers.plain) as mounted:
            (mounted.root / "assets").stat()
            return mounted.status_bytes("VmRSS") / MIB

    def peak() -> float:
        with bench.mounts.attachfs(bench.servers.plain) as mounted:
            elapsed_s("cat", mounted.path(blob))
            return mounted.status_bytes("VmHWM") / MIB

    def rclone() -> float:
        with bench.mounts.rclone(bench.servers.plain) as mounted:
            elapsed_s("cat", mounted.root / blob.asset / blob.attachment)
            return mounted.status_bytes("VmHWM") / MIB

    size = f"{blob.size_bytes >> 20} MiB"
    at_rest = alternate([Contender("attachfs", rest)], runs=bench.runs, warmups=0)
    at_peak = alternate(
        [Contender("attachfs", peak), Contender("rclone off", rclone)],
        runs=min(bench.runs, 3),
        warmups=0,
    )
    return [
        Row("memory-rest", "resident size at rest", "MiB", at_rest, [Limit(80)]),
        Row("memory", f"peak resident size while cat of {size}", "MiB", at_peak, [Limit(150)]),
    ]
