"""Time contenders in turn, and hold what they took against each other."""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import TMPFS
from benchmarks.programs import Unfit


@dataclass(frozen=True, slots=True)
class Contender:
    """Name something to measure: `run` returns the figure of one run."""

    name: str
    run: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Limit:
    """Say what is asked for: at most `most` times the figure of `peer`; without one, `most`."""

    most: float
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one row of the table: the figures of each contender, attachfs first, in `unit`."""

    name: str
    workload: str
    unit: str
    figures: dict[str, list[float]]
    limits: Sequence[Limit] = ()
    note: str = ""

    def median(self, contender: str) -> float:
        """Return the median figure of a contender."""
        return statistics.median(self.figures[contender])

    @property
    def ours(self) -> float:
        """The median of attachfs."""
        return self.median("attachfs")

    def reached(self, limit: Limit) -> float:
        """Return what a limit is held against: a ratio, or the figure itself."""
        return self.ours if limit.peer is None else self.ours / self.median(limit.peer)


def alternate(
    contenders: Sequence[Contender], *, runs: int, warmups: int = 1
) -> dict[str, list[float]]:
    """Run the contenders one after the other, `runs` times over, after rounds that do not count.

    What disturbs the machine for a while so disturbs all of them.
    """
    figures: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(-warmups, runs):
        for contender in contenders:
            figure = contender.run()
            if number >= 0:
                figures[contender.name].append(figure)
    return figures


def elapsed_s(
    *command: str | Path, output: Path = Path(os.devnull), cwd: Path | None = None
) -> float:
    """Run a program, what it prints going to a file, and return how long that took."""
    with output.open("wb") as printed:
        begin_s = time.perf_counter()
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.PIPE,
            cwd=cwd,
            check=False,
        )
        took_s = time.perf_counter() - begin_s
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise Unfit(f"{' '.join(map(str, command[:3]))}... failed: {said[-500:]}")
    return took_s


def printed_s(*command: str | Path, cwd: Path) -> tuple[float, list[str]]:
    """Run a program in a directory and return how long that took, and the lines it printed."""
    # Not a pipe: reading it would take turns with the program on two cores.
    with tempfile.NamedTemporaryFile(dir=TMPFS) as output:
        took_s = elapsed_s(*command, output=Path(output.name), cwd=cwd)
        return took_s, output.read().decode().split("\n")[:-1]
