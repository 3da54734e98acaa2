"""The file that a report is written to."""

import json
import os
from pathlib import Path

import pytest

from attachfs.audit.report import Finding, Report, Verdict
from attachfs.audit.report_file import ReportFile
from attachfs.errors import UsageError

_REPORT = Report(
    archive="https://archive.example",
    paths=("assets",),
    scan_policy="allow",
    program="attachfs 1",
    started="2026-01-02T03:04:05Z",
    ended="2026-01-02T03:05:05Z",
    findings=(
        Finding(path="assets/a", identity="assets/a", verdict=Verdict.VERIFIED, size_bytes=5),
        Finding(path="assets/b", identity="assets/b", verdict=Verdict.BAD_SCAN),
    ),
)


def test_json_holds_all_of_it(tmp_path: Path) -> None:
    """And the counts, and whether all is well."""
    with ReportFile(tmp_path / "r.json") as file:
        file.write(_REPORT, {})
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["is_well"] is False
    assert written["counts"]["bad scan"] == 1
    assert [finding["path"] for finding in written["findings"]] == ["assets/a", "assets/b"]
    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["r.json"]  # noqa: PTH208 - names alone


@pytest.mark.parametrize("name", ["r.html", "R.HTM"])
def test_html_is_a_page(tmp_path: Path, name: str) -> None:
    """Whatever the case of the ending."""
    with ReportFile(tmp_path / name) as file:
        assert file.is_page
        file.write(_REPORT, {})
    assert (tmp_path / name).read_text().startswith("<!DOCTYPE html>")


def test_what_was_there_stays_until_there_is_another(tmp_path: Path) -> None:
    """Also where the work fails."""
    target = tmp_path / "r.json"
    target.write_text("the last one")
    with pytest.raises(KeyboardInterrupt), ReportFile(target):
        raise KeyboardInterrupt
    assert target.read_text() == "the last one"
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("report", "must end in .html or .json"),
        ("report.pdf", "must end in .html or .json"),
        ("missing/report.html", "No such file or directory"),
        ("directory.json", "is a directory"),
        ("file/report.json", "Not a directory"),
    ],
)
def test_a_place_that_is_none_is_refused_before_any_work(
    tmp_path: Path, name: str, reason: str
) -> None:
    """It says which and why."""
    (tmp_path / "directory.json").mkdir()
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match=f"{name}.*{reason}"),
        ReportFile(tmp_path / name),
    ):
        pytest.fail("there was a place for it")


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is left."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"), ReportFile(tmp_path / "r.json") as file:
        file.write(_REPORT, {})
    assert list(tmp_path.iterdir()) == []
