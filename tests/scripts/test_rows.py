"""Rows of the benchmarks: how contenders take turns, and what is told of their figures."""

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from harness.rows import Limit, Row, alternate, told  # noqa: E402 - the path comes first

_ROW = Row(
    "cold",
    "cat of 256 MiB",
    "s",
    {"attachfs": [3.0, 1.0, 2.0], "curl": [4.0], "rclone": [150.4]},
    [Limit(0.75, "curl"), Limit(1.5)],
)


def test_contenders_take_turns_and_warm_up() -> None:
    """What disturbs the machine disturbs all of them; rounds to warm up do not count."""
    order: list[str] = []

    def contender(name: str) -> Callable[[], float]:
        def run() -> float:
            order.append(name)
            return float(len(order))

        return run

    contenders = {name: contender(name) for name in ("attachfs", "curl")}
    figures = alternate(contenders, runs=2, warmups=1)
    assert order == ["attachfs", "curl"] * 3
    assert figures == {"attachfs": [3.0, 5.0], "curl": [4.0, 6.0]}


def test_table_has_medians_limits_and_what_was_reached() -> None:
    """A ratio where a limit has a peer, else the figure itself."""
    head, _, line = told([_ROW]).splitlines()
    assert [cell.strip() for cell in head.split("|")[1:-1]] == [
        *("row", "workload", "attachfs", "peers", "at most", "reached")
    ]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == [
        *("cold", "cat of 256 MiB", "2 s", "curl 4; rclone 150"),
        *("0.75 x curl; 1.5 s", "0.5 kept; 2 **missed**"),
    ]


def test_file_has_all_figures_and_verdicts() -> None:
    """By which a later run can be held against this one."""
    content = _ROW.as_json()
    assert content["figures"] == _ROW.figures
    assert content["medians"] == {"attachfs": 2.0, "curl": 4.0, "rclone": 150.4}
    assert content["limits"] == [
        {"peer": "curl", "at_most": 0.75, "reached": 0.5, "kept": True},
        {"peer": None, "at_most": 1.5, "reached": 2.0, "kept": False},
    ]
