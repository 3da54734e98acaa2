"""What a soak has shown, in figures and in words."""

from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any, Final

from harness.faults import REQUESTS
from harness.gauges import Sample, medians
from harness.tables import table

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
    failures: list[dict[str, Any]] = field(default_factory=list)
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
    def ok(self) -> bool:
        """Whether something was read, and nothing is wrong."""
        return bool(self.bytes_read) and not self.failed and not self.wrong


def quantile(times_s: list[float], share: float) -> float:
    """Return the time in seconds that so large a share of all is not above."""
    return sorted(times_s)[max(ceil(share * len(times_s)) - 1, 0)]


def figures(outcome: Outcome) -> dict[str, Any]:
    """Return all that can be counted, as JSON has it."""
    counted = asdict(outcome)
    del counted["took_s"]
    latency_ms = {
        what: {"times": len(times_s)}
        | {name: round(_ms(times_s, share), 2) for name, share in _SHARES.items()}
        for what, times_s in sorted(outcome.took_s.items())
    }
    verdict = "ok" if outcome.ok else "bad"
    operations = outcome.operations
    return counted | {"operations": operations, "latency_ms": latency_ms, "verdict": verdict}


def told(outcome: Outcome) -> str:
    """Return the report."""
    faults = {name: times for name, times in outcome.met.items() if name != REQUESTS}
    lines = [
        f"{outcome.readers} readers, {outcome.files} files, {outcome.seconds:g} s"
        + (", ended early: " if outcome.ended_early else ": ")
        + f"{outcome.operations} operations, {outcome.bytes_read / _MIB:.0f} MiB read and compared",
        f"{outcome.met.get(REQUESTS, 0)} requests, {sum(faults.values())} met a fault: "
        + (", ".join(f"{name} ({times})" for name, times in sorted(faults.items())) or "none"),
        f"{outcome.warnings} warnings in the log",
        *_latencies(outcome),
        *_gauges(outcome),
        *(f"FAILED: {_failure(failure)}" for failure in outcome.failures),
        *(f"WRONG: {wrong}" for wrong in outcome.wrong),
        f"failed: {outcome.failed}; verdict: {'ok' if outcome.ok else 'bad'}",
    ]
    return "\n".join(lines)


def _ms(times_s: list[float], share: float) -> float:
    return quantile(times_s, share) * 1000


def _latencies(outcome: Outcome) -> list[str]:
    rows = [
        (what, f"{len(times_s)}", *(f"{_ms(times_s, share):.1f}" for share in _SHARES.values()))
        for what, times_s in sorted(outcome.took_s.items())
    ]
    return table(("ms", "times", *_SHARES), rows)


def _gauges(outcome: Outcome) -> list[str]:
    if outcome.idle is None or not outcome.seen:
        return []
    again = {} if outcome.settled is None else asdict(outcome.settled)
    columns = (asdict(outcome.idle), *medians(outcome.seen), again)
    rows = [
        (_titled(name), *(_shown(name, column.get(name)) for column in columns))
        for name in columns[0]
    ]
    return table(("", "idle", "warm", "end", "idle again"), rows)


def _titled(name: str) -> str:
    return "memory, MiB" if name == "memory_bytes" else name


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value / _MIB:.1f}" if name == "memory_bytes" else f"{value:g}"


def _failure(failure: dict[str, Any]) -> str:
    at = "" if failure["offset"] is None else f" at {failure['offset']}"
    return f"{failure['what']} {failure['path']}{at}: {failure['errno']} {failure['message']}"
