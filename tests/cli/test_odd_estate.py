"""`attachfs verify` over 300 assets with everything that is odd, by one process and by workers."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from attachfs.demo.launch import ArchiveConfig, RunningArchive
from tests.conftest import serving
from tests.support import forkserver
from tests.support.clusters import DaskPopen
from tests.support.mounts import PATIENCE_S, bare_environment
from tests.support.odd_estates import AS_OF, OddEstate, odd_estate
from tests.support.programs import PROGRAM
from tests.support.reports import rows_of

_VIEWS = ("assets", "by-name", AS_OF, "publicassets")


@pytest.fixture(scope="module")
def truth() -> OddEstate:
    """What is so."""
    return odd_estate()


@pytest.fixture(scope="module")
def served(truth: OddEstate) -> Iterator[RunningArchive]:
    """An archive that is filled with it."""
    with serving(ArchiveConfig(empty=True)) as running:
        running.archive.set_switches(max_page_limit=50)
        truth.fill(running.archive)
        yield running


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_every_row_is_what_is_so(
    truth: OddEstate, served: RunningArchive, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    """In every view, cold and warm, whatever columns a report has besides."""
    findings = [row.finding for view in _VIEWS for row in truth.attachments(view).values()]
    findings.sort(key=lambda finding: str(finding["path"]))
    environment = bare_environment(tmp_path) | {
        "ATTACHFS_URL": served.url,
        "ATTACHFS_TOKEN_FILE": str(served.token_file),
        "ATTACHFS_PUBLIC_ASSET": " ".join(asset.uuid for asset in truth.of("public")),
    }
    for name in ("cold", "warm"):
        report = tmp_path / f"{name}.json"
        words = ("verify", *_VIEWS, "--report", str(report), "--log-level=error", *workers)
        done = forkserver.run(
            [*PROGRAM, *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE_S,
            check=False,
            popen=DaskPopen if workers else forkserver.Popen,
        )
        assert done.returncode == 1, done.stderr
        rows = rows_of(report)
        assert [row["path"] for row in rows] == [right["path"] for right in findings], name
        for row, right in zip(rows, findings, strict=True):
            assert {column: row[column] for column in right} == right, name
