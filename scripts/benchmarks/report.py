"""The rows as a table of Markdown, and in a file, as JSON."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from benchmarks.bench import RCLONE, Limit, Row
from harness.processes import printed_s
from harness.tables import table

_WHOLE_FROM: Final = 100  # three digits are enough


def machine() -> dict[str, str]:
    """Return what was measured on, and with which versions."""
    cpus = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": cpus[0] if cpus else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory_kib / 2**20:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{
            name: metadata.version(name)
            for name in ("attachfs", "pyfuse3", "trio", "httpx", "urllib3", "datatrails-archivist")
        },
        "libfuse": _version("pkg-config", "--modversion", "fuse3"),
        "nginx": _version("sh", "-c", "nginx -v 2>&1").split("/")[-1],
        "curl": _version("curl", "--version").split()[1],
        "openssl": _version("openssl", "version").split()[1],
        "rclone": _version(RCLONE, "version").split()[1],
    }


def told(rows: list[Row]) -> str:
    """Return the table: medians, and the ratios of attachfs to its peers, lower is better."""
    head = ("row", "workload", "attachfs", "peers", "at most", "reached")
    return "\n".join(table(head, map(_cells, rows)))


def write(rows: list[Row], path: Path) -> None:
    """Write all figures to a file."""
    content: dict[str, Any] = {
        "machine": machine(),
        "rows": [
            {
                "row": row.name,
                "workload": row.workload,
                "unit": row.unit,
                "medians": {name: row.median(name) for name in row.figures},
                "figures": row.figures,
                "limits": [
                    {
                        "peer": limit.peer,
                        "at_most": limit.most,
                        "reached": row.reached(limit),
                        "kept": row.reached(limit) <= limit.most,
                    }
                    for limit in row.limits
                ],
            }
            for row in rows
        ],
    }
    path.write_text(json.dumps(content, indent=2) + "\n")


def _version(*command: str) -> str:
    return printed_s(*command)[1][0]


def _cells(row: Row) -> tuple[str, ...]:
    peers = (f"{name} {_figure(row.median(name))}" for name in row.figures if name != "attachfs")
    bounds = (_bound(row, limit) for limit in row.limits)
    verdicts = (_verdict(row, limit) for limit in row.limits)
    ours = f"{_figure(row.median())} {row.unit}"
    return row.name, row.workload, ours, *map("; ".join, (peers, bounds, verdicts))


def _figure(value: float) -> str:
    return f"{value:.3g}" if value < _WHOLE_FROM else f"{value:.0f}"


def _bound(row: Row, limit: Limit) -> str:
    return f"{limit.most:g} {row.unit}" if limit.peer is None else f"{limit.most:g} x {limit.peer}"


def _verdict(row: Row, limit: Limit) -> str:
    reached = row.reached(limit)
    word = "kept" if reached <= limit.most else "**missed**"
    return f"{_figure(reached)} {word}"
