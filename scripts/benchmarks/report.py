"""All figures in a file, as JSON, with what they were measured on."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import psutil

from benchmarks.bench import RCLONE
from harness.processes import MeasurementError, printed_s
from harness.rows import OURS, Row, cells, figure
from harness.tables import table

_PACKAGES: Final = ("attachfs", "pyfuse3", "trio", "httpx", "datatrails-archivist")
# What prints the version of a program, and where: in which part of the first line.
_PROGRAMS: Final[dict[str, tuple[str, int]]] = {
    "libfuse": ("pkg-config --modversion fuse3", 0),
    "nginx": ("nginx -v 2>&1 | cut -d/ -f2-", 0),
    "curl": ("curl --version", 1),
    "openssl": ("openssl version", 1),
    "rclone": (f"'{RCLONE}' version", 1),
}
# By these, machines are told apart.
_SAME_MACHINE: Final = ("processor", "cores", "memory")
# What varies by less from run to run is no news; a peer's pace is taken off.
_WORSE: Final = 1.2
_BEGIN: Final = "<!-- figures by scripts/bench, which writes them here -->"
_END: Final = "<!-- end -->"


def machine() -> dict[str, str]:
    """Return what was measured on, and with which versions."""
    cpus = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": cpus[0] if cpus else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
        **{
            name: printed_s("sh", "-c", command)[1][0].split(" ")[part]
            for name, (command, part) in _PROGRAMS.items()
        },
    }


class Report(NamedTuple):
    """Hold figures of rows by their names, and the machines they were measured on, by date."""

    machines: dict[str, dict[str, str]]
    rows: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that `write` wrote; raises `MeasurementError`."""
        try:
            content = json.loads(path.read_text())
            return cls(content["machines"], {row["row"]: row for row in content["rows"]})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MeasurementError(
                f"cannot use {path}: {error!r}; give what --json wrote"
            ) from error

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        """Return the report of rows that have just been measured here."""
        here = machine()
        date = here["date"]
        return cls({date: here}, {row.name: row.as_json() | {"date": date} for row in rows})

    def with_older(self, older: Self) -> Self:
        """Return this one with rows of an older one that it has not."""
        rows = older.rows | self.rows
        machines = older.machines | self.machines
        dates = {row["date"] for row in rows.values()}
        return type(self)({date: machines[date] for date in machines if date in dates}, rows)

    def write(self, path: Path) -> None:
        """Write all figures to a file."""
        content = {"machines": self.machines, "rows": list(self.rows.values())}
        path.write_text(json.dumps(content, indent=1) + "\n")


def compared(now: Report, earlier: Report) -> str:
    """Return a table of what rows took earlier and take now.

    Raises `MeasurementError` where they were measured on different machines.
    """
    lines: list[tuple[str, ...]] = []
    for name, row in now.rows.items():
        before = earlier.rows.get(name)
        if before is None:
            continue
        ours, theirs = now.machines[row["date"]], earlier.machines[before["date"]]
        other = [key for key in _SAME_MACHINE if ours.get(key) != theirs.get(key)]
        if other:
            raise MeasurementError(f"{name} was measured on another machine: another {other[0]}")
        figures = [each["medians"][OURS] for each in (before, row)]
        peers = [each["medians"][peer] for peer in _peers(row, before) for each in (before, row)]
        ratio = figures[1] / figures[0]
        pace = peers[1] / peers[0] if peers else 1.0
        verdict = "**worse**" if ratio > _WORSE * max(pace, 1.0) else ""
        cells = (figure(figures[0]), figure(figures[1]), figure(ratio), figure(pace), verdict)
        lines.append((name, row["unit"], *cells))
    head = ("row", "unit", "before", "now", "ratio", "of a peer", "")
    return "\n".join(table(head, lines))


def _peers(row: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Return the first peer that both have, whose pace is that of the machine."""
    both = [name for name in row["medians"] if name != OURS and name in before["medians"]]
    return both[:1]


def document(report: Report, path: Path) -> None:
    """Write the figures into a document, between its two marks; raises `MeasurementError`."""
    before, begin, rest = path.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise MeasurementError(f"{path} has no place for figures: {_BEGIN} ... {_END}")
    path.write_text(f"{before}{_BEGIN}\n\n{_made(report)}\n{_END}{after}")


def _made(report: Report) -> str:
    lines = ["| row | workload | attachfs | peers | at most | reached | on |", "|---" * 7 + "|"]
    lines += (f"| {' | '.join((*cells(row), row['date']))} |" for row in report.rows.values())
    for date, here in sorted(report.machines.items()):
        names = (name for name in here if name not in (*_SAME_MACHINE, "date"))
        versions = ", ".join(f"{name} {here[name]}" for name in names)
        machine = f"{here['cores']} cores of {here['processor']}, {here['memory']}"
        lines += ["", f"On {date}: {machine}; {versions}."]
    return "\n".join(lines) + "\n"
