"""What a process holds, second by second, and whether it has grown."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

from attachfs.errors import AttachfsError
from attachfs.mount.control import ask

_EVERY_S: Final = 1.0
# What comes and goes with the readers under way.
_SLACK: Final = {"descriptors": 16, "threads": 2, "tasks": 16, "memory_bytes": 8 << 20}
_MEMORY_SHARE: Final = 0.05
# pyfuse3 begins with one task that takes requests, and keeps five of those it has come to need.
_IDLE_TASKS: Final = 4


@dataclass(frozen=True)
class Gauges:
    """Count descriptors, threads, tasks and bytes of memory that are no file's."""

    descriptors: int
    threads: int
    tasks: int
    memory_bytes: int


def look(pid: int, mountpoint: Path) -> Gauges:
    """Look at the process of a mount; raises `OSError` and `AttachfsError` where it is gone."""
    process = Path(f"/proc/{pid}")
    lines = (process / "smaps_rollup").read_text().splitlines()
    (anonymous,) = (line.split()[1] for line in lines if line.startswith("Anonymous:"))
    status = ask(mountpoint, {"command": "status"}, timeout_s=10)
    return Gauges(
        descriptors=sum(1 for _ in (process / "fd").iterdir()),
        threads=sum(1 for _ in (process / "task").iterdir()),
        tasks=status["tasks"],
        memory_bytes=int(anonymous) * 1024,
    )


@contextmanager
def watching(pid: int, mountpoint: Path) -> Iterator[list[Gauges]]:
    """Look once a second during the block; what was seen is in the list."""
    seen: list[Gauges] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY_S):
            try:
                seen.append(look(pid, mountpoint))
            except (OSError, AttachfsError):
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def growth(seen: list[Gauges]) -> list[str]:
    """Return what has grown: the last fifth beside the one after the warm-up of a quarter."""
    fifth = max(len(seen) // 5, 1)
    warm = len(seen) // 4
    before, after = seen[warm : warm + fifth], seen[-fifth:]
    grown: list[str] = []
    for name, slack in _SLACK.items():
        was, became = (median(asdict(each)[name] for each in some) for some in (before, after))
        if name == "memory_bytes":
            slack = max(slack, int(was * _MEMORY_SHARE))  # noqa: PLW2901 - a share of what it was
        if became > was + slack:
            grown.append(f"{name}: {was:g} after the warm-up, {became:g} at the end")
    return grown


def settled(pid: int, mountpoint: Path, before: Gauges, *, patience_s: float) -> list[str]:
    """Wait until no more tasks are left than before; return what stays."""
    deadline_s = time.monotonic() + patience_s
    while True:
        now = look(pid, mountpoint)
        if now.tasks <= before.tasks + _IDLE_TASKS:
            return []
        if time.monotonic() > deadline_s:
            return [f"tasks: {before.tasks} before, {now.tasks} left afterwards"]
        time.sleep(_EVERY_S)
