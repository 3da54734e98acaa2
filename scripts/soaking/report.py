"""What a soak has shown, in figures and in words."""

from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any, Final

from harness.faults import REQUESTS
from harness.gauges import Sample, medians
from harness.tables import table
from soaking.readers import Failure

_MIB: Final = 1 << 20
_SHARES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "longest": 1.0}


@dataclass
class Outcome:
    """What was read, how long it took in seconds, what was met, what is wrong."""

    seconds: float
    readers: int
    files: int
    faults: float
    met: dict[str, int] = field(default_factory=dict)
    took_s: dict[str, list[float]] = field(default_factory=dict)
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    bytes_read: int = 0
    idle: Sample | None = None
    seen: list[Sample] = field(default_factory=list)
    settled: Sample | None = None
    warnings: int = 0
    ended_early: bool = False
    wrong: list[str] = field(default_factory=list)

    @property
    def operations(self) -> int:
        """Count what readers did."""
        return sum(map(len, self.took_s.values()))

    @property
    def verdict(self) -> str:
        """`ok` where something was read and nothing is wrong, else `bad`."""
        return "ok" if self.bytes_read and not self.failed and not self.wrong else "bad"

    @property
    def latency_ms(self) -> dict[str, dict[str, float]]:
        """For each kind of look, the times that shares of all are not above, in milliseconds."""
        return {
            what: {name: quantile(times_s, share) * 1000 for name, share in _SHARES.items()}
            for what, times_s in sorted(self.took_s.items())
        }


def quantile(times_s: list[float], share: float) -> float:
    """Return the time in seconds that so large a share of all is not above."""
    return sorted(times_s)[max(ceil(share * len(times_s)) - 1, 0)]


def figures(outcome: Outcome) -> dict[str, Any]:
    """Return all that can be counted, as JSON has it."""
    counted = asdict(outcome)
    del counted["took_s"]
    latency_ms = {
        what: {"times": len(outcome.took_s[what])} | {name: round(ms, 2) for name, ms in at.items()}
        for what, at in outcome.latency_ms.items()
    }
    operations, verdict = outcome.operations, outcome.verdict
    return counted | {"operations": operations, "latency_ms": latency_ms, "verdict": verdict}


def told(outcome: Outcome) -> str:
    """Return the report."""
    met = sorted((name, times) for name, times in outcome.met.items() if name != REQUESTS)
    latencies = [
        (what, f"{len(outcome.took_s[what])}", *(f"{ms:.1f}" for ms in at.values()))
        for what, at in outcome.latency_ms.items()
    ]
    lines = [
        f"{outcome.readers} readers, {outcome.files} files, {outcome.seconds:g} s"
        + (", ended early: " if outcome.ended_early else ": ")
        + f"{outcome.operations} operations, {outcome.bytes_read / _MIB:.0f} MiB read and compared",
        f"{outcome.met.get(REQUESTS, 0)} requests, {sum(times for _, times in met)} met a fault: "
        + (", ".join(f"{name} ({times})" for name, times in met) or "none"),
        f"{outcome.warnings} warnings in the log",
        *table(("ms", "times", *_SHARES), latencies),
        *_gauges(outcome),
        *(f"FAILED: {failure}" for failure in outcome.failures),
        *(f"WRONG: {wrong}" for wrong in outcome.wrong),
        f"failed: {outcome.failed}; verdict: {outcome.verdict}",
    ]
    return "\n".join(lines)


def _gauges(outcome: Outcome) -> list[str]:
    if outcome.idle is None or not outcome.seen:
        return []
    again = {} if outcome.settled is None else asdict(outcome.settled)
    columns: list[dict[str, Any]] = [asdict(outcome.idle), *medians(outcome.seen), again]
    rows = [
        [name, *(f"{each[name]:g}" if each else "?" for each in columns)] for name in columns[0]
    ]
    in_mib = (f"{each['memory_bytes'] / _MIB:.1f}" if each else "?" for each in columns)
    rows[-1] = ["memory, MiB", *in_mib]  # the last of all gauges
    return table(("", "idle", "warm", "end", "idle again"), rows)
