"""What a soak has shown, in words."""

from dataclasses import dataclass
from typing import Any

_MIB = 1 << 20


@dataclass(frozen=True)
class Outcome:
    """What was read, how long it took in seconds, what was met, what is wrong."""

    seconds: float
    readers: int
    files: int
    met: dict[str, int]
    took_s: dict[str, list[float]]
    failed: int
    bytes_read: int
    seen: list[dict[str, Any]]
    wrong: list[str]


def quantile(times_s: list[float], share: float) -> float:
    """Return the time in seconds that so large a share of all is not above."""
    return sorted(times_s)[min(int(share * len(times_s)), len(times_s) - 1)]


def told(outcome: Outcome) -> str:
    """Return the report."""
    faults = {name: times for name, times in outcome.met.items() if name != "requests"}
    operations = sum(map(len, outcome.took_s.values()))
    what = (
        f"{outcome.readers} readers, {outcome.files} files, {outcome.seconds:g} s: "
        f"{operations} operations, {outcome.bytes_read / _MIB:.0f} MiB read and compared; "
        f"{outcome.met.get('requests', 0)} requests, {sum(faults.values())} met a fault"
    )
    lines = [
        what,
        "  " + ", ".join(f"{name} {times}" for name, times in sorted(faults.items())),
        f"{'':8}{'times':>8}{'p50':>9}{'p99':>9}{'p99.9':>9}{'longest':>9}  ms",
    ]
    for look, times_s in sorted(outcome.took_s.items()):
        shares = [quantile(times_s, share) * 1000 for share in (0.5, 0.99, 0.999, 1)]
        figures = "".join(f"{ms:9.1f}" for ms in shares)
        lines.append(f"{look:8}{len(times_s):8}{figures}")
    if outcome.seen:
        warm = outcome.seen[len(outcome.seen) // 4]
        for name, value in warm.items():
            last = outcome.seen[-1][name]
            unit = f"{value / _MIB:.1f} -> {last / _MIB:.1f} MiB" if "bytes" in name else ""
            lines.append(f"{name}: {unit or f'{value} -> {last}'}, after the warm-up -> at the end")
    lines.append(f"failed: {outcome.failed}")
    lines += [f"WRONG: {wrong}" for wrong in outcome.wrong] or ["all is well"]
    return "\n".join(lines)
