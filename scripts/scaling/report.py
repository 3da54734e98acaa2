"""Figures as tables of Markdown: what was measured, what follows from it."""

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from typing import Final

from harness.archive import KINDS
from harness.tables import table
from scaling.estate import ATTACHMENTS_AN_ASSET, Size
from scaling.model import REQUEST_CPU_S, Bounds, Cost, Work, cost
from scaling.stages import Figures, Run

_MB: Final = 1e6
_HOUR_S: Final = 3600.0
_DAY_S: Final = 86_400.0
_STAGES: Final = {
    "first": "verify, first time",
    "again": "verify, from the cache",
    "refetch": "verify --refetch",
    "prefetch": "prefetch",
    "list": "ls -lR of a mount",
    "limited": "verify, {rate:g} requests/s",
    "limited-ttl": "the same, --metadata-ttl 1h",
}
# What the estate is asked about: ten million attachments, of a million bytes on average.
LARGE: Final = Size(10_000_000 // ATTACHMENTS_AN_ASSET)
_BODY_BYTES: Final = 1_000_000.0
_RATES: Final = (50.0, 100.0, 500.0)
_RATE: Final = 100.0


def told(figures: Figures, smaller: Figures | None) -> str:
    """Return all tables that the figures suffice for."""
    tables = [_measured(figures), _kinds(figures)]
    if smaller is not None:
        tables.append(_predicted(figures, smaller))
    wired = figures if "wire" in figures.runs else smaller
    if wired is not None and "wire" in wired.runs and "start" in figures.runs:
        tables += [_large(figures, wired.request_bytes), _knobs(figures, wired.request_bytes)]
    return "\n\n".join("\n".join(lines) for lines in tables)


def _measured(figures: Figures) -> list[str]:
    size, kept = figures.size, figures.kept
    rows = []
    for _, title, run in _stages(figures):
        n = run.all_requests
        rates = (f"{run.seconds:.1f}", f"{run.cpu_s:.1f}", f"{n / run.seconds:.0f}")
        each = f"{n / size.attachments:.2f}"
        rows.append((title, f"{n:,}", each, *rates, f"{run.peak_bytes / _MB:.0f}"))
    title = f"{size.attachments:,} attachments, {size.assets:,} assets, {size.events:,} events, "
    head = ("", "requests", "an attachment", "s", "processor s", "requests/s", "peak MB")
    lines = [f"{title}{size.places:,} places:", "", *table(head, rows)]
    if kept is not None:
        held = "; ".join(
            f"{name} {kept[key] / _MB:.1f} MB, {kept[key] / n:.0f} B each"
            for name, key, n in (
                ("index", "index_bytes", size.places),
                ("report.json", "report_bytes", size.places),
                ("objects", "objects_bytes", size.attachments),
            )
        )
        lines += ["", f"On the disk: {held}."]
    return lines


def _kinds(figures: Figures) -> list[str]:
    rows = []
    for _, title, run in _stages(figures):
        counts = [run.requests.get(kind, 0) for kind in KINDS]
        counts.append(run.all_requests - sum(counts))
        rows.append((title, *(f"{count:,}" for count in counts)))
    lines = table(("requests", *KINDS, "others"), rows)
    if "first" in figures.runs:
        run = figures.runs["first"]
        sizes = (f"{kind} {run.bytes[kind] / run.requests[kind]:,.0f}" for kind in run.bytes)
        lines += ["", f"Bytes of an answer, without headers: {'; '.join(sizes)}."]
    if "wire" in figures.runs:
        lines += ["", f"Bytes of a request, all but bodies: {figures.request_bytes:,.0f}."]
    return lines


def _predicted(figures: Figures, smaller: Figures) -> list[str]:
    rows: list[tuple[str, ...]] = []
    for name, title, run in _stages(figures):
        if name not in smaller.runs:
            continue
        # The embedded archive answers so many, which is as good as a limit.
        answered = Bounds(run.all_requests / run.seconds, bytes_per_s=inf)
        work = Work.of_stage(smaller, name)
        reckoned = cost(work, figures.size, answered, body_bytes=0, request_bytes=0)
        for what, predicted, measured in (
            ("requests", reckoned.requests, run.all_requests),
            ("processor s", reckoned.times_s["process"], run.cpu_s),
            ("peak MB", reckoned.memory_bytes / _MB, run.peak_bytes / _MB),
        ):
            off = f"{predicted / measured - 1:+.0%}"  # as a share of what was measured
            rows.append((title, what, f"{predicted:,.0f}", f"{measured:,.0f}", off))
    return table(("", "", "predicted", "measured", "off by"), rows)


def _large(figures: Figures, request_bytes: float) -> list[str]:
    rows = []
    for name, title, _ in _stages(figures):
        if name.startswith("limited"):
            continue
        work = Work.of_stage(figures, name)
        if name == "again":  # a quarter later, when no cached scan result is valid any more
            work = replace(work, infos=1.0, cpu_s=work.cpu_s + REQUEST_CPU_S)
        costs = [_cost(work, Bounds(rate), request_bytes) for rate in _RATES]
        times = (f"{_time(each.seconds)} ({each.bound})" for each in costs)
        rows.append((title, *_traffic(costs[0]), *times))
    rates = (f"at {rate:g}/s" for rate in _RATES)
    return table(("10 M attachments, 10 TB", "requests at 50/s", "egress", *rates), rows)


def _knobs(figures: Figures, request_bytes: float) -> list[str]:
    first = Work.of_stage(figures, "first")
    usual = Bounds(_RATE)
    choices: dict[str, tuple[Work, Bounds]] = {
        f"{_RATE:g} requests/s, 125 MB/s, one process": (first, usual),
        "--metadata-ttl 6h": (first, replace(usual, ttl_s=6 * _HOUR_S)),
        "500 requests/s": (first, replace(usual, rate=500)),
        "no limit": (first, replace(usual, rate=0)),
        "no limit, 50 MB/s": (first, replace(usual, rate=0, bytes_per_s=50e6)),
        "no limit, 4 processes": (first, replace(usual, rate=0, workers=4)),
        "no limit, 4 processes, 1 GB/s": (first, Bounds(0, 1e9, 4)),
        "no limit, 16 processes, 1 GB/s": (first, Bounds(0, 1e9, 16)),
        "a shared store that has all bodies": (replace(first, bodies=0), usual),
    }
    rows = []
    for what, (work, bounds) in choices.items():
        each = _cost(work, bounds, request_bytes)
        memory = f"{each.memory_bytes / 1e9:.1f} GB"
        rows.append((what, *_traffic(each), _time(each.seconds), each.bound, memory))
    head = ("first verification", "requests", "egress", "time", "bound by", "memory a process")
    return table(head, rows)


def _cost(work: Work, bounds: Bounds, request_bytes: float) -> Cost:
    return cost(work, LARGE, bounds, body_bytes=_BODY_BYTES, request_bytes=request_bytes)


def _traffic(each: Cost) -> tuple[str, str]:
    return f"{each.requests / 1e6:.0f} M", f"{each.egress_bytes / 1e12:.2f} TB"


def _stages(figures: Figures) -> Iterator[tuple[str, str, Run]]:
    """Yield the name, the title and the run of each stage that tables show."""
    for name, title in _STAGES.items():
        if name in figures.runs:
            yield name, title.format(rate=figures.rate), figures.runs[name]


def _time(seconds: float) -> str:
    return f"{seconds / _DAY_S:.1f} d" if seconds >= 2 * _DAY_S else f"{seconds / _HOUR_S:.1f} h"
