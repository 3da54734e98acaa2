"""What a process holds, second by second, and whether it has grown."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from attachfs.archive.transport import MAX_CONNECTIONS
from attachfs.errors import AttachfsError
from attachfs.mount.control import ask

_EVERY_S: Final = 1.0
_ANSWER_S: Final = 10.0
# Fewer say nothing of a beginning and an end.
_MIN_LOOKS: Final = 8
# What comes and goes with the readers under way.
_SLACK: Final = {"descriptors": 16, "threads": 2, "tasks": 16, "memory_bytes": 8 << 20}
_MEMORY_SHARE: Final = 0.05
# pyfuse3 begins with one task that takes requests, and keeps five of those it has come to need.
_IDLE_TASKS: Final = 4
# Connections are kept for what comes next: those for small answers, and for large ones.
_IDLE_SOCKETS: Final = MAX_CONNECTIONS + 8
# What failed holds a download, and its file, until the garbage of cycles is collected.
_IDLE_FILES: Final = 2


@dataclass(frozen=True)
class Gauges:
    """Count descriptors, sockets among them, threads, tasks and bytes of memory of no file."""

    descriptors: int
    sockets: int
    threads: int
    tasks: int
    memory_bytes: int


@dataclass(frozen=True)
class Watch:
    """What was seen each second, and why at times nothing was."""

    seen: list[Gauges] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def look(pid: int, mountpoint: Path) -> Gauges:
    """Look at the process of a mount; raises `OSError` and `AttachfsError` where it is gone."""
    process = Path(f"/proc/{pid}")
    lines = (process / "smaps_rollup").read_text().splitlines()
    (anonymous,) = (line.split()[1] for line in lines if line.startswith("Anonymous:"))
    status = ask(mountpoint, {"command": "status"}, timeout_s=_ANSWER_S)
    targets = _descriptors(process / "fd")
    return Gauges(
        descriptors=len(targets),
        sockets=sum(target.startswith("socket:") for target in targets),
        threads=sum(1 for _ in (process / "task").iterdir()),
        tasks=status["tasks"],
        memory_bytes=int(anonymous) * 1024,
    )


def _descriptors(directory: Path) -> list[str]:
    targets: list[str] = []
    for descriptor in directory.iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            targets.append(str(descriptor.readlink()))
    return targets


@contextmanager
def watching(pid: int, mountpoint: Path) -> Iterator[Watch]:
    """Look once a second during the block."""
    watch = Watch()
    over = threading.Event()

    def run() -> None:
        while not over.wait(_EVERY_S):
            try:
                watch.seen.append(look(pid, mountpoint))
            except (OSError, AttachfsError) as error:
                watch.troubles.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def growth(seen: list[Gauges]) -> list[str]:
    """Return what has grown: the last fifth beside the one after the warm-up of a quarter."""
    if len(seen) < _MIN_LOOKS:
        return [f"{len(seen)} looks at the mount are too few to tell whether anything grows"]
    before, after = windows(seen)
    grown: list[str] = []
    for name, slack in _SLACK.items():
        was, became = (median(asdict(each)[name] for each in some) for some in (before, after))
        if name == "memory_bytes":
            slack = max(slack, int(was * _MEMORY_SHARE))  # noqa: PLW2901 - a share of what it was
        if became > was + slack:
            grown.append(f"{name}: {was:.0f} after the warm-up, {became:.0f} at the end")
    return grown


def windows(seen: list[Gauges]) -> tuple[list[Gauges], list[Gauges]]:
    """Return the fifth after the warm-up, and the last one."""
    fifth, warm = max(len(seen) // 5, 1), len(seen) // 4
    return seen[warm : warm + fifth], seen[-fifth:]


def left(before: Gauges, now: Gauges) -> list[str]:
    """Return what an idle mount holds that it did not hold before the load, nor has a use for."""
    files = "descriptors of no socket"
    allowed = {"tasks": _IDLE_TASKS, "sockets": _IDLE_SOCKETS, "threads": 2, files: _IDLE_FILES}
    was, has = ({**asdict(each), files: each.descriptors - each.sockets} for each in (before, now))
    return [
        f"{name}: {was[name]} before the load, {has[name]} left of it"
        for name, more in allowed.items()
        if has[name] > was[name] + more
    ]


def settled(
    pid: int, mountpoint: Path, before: Gauges, *, patience_s: float
) -> tuple[Gauges, list[str]]:
    """Wait until a mount without readers has let go of all; return what it holds, what too much.

    Raises `OSError` and `AttachfsError` where it is gone.
    """
    deadline_s = time.monotonic() + patience_s
    while True:
        now = look(pid, mountpoint)
        leaked = left(before, now)
        if not leaked or time.monotonic() > deadline_s:
            return now, leaked
        time.sleep(_EVERY_S)
