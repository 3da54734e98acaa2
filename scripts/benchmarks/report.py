"""All figures in a file, as JSON, with what they were measured on."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

import psutil

from benchmarks.bench import RCLONE
from harness.processes import printed_s
from harness.rows import Row

_PACKAGES: Final = ("attachfs", "pyfuse3", "trio", "httpx", "datatrails-archivist")
# What prints the version of a program, and where: in which part of the first line.
_PROGRAMS: Final[dict[str, tuple[str, int]]] = {
    "libfuse": ("pkg-config --modversion fuse3", 0),
    "nginx": ("nginx -v 2>&1 | cut -d/ -f2-", 0),
    "curl": ("curl --version", 1),
    "openssl": ("openssl version", 1),
    "rclone": (f"'{RCLONE}' version", 1),
}


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


def write(rows: Sequence[Row], path: Path) -> None:
    """Write all figures to a file."""
    content = {"machine": machine(), "rows": [row.as_json() for row in rows]}
    path.write_text(json.dumps(content, indent=2) + "\n")
