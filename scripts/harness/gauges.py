"""What a process holds: memory, descriptors, threads, tasks; and whether that has grown."""

import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from attachfs.archive.http.pool import MAX_CONNECTIONS
from attachfs.mount.client import ask
from harness.mounts import Mount

SAMPLE_EVERY_S: Final = 1.0
_ANSWER_S: Final = 10.0
_TICK_S: Final = 0.02
# Fewer samples have no beginning and end to compare.
_MIN_SAMPLES: Final = 8
# What comes and goes with the readers of the moment.
_SLACK: Final = {"descriptors": 16, "threads": 2, "tasks": 16, "memory_bytes": 8 << 20}
_MEMORY_SHARE: Final = 0.05
# What an idle mount may keep: pyfuse3 starts with one task that takes requests and keeps five;
# connections for small and for large answers stay open for the next requests; a failed download
# holds its file until the garbage of cycles is collected.
_FILES: Final = "descriptors of no socket"
_KEPT: Final = {"tasks": 4, "sockets": MAX_CONNECTIONS + 8, "threads": 2, _FILES: 2}
_BLOCK_BYTES: Final = 512  # of stat(2)


def memory_bytes(pid: int, field: str) -> int:
    """Return a size in /proc/<pid>/status: VmHWM (peak), VmRSS, RssAnon (of no file).

    Raises `OSError` where there is none: a zombie has no memory.
    """
    _, found, rest = Path(f"/proc/{pid}/status").read_text().partition(f"\n{field}:")
    if not found:
        raise OSError(f"/proc/{pid}/status has no {field}")
    return int(rest.split()[0]) * 1024


def disk_bytes(path: Path) -> int:
    """Return the disk space that a file, or all below a directory, takes."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(file.stat().st_blocks * _BLOCK_BYTES for file in files)


@dataclass(frozen=True)
class Sample:
    """Open descriptors, sockets among them, threads, tasks, and bytes of memory of no file."""

    descriptors: int
    sockets: int
    threads: int
    tasks: int
    memory_bytes: int


def sample(mount: Mount) -> Sample:
    """Measure a mount's process; raises `OSError` and `AttachfsError` where it is gone."""
    pid = mount.process.pid
    targets: list[str] = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in the meantime
            targets.append(str(descriptor.readlink()))
    return Sample(
        descriptors=len(targets),
        sockets=sum(target.startswith("socket:") for target in targets),
        threads=len(list(Path(f"/proc/{pid}/task").iterdir())),
        tasks=ask(mount.path, {"command": "status"}, timeout_s=_ANSWER_S)["tasks"],
        memory_bytes=memory_bytes(pid, "RssAnon"),
    )


def growth(samples: Sequence[Sample]) -> list[str]:
    """Return what has grown from the fifth after the warm-up to the last fifth."""
    if len(samples) < _MIN_SAMPLES:
        return [f"{len(samples)} samples of the mount are too few to detect growth"]
    was, became = medians(samples)
    memory_slack = max(_SLACK["memory_bytes"], int(was["memory_bytes"] * _MEMORY_SHARE))
    return [
        f"{name}: {was[name]:.0f} after the warm-up, {became[name]:.0f} at the end"
        for name, slack in {**_SLACK, "memory_bytes": memory_slack}.items()
        if became[name] > was[name] + slack
    ]


def medians(samples: Sequence[Sample]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the medians of the fifth after a warm-up of a quarter, and of the last fifth."""
    fifth, warm = max(len(samples) // 5, 1), len(samples) // 4
    windows = [list(map(asdict, some)) for some in (samples[warm : warm + fifth], samples[-fifth:])]
    first, last = ({name: median(each[name] for each in w) for name in w[0]} for w in windows)
    return first, last


def leaks(before: Sample, now: Sample) -> list[str]:
    """Return what an idle mount holds beyond what it held before the load and may keep."""
    was, has = ({**asdict(each), _FILES: each.descriptors - each.sockets} for each in (before, now))
    return [
        f"{name}: {was[name]} before the load, {has[name]} left of it"
        for name, kept in _KEPT.items()
        if has[name] > was[name] + kept
    ]


def settle(mount: Mount, before: Sample, *, patience_s: float) -> tuple[Sample, list[str]]:
    """Wait until an idle mount has released what the load took; return a sample and the leaks.

    Raises `OSError` and `AttachfsError` where it is gone.
    """
    deadline_s = time.monotonic() + patience_s
    while (leaked := leaks(before, now := sample(mount))) and time.monotonic() < deadline_s:
        time.sleep(SAMPLE_EVERY_S)
    return now, leaked


def cpu_s(pid: int) -> float:
    """Return the processor time of a process, in seconds."""
    return float(sum(psutil.Process(pid).cpu_times()[:2]))


def watch(process: subprocess.Popen[bytes]) -> tuple[float, int]:
    """Wait for a process; return its processor time in seconds and its peak memory in bytes.

    ru_maxrss is not used: it is at least what this process held when it forked.
    """
    peak_bytes = 0
    while True:
        with suppress(OSError):  # it has ended
            peak_bytes = memory_bytes(process.pid, "VmHWM")
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        if ended:
            process.returncode = os.waitstatus_to_exitcode(status)
            return used.ru_utime + used.ru_stime, peak_bytes
        time.sleep(_TICK_S)
