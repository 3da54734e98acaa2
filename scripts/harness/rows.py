"""Rows: what contenders took for the same work, attachfs first, beside what it may take at most."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from harness.tables import table

OURS: Final = "attachfs"
Run = Callable[[], float]
Contenders = Mapping[str, Run]
_WHOLE_FROM: Final = 100  # three digits are enough


@dataclass(frozen=True, slots=True)
class Limit:
    """What a row shall reach: at most `most` times the figure of `peer`; without one, `most`."""

    most: float
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: the figures of each contender in `unit`."""

    name: str
    workload: str
    unit: str
    figures: dict[str, list[float]]
    limits: Sequence[Limit] = ()

    def reached(self, limit: Limit) -> float:
        """Return what a limit is held against: a ratio of medians, or the median itself."""
        peer = 1.0 if limit.peer is None else median(self.figures[limit.peer])
        return median(self.figures[OURS]) / peer

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            "row": self.name,
            "workload": self.workload,
            "unit": self.unit,
            "medians": {name: median(figures) for name, figures in self.figures.items()},
            "figures": self.figures,
            "limits": [
                {
                    "peer": limit.peer,
                    "at_most": limit.most,
                    "reached": self.reached(limit),
                    "kept": self.reached(limit) <= limit.most,
                }
                for limit in self.limits
            ],
        }


def alternate(contenders: Contenders, *, runs: int, warmups: int = 1) -> dict[str, list[float]]:
    """Run the contenders one after the other, `runs` times, after rounds that do not count.

    What disturbs the machine for a while disturbs all of them.
    """
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(-warmups, runs):
        for name, run in contenders.items():
            figure = run()
            if number >= 0:
                figures[name].append(figure)
    return figures


def told(rows: Sequence[Row]) -> str:
    """Return the table: medians, and the ratios of attachfs to its peers, lower is better."""
    head = ("row", "workload", OURS, "peers", "at most", "reached")
    return "\n".join(table(head, (cells(row.as_json()) for row in rows)))


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a table tells of a row that is as JSON has it."""
    figures = {name: figure(median) for name, median in row["medians"].items()}
    ours = f"{figures.pop(OURS)} {row['unit']}"
    bounds, verdicts = [], []
    for limit in row["limits"]:
        peer = row["unit"] if limit["peer"] is None else f"x {limit['peer']}"
        bounds.append(f"{limit['at_most']:g} {peer}")
        verdict = "kept" if limit["kept"] else "**missed**"
        verdicts.append(f"{figure(limit['reached'])} {verdict}")
    peers = map(" ".join, figures.items())
    return row["row"], row["workload"], ours, *map("; ".join, (peers, bounds, verdicts))


def figure(value: float) -> str:
    """Return a figure as people read it: three digits."""
    return f"{value:.3g}" if value < _WHOLE_FROM else f"{value:.0f}"
