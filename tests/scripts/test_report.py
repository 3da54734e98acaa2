"""Figures of benchmarks in a file: merged, compared, and written into the document."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from benchmarks.report import Report, compared, document  # noqa: E402 - the path comes first
from harness.processes import MeasurementError  # noqa: E402

_HERE = {"date": "d1", "processor": "P", "cores": "2", "memory": "8 GiB", "trio": "1"}


def _report(date: str, here: dict[str, str] | None = None, **medians: dict[str, float]) -> Report:
    rows: dict[str, dict[str, Any]] = {
        name: {
            "row": name,
            "workload": "some",
            "unit": "s",
            "medians": each,
            "limits": [],
            "date": date,
        }
        for name, each in medians.items()
    }
    return Report({date: (here or _HERE) | {"date": date}}, rows)


def _cells(text: str) -> list[list[str]]:
    lines = text.splitlines()[2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_the_document_has_the_figures_of_its_file(tmp_path: Path) -> None:
    """Whoever measures writes both: scripts/bench --json docs/performance.json --document ..."""
    committed = (ROOT / "docs" / "performance.md").read_text()
    copy = tmp_path / "performance.md"
    copy.write_text(committed)
    document(Report.read(ROOT / "docs" / "performance.json"), copy)
    assert copy.read_text() == committed


def test_rows_of_other_runs_stay_beside_new_ones(tmp_path: Path) -> None:
    """Each with the machine it was measured on; a date that no row has any more goes."""
    older = _report("d1", cold={"attachfs": 1.0}, warm={"attachfs": 1.0})
    newer = _report("d2", cold={"attachfs": 2.0})
    both = newer.with_older(older)
    assert {name: row["date"] for name, row in both.rows.items()} == {"cold": "d2", "warm": "d1"}
    assert set(both.machines) == {"d1", "d2"}
    assert set(_report("d3", warm={"attachfs": 1.0}).with_older(both).machines) == {"d2", "d3"}
    both.write(tmp_path / "bench.json")
    assert Report.read(tmp_path / "bench.json") == both


@pytest.mark.parametrize(
    ("before", "now", "worse"),
    [
        ({"attachfs": 1.0}, {"attachfs": 1.1}, False),
        ({"attachfs": 1.0}, {"attachfs": 1.3}, True),
        ({"attachfs": 1.0, "curl": 1.0}, {"attachfs": 1.3, "curl": 1.3}, False),
        ({"attachfs": 1.0, "curl": 1.0}, {"attachfs": 1.3, "curl": 0.5}, True),
        ({"attachfs": 1.0, "curl": 1.0}, {"attachfs": 0.5, "curl": 0.2}, False),
    ],
)
def test_a_row_is_worse_where_the_machine_is_not_slower(
    before: dict[str, float], now: dict[str, float], *, worse: bool
) -> None:
    """A peer's pace tells how the machine's has changed; rows that are new are left out."""
    text = compared(_report("d2", cold=now, new=now), _report("d1", cold=before))
    ((name, unit, *_, verdict),) = _cells(text)
    assert (name, unit, verdict) == ("cold", "s", "**worse**" if worse else "")


def test_figures_of_another_machine_are_not_compared() -> None:
    """Its name, its cores or its memory tell."""
    for key in ("processor", "cores", "memory"):
        other = _report("d1", _HERE | {key: "other"}, cold={"attachfs": 1.0})
        with pytest.raises(MeasurementError, match=f"another {key}"):
            compared(_report("d2", cold={"attachfs": 1.0}), other)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"rows": 5, "machines": {}}'])
def test_a_file_that_is_none_of_figures_is_refused(tmp_path: Path, content: str) -> None:
    """As is one that is not there, and a document without a place for them."""
    path = tmp_path / "bench.json"
    path.write_text(content)
    for file in (path, tmp_path / "missing.json"):
        with pytest.raises(MeasurementError, match="give what --json wrote"):
            Report.read(file)
    with pytest.raises(MeasurementError, match="no place for figures"):
        document(Report({}, {}), path)
    assert json.dumps(path.read_text()) == json.dumps(content)
