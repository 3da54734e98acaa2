"""A report that is written while it is made: gone on with, and never mixed up."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from attachfs.audit.report import Finding, Verdict
from attachfs.errors import UsageError
from tests.support.lazy import LazyModule

pa, pa_dataset = LazyModule("pyarrow"), LazyModule("pyarrow.dataset")
pa_parquet, parquet = LazyModule("pyarrow.parquet"), LazyModule("attachfs.audit.parquet")

pytestmark = pytest.mark.own_process

_ASKED: tuple[str, tuple[str, ...], str, str, str] = (
    "https://archive.example",
    ("assets",),
    "block-bad",
    "attachfs 1",
    "2024-05-01T00:00:00Z",
)
_ENDED = "2024-05-02T00:00:00Z"


def _finding(path: str, verdict: Verdict = Verdict.VERIFIED, **fields: Any) -> Finding:
    return Finding(path=path, identity=path, verdict=verdict, size_bytes=10, **fields)


def _rows(directory: Path) -> list[dict[str, Any]]:
    table = pa_dataset.dataset(directory, format="parquet").to_table()
    return sorted(table.to_pylist(), key=lambda row: str(row["path"]))


def test_what_was_covered_is_kept_and_the_rest_is_not(tmp_path: Path) -> None:
    """A run that is broken off in the middle of a part leaves none of its rows."""
    target = tmp_path / "report.parquet"
    with parquet.ParquetReport(target) as report:
        assert report.begin(*_ASKED) == frozenset()
        report.add(_finding("assets/a/1", record_sha256=("aa", "bb")))
        report.cover(("assets/a", "assets/empty"))
        report.add(_finding("assets/b/1"))
    with parquet.ParquetReport(target) as report:
        assert report.begin(*_ASKED) == {"assets/a", "assets/empty"}
        report.add(_finding("assets/b/1", Verdict.MISSING))
        report.cover(("assets/b",))
        report.add(_finding("assets", Verdict.UNREADABLE))
        report.end(_ENDED)
    rows = _rows(target)
    assert [(row["path"], row["verdict"]) for row in rows] == [
        ("assets", "unreadable"),
        ("assets/a/1", "verified"),
        ("assets/b/1", "missing"),
    ]
    assert rows[1]["record_sha256"] == ["aa", "bb"]
    head = json.loads((target / "_report.json").read_bytes())
    assert (head["started"], head["ended"]) == (_ASKED[-1], _ENDED)
    assert (head["counts"]["verified"], head["verified_bytes"]) == (1, 10)
    assert report.counts[Verdict.MISSING] == 1
    modes = {stat.S_IMODE(path.stat().st_mode) for path in target.iterdir()}
    assert (stat.S_IMODE(target.stat().st_mode), modes) == (0o700, {0o600})


def test_many_rows_are_written_before_the_end(tmp_path: Path) -> None:
    """So that little is lost where the program is killed."""
    target = tmp_path / "report.parquet"
    with parquet.ParquetReport(target) as report:
        report.begin(*_ASKED)
        for number in range(5_000):
            report.add(_finding(f"assets/a/{number}"))
        report.cover(("assets/a",))
        assert len(_rows(target)) == 5_000


def test_large_attachments_are_written_down_every_minute(tmp_path: Path) -> None:
    """Of those, few are hours of work."""
    target = tmp_path / "report.parquet"
    now_s = 100.0
    with parquet.ParquetReport(target, now_s=lambda: now_s) as report:
        report.begin(*_ASKED)
        for asset, passed_s, written in (("a", 59.0, 0), ("b", 1.5, 2), ("c", 59.0, 2)):
            now_s += passed_s
            report.add(_finding(f"assets/{asset}/1"))
            report.cover((f"assets/{asset}",))
            assert len(_rows(target)) == written


def test_what_a_killed_run_was_writing_is_removed(tmp_path: Path) -> None:
    """It has another name until it is whole."""
    target = tmp_path / "report.parquet"
    with parquet.ParquetReport(target) as report:
        report.begin(*_ASKED)
    draft = target / ".part-00000001.parquet"
    draft.write_bytes(b"half")
    with parquet.ParquetReport(target) as report:
        assert report.begin(*_ASKED) == frozenset()
    assert not draft.exists()


def test_a_whole_report_is_not_written_to(tmp_path: Path) -> None:
    """Last quarter's is evidence."""
    target = tmp_path / "report.parquet"
    with parquet.ParquetReport(target) as report:
        report.begin(*_ASKED)
        report.end(_ENDED)
    with (
        pytest.raises(UsageError, match="is a whole report, of 2024-05-02"),
        parquet.ParquetReport(target),
    ):
        pass


