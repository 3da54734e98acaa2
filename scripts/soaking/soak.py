"""One soak, from the archive to the outcome."""

import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Final

from attachfs.errors import AttachfsError
from soaking import gauges
from soaking.evidence import Evidence
from soaking.mounts import TIMEOUT_S, Mounted, mounted
from soaking.processes import Lost, Process, running
from soaking.report import Outcome

_PROCESSES: Final = 2
_PATIENCE_S: Final = 60.0
# Several calls, each of which may wait for the server as long as the deadline.
HANG_S: Final = TIMEOUT_S + 10
_TICK_S: Final = 0.2


@dataclass(frozen=True)
class Plan:
    """How long to read, by how many, how many files, and which share of requests fails."""

    seconds: float
    readers: int
    files: int
    faults: float


def soak(plan: Plan, directory: Path, ended: Event) -> Outcome:
    """Read through a mount below a directory, until the time is over or it is ended."""
    outcome = Outcome(plan.seconds, plan.readers, plan.files, plan.faults)
    with ExitStack() as stack:
        archive = stack.enter_context(running("soaking.archive", str(plan.files)))
        serves = archive.heard(_PATIENCE_S)
        proxy = stack.enter_context(running("soaking.faults", serves["url"], str(plan.faults)))
        url = proxy.heard(_PATIENCE_S)["url"]
        evidence = Evidence(plan.files)
        all_bytes = sum(map(evidence.size_bytes, range(plan.files)))
        mount = stack.enter_context(
            mounted(url, serves["token_file"], directory, all_bytes=all_bytes)
        )
        (mount.path / serves["paths"][0]).stat()
        outcome.idle = gauges.look(mount.process.pid, mount.path)
        _load(plan, mount, serves["paths"], outcome, ended)
        _settle(mount, outcome)
        outcome.wrong += mount.end()
        outcome.wrong += mount.tracebacks()
        outcome.warnings = mount.warnings()
        proxy.finish()
        outcome.met = proxy.heard(_PATIENCE_S)["met"]
    return outcome


def _load(plan: Plan, mount: Mounted, paths: list[str], outcome: Outcome, ended: Event) -> None:
    """Have all readers read, and watch."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(running("soaking.readers"))
            for _ in range(min(_PROCESSES, plan.readers))
        ]
        for number, process in enumerate(processes):
            seeds = list(range(number, plan.readers, len(processes)))
            process.tell({"root": str(mount.path), "paths": paths, "seeds": seeds})
        with gauges.watching(mount.process.pid, mount.path) as watch:
            _wait(plan.seconds, mount, ended)
        outcome.ended_early = ended.is_set()
        outcome.seen = watch.seen
        for process in processes:
            process.finish()
        for process in processes:
            _listen(process, outcome)
    if not mount.alive:
        outcome.wrong.append("the mount has died")
    elif watch.troubles:
        first, times = watch.troubles[0], len(watch.troubles)
        outcome.wrong.append(f"the mount did not tell how it is, {times} times: {first}")
    outcome.wrong += gauges.growth(watch.seen)


def _wait(seconds: float, mount: Mounted, ended: Event) -> None:
    """Wait while the mount lives and nobody cuts it short."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s and mount.alive and not ended.wait(_TICK_S):
        pass


def _listen(process: Process, outcome: Outcome) -> None:
    """Add what readers tell; those that tell nothing hang."""
    try:
        heard: dict[str, Any] = process.heard(HANG_S)
    except Lost as error:
        outcome.wrong.append(error.message)
        return
    took_s = defaultdict(list, outcome.took_s)
    for what, times_s in heard["took_s"].items():
        took_s[what] += times_s
        if max(times_s) > HANG_S:
            outcome.wrong.append(f"{what}: it hung for {max(times_s):.1f} s")
    outcome.took_s = dict(took_s)
    outcome.failed += heard["failed"]
    outcome.failures += heard["failures"]
    outcome.bytes_read += heard["bytes_read"]


def _settle(mount: Mounted, outcome: Outcome) -> None:
    """See that a mount which nobody uses has let go of all it needed."""
    if outcome.idle is None or not mount.alive:
        return
    try:
        outcome.settled, leaked = gauges.settled(
            mount.process.pid, mount.path, outcome.idle, patience_s=_PATIENCE_S
        )
    except (OSError, AttachfsError) as error:
        leaked = [f"the mount does not tell how it is, idle: {error}"]
    outcome.wrong += leaked