@pytest.mark.parametrize(
    ("index", "other", "said"),
    [
        (0, "https://other.example", "another archive"),
        (1, ("by-name",), "another paths"),
        (2, "allow", "another scan policy"),
    ],
)
def test_a_report_of_something_else_is_not_gone_on_with(
    tmp_path: Path, index: int, other: Any, said: str
) -> None:
    """Its rows would be of two kinds."""
    target = tmp_path / "report.parquet"
    with parquet.ParquetReport(target) as report:
        report.begin(*_ASKED)
    asked: list[Any] = list(_ASKED)
    asked[index] = other
    with parquet.ParquetReport(target) as report, pytest.raises(UsageError, match=said):
        report.begin(*asked)


def test_only_one_run_writes_it(tmp_path: Path) -> None:
    """The other one is told."""
    target = tmp_path / "report.parquet"
    with (
        parquet.ParquetReport(target),
        pytest.raises(UsageError, match="another run is writing"),
        parquet.ParquetReport(target),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes.txt", b"mine", "other things in it"),
        ("_report.json", b"{}", "none of attachfs's reports"),
    ],
)
def test_a_directory_of_somebody_elses_is_left_alone(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    """Nothing is written to it."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=said), parquet.ParquetReport(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_place_that_cannot_be_is_told(tmp_path: Path) -> None:
    """A file, or a directory that is not there."""
    (tmp_path / "file").touch()
    for target in (tmp_path / "file", tmp_path / "none" / "report.parquet"):
        with (
            pytest.raises(UsageError, match="cannot write the report"),
            parquet.ParquetReport(target),
        ):
            pass


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    """It is for a person to remove it."""
    target = tmp_path / "report.parquet"
    with parquet.ParquetReport(target) as report:
        report.begin(*_ASKED)
        report.add(_finding("assets/a/1"))
        report.cover(("assets/a",))
    part = target / "part-00000001.parquet"
    part.write_bytes(part.read_bytes()[:100])
    with (
        parquet.ParquetReport(target) as report,
        pytest.raises(UsageError, match=r"part-00000001\.parquet is damaged"),
    ):
        report.begin(*_ASKED)


def test_what_could_not_be_read_is_tried_again(tmp_path: Path) -> None:
    """It is in the report, whose end is told; and the same command does those pieces anew."""
    target = tmp_path / "report.parquet"
    pieces = ("assets/a", "assets/b")
    with parquet.ParquetReport(target) as report:
        report.begin(*_ASKED)
        report.add(_finding("assets/a/1"))
        report.add(_finding("assets/b/1"))
        report.add(_finding("assets/b/events/e/2", Verdict.UNREADABLE))
        report.cover(pieces)
        report.add(_finding("assets", Verdict.UNREADABLE))
        report.end(_ENDED)
    assert [row["path"] for row in _rows(target)] == [
        "assets",
        "assets/a/1",
        "assets/b/1",
        "assets/b/events/e/2",
    ]
    assert json.loads((target / "_report.json").read_bytes())["counts"]["unreadable"] == 2
    with parquet.ParquetReport(target) as report:
        assert report.begin(*_ASKED) == {"assets/a"}
        assert json.loads((target / "_report.json").read_bytes())["ended"] == ""
        report.add(_finding("assets/b/1"))
        report.add(_finding("assets/b/events/e/2"))
        report.cover(pieces[1:])
        report.end(_ENDED)
    assert [row["verdict"] for row in _rows(target)] == ["verified"] * 3
    assert report.counts[Verdict.VERIFIED] == 3
    with pytest.raises(UsageError, match="is a whole report"), parquet.ParquetReport(target):
        pass


def test_a_run_that_ended_before_it_began_is_begun_again(tmp_path: Path) -> None:
    """Killed, or without room, while it wrote what it is about."""
    (tmp_path / "._report.json").write_bytes(b"{")
    with parquet.ParquetReport(tmp_path) as report:
        assert report.begin(*_ASKED) == frozenset()


@pytest.mark.parametrize("column", ["verdict", "other"])
def test_a_part_of_somebody_elses_is_named(tmp_path: Path, column: str) -> None:
    """Without what it covers, or with verdicts that are none."""
    target = tmp_path / "report.parquet"
    with parquet.ParquetReport(target) as report:
        report.begin(*_ASKED)
    table = pa.table({column: ["strange"], "size_bytes": [1]})
    pa_parquet.write_table(table, target / "part-00000007.parquet")
    with (
        parquet.ParquetReport(target) as report,
        pytest.raises(UsageError, match=r"part-00000007.parquet is damaged"),
    ):
        report.begin(*_ASKED)


_BAD = "ab" * 32


def _twin(path: str, verdict: Verdict, status: str = "NOT_SCANNED", **fields: Any) -> Finding:
    known = {"info_sha256": _BAD, "scanned_status": status, "info_source": "server"}
    return _finding(path, verdict, **known, **fields)


def test_rows_of_earlier_runs_are_settled_as_well(tmp_path: Path) -> None:
    """What was verified before its twin was found bad; and what could not be read by then."""
    target = tmp_path / "report.parquet"
    with parquet.ParquetReport(target) as report:
        report.begin(*_ASKED)
        report.add(_twin("assets/a/1", Verdict.VERIFIED, body_sha256=_BAD, body_source="server"))
        report.add(_finding("assets/a/2"))
        report.cover(("assets/a",))
    with parquet.ParquetReport(target) as report:
        assert report.begin(*_ASKED) == {"assets/a"}
        report.add(_twin("assets/b/1", Verdict.BAD_SCAN, "SCANNED_BAD", reason="worm"))
        report.cover(("assets/b",))
        report.add(_twin("assets/c/1", Verdict.UNREADABLE, reason="500"))
        report.cover(("assets/c",))
        changed = report.end(_ENDED)
    assert {(finding.path, finding.verdict) for finding in changed} == {
        ("assets/a/1", Verdict.BAD_SCAN),
        ("assets/c/1", Verdict.BAD_SCAN),
    }
    rows = {row["path"]: row for row in _rows(target)}
    assert {path: row["verdict"] for path, row in rows.items()} == {
        "assets/a/1": "bad scan",
        "assets/a/2": "verified",
        "assets/b/1": "bad scan",
        "assets/c/1": "bad scan",
    }
    assert (rows["assets/a/1"]["body_sha256"], rows["assets/b/1"]["reason"]) == (None, "worm")
    head = json.loads((target / "_report.json").read_bytes())
    assert {verdict: count for verdict, count in head["counts"].items() if count} == {
        "verified": 1,
        "bad scan": 3,
    }
    assert head["verified_bytes"] == 10
    with pytest.raises(UsageError, match="whole report"), parquet.ParquetReport(target):
        pass


def test_nothing_is_settled_where_scans_do_not_count(tmp_path: Path) -> None:
    """Then all bytes are read, and what they are is what is reported."""
    target = tmp_path / "report.parquet"
    asked = (*_ASKED[:2], "allow", *_ASKED[3:])
    with parquet.ParquetReport(target) as report:
        report.begin(*asked)
        report.add(_twin("assets/a/1", Verdict.VERIFIED))
        report.add(_twin("assets/a/2", Verdict.VERIFIED, "SCANNED_BAD"))
        report.cover(("assets/a",))
        assert report.end(_ENDED) == []
    assert {row["verdict"] for row in _rows(target)} == {"verified"}
