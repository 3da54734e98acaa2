"""`attachfs verify` into a directory of Parquet, by one process: whole, or gone on with."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attachfs.demo.estate import SAMPLE
from attachfs.demo.launch import ArchiveConfig, RunningArchive
from tests.support.estates import BLOB_PATHS
from tests.support.evidence import Evidence, attach, attach_twins
from tests.support.mounts import PATIENCE_S, Mount, Steering, bare_environment
from tests.support.outcomes import until
from tests.support.programs import HASTY, PROGRAM, Done, running, sentence, without_progress
from tests.support.reports import rows_of

_ASSETS = 12

Run = Callable[..., Done]


@pytest.fixture
def filled(serve: Callable[[ArchiveConfig], RunningArchive]) -> Iterator[Steering]:
    """An archive with an attachment an asset."""
    running = serve(ArchiveConfig(empty=True))
    for number in range(_ASSETS):
        attach(running, 1000 + number)
    with Steering(running) as steering:
        yield steering


def _environment(archive: Steering, home: Path) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    return bare_environment(home) | {
        "ATTACHFS_URL": archive.url,
        "ATTACHFS_TOKEN_FILE": str(archive.token_file),
    }


def test_the_rows_are_those_of_json(run: Run, archive: Steering, tmp_path: Path) -> None:
    """With all that is not well, and the same said on standard output, and by the exit status."""
    archive.edit("blobs", SAMPLE["blob:container-photo"], flip_body_byte=100)
    done = []
    for suffix in ("json", "parquet"):
        environment = _environment(archive, tmp_path / suffix)
        report = tmp_path / f"report.{suffix}"
        words = ("verify", "assets", "publicassets", "--log-level=error", "--report", report)
        done.append(run(*PROGRAM, *words, env=environment))
    assert rows_of(tmp_path / "report.json") == rows_of(tmp_path / "report.parquet")
    assert {one.returncode for one in done} == {1}
    assert sorted(done[0].stdout.splitlines()) == sorted(done[1].stdout.splitlines())
    head = json.loads((tmp_path / "report.parquet" / "_report.json").read_bytes())
    assert head["ended"]
    assert head["counts"]["mismatched"] == 2


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_what_was_covered_is_not_done_again(
    run: Run, filled: Steering, tmp_path: Path, ended_by: signal.Signals
) -> None:
    """The same command goes on; in the end, each row is there once."""
    environment = _environment(filled, tmp_path / "home")
    report = tmp_path / "report.parquet"
    words = ("verify", "assets", "--refetch", "--jobs", "1", "--report", report)
    filled.hold(BLOB_PATHS, after=_ASSETS // 2)
    with running(*words, env=environment) as process:
        until(lambda: filled.held() > 0)
        process.send_signal(ended_by)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + ended_by
    covered = rows_of(report)
    assert 0 < len(covered) < 2 * _ASSETS
    filled.reset()
    assert run(*PROGRAM, *words, env=environment).returncode == 0
    assert len(filled.paths(BLOB_PATHS)) == _ASSETS - len(covered) // 2
    rows = rows_of(report)
    assert len({row["path"] for row in rows}) == len(rows) == 2 * _ASSETS
    assert [row for row in rows if row in covered] == covered


def test_what_could_not_be_read_is_tried_again(run: Run, archive: Steering, tmp_path: Path) -> None:
    """A server that was away, or in trouble, has not spoilt the report."""
    environment = _environment(archive, tmp_path / "home")
    report = tmp_path / "report.parquet"
    words = ("verify", "assets", "--log-level=error", "--report", report)
    archive.fail_next(path_regex=SAMPLE["blob:container-photo"], status=500, times=99)
    done = run(*HASTY, *words, env=environment)
    assert done.returncode == 1
    assert "unreadable" in done.stdout
    assert "the same command tries again" in done.stderr
    archive.reset()
    done = run(*PROGRAM, *words, env=environment)
    assert "unreadable" not in done.stdout
    assert {row["verdict"] for row in rows_of(report)} == {"verified", "bad scan"}
    done = run(*PROGRAM, *words, env=environment)
    assert done.returncode == 2
    assert "is a whole report" in sentence(done)


def test_what_was_not_there_yet_is_not_missing(run: Run, archive: Steering, tmp_path: Path) -> None:
    """The archive is verified as it was at a time, when it had fewer assets."""
    environment = _environment(archive, tmp_path / "home")
    done = run(*PROGRAM, "verify", "as-of/2024-06-01T12:00:00Z", env=environment)
    assert done.returncode == 0
    assert done.stdout.startswith("verified: ")
    assert len(done.stdout.splitlines()) == 1


@pytest.fixture
def twins(
    serve: Callable[[ArchiveConfig], RunningArchive],
) -> Iterator[tuple[Steering, Evidence, Evidence]]:
    """Assets of which the last that is listed has what the first has, and is bad."""
    running = serve(ArchiveConfig(empty=True))
    bad, twin = attach_twins(running, _ASSETS)
    with Steering(running) as steering:
        yield steering, bad, twin


def _verdicts(rows: list[dict[str, Any]], *pieces: Evidence) -> set[str]:
    return {row["verdict"] for row in rows if row["path"] in {piece.path for piece in pieces}}


@pytest.mark.parametrize("jobs", [1, 16])
def test_rows_are_the_same_with_a_cache_and_without_one(
    run: Run, twins: tuple[Steering, Evidence, Evidence], tmp_path: Path, jobs: int
) -> None:
    """In every form, whichever of two attachments of the same bytes was met first."""
    archive, bad, twin = twins
    environment = _environment(archive, tmp_path / "home")
    reports, outs = [], []
    for name in ("cold.json", "warm.json", "warm.parquet"):
        words = ("verify", "assets", "--jobs", jobs, "--report", tmp_path / name)
        done = run(*PROGRAM, *words, env=environment)
        assert done.returncode == 1
        reports.append(rows_of(tmp_path / name))
        outs.append(sorted(done.stdout.splitlines()))
    assert reports[0] == reports[1] == reports[2]
    assert outs[0] == outs[1] == outs[2]
    assert _verdicts(reports[0], bad, twin) == {"bad scan"}
    counts = json.loads((tmp_path / "cold.json").read_bytes())["counts"]
    assert counts == json.loads((tmp_path / "warm.parquet/_report.json").read_bytes())["counts"]
    assert (counts["verified"], counts["bad scan"]) == (2 * _ASSETS - 4, 4)
    assert f"bad scan: {twin.path}: SCANNED_BAD under another name" in outs[0]


def test_a_view_has_the_same_rows_whatever_is_known_of_others(
    run: Run, archive: Steering, tmp_path: Path
) -> None:
    """Of all views, first each with nothing cached, and then each once all the others are."""
    archive.edit("blobs", SAMPLE["blob:container-photo"], scanned_status="SCANNED_BAD")
    views = (".", "by-name", "as-of/2024-06-01T12:00:00Z", f"assets/{SAMPLE['asset:container']}")
    rows: dict[str, list[list[dict[str, Any]]]] = {view: [] for view in views}
    for known in ("nothing", "all"):
        for number, view in enumerate(views):
            home = tmp_path / (known if known == "all" else f"{known}-{number}")
            if known == "all" and not number:
                run(*PROGRAM, "verify", *views, env=_environment(archive, home))
            report = tmp_path / f"{known}-{number}.json"
            words = ("verify", view, "--log-level=error", "--report", report)
            run(*PROGRAM, *words, env=_environment(archive, home))
            rows[view].append(rows_of(report))
    for view, (cold, warm) in rows.items():
        assert cold, view
        assert cold == warm, view


def test_a_report_that_was_resumed_has_the_same_rows(
    run: Run, twins: tuple[Steering, Evidence, Evidence], tmp_path: Path
) -> None:
    """Also of what was verified in the run before the bad one was met."""
    archive, bad, twin = twins
    environment = _environment(archive, tmp_path / "home")
    report = tmp_path / "report.parquet"
    words = ("verify", "assets", "--jobs", "1", "--report", report)
    archive.hold(BLOB_PATHS, after=_ASSETS // 2)
    with running(*words, env=environment) as process:
        until(lambda: archive.held() > 0)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    before = _verdicts(rows_of(report), bad, twin)  # in an order that is the event loop's
    archive.reset()
    done = run(*PROGRAM, *words, env=environment)
    said = f"bad scan: {twin.path}: SCANNED_BAD under another name" in done.stdout
    assert said or "bad scan" in before
    whole = tmp_path / "whole.json"
    run(*PROGRAM, *words[:-1], whole, env=environment)
    assert rows_of(report) == rows_of(whole)
    assert _verdicts(rows_of(report), bad, twin) == {"bad scan"}


def test_offline_the_server_is_not_asked(run: Run, filled: Steering, tmp_path: Path) -> None:
    """Not for a connection; what is said is said to be of what this machine has kept."""
    environment = _environment(filled, tmp_path / "home")
    data = tmp_path / "report.json"
    assert run(*PROGRAM, "verify", "assets", env=environment).returncode == 0
    filled.reset()
    words = ("verify", "assets", "--offline", "--report", data)
    done = run(*PROGRAM, *words, env=environment)
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    assert done.stdout.startswith(
        f"offline, by what this machine has kept: verified: {2 * _ASSETS}"
    )
    assert filled.paths() == []
    report = json.loads(data.read_bytes())
    assert report["sources"] == {
        "record": {"index": 2 * _ASSETS},
        "info": {"index": 2 * _ASSETS},
        "body": {"cache": 2 * _ASSETS},
    }
    done = run(*PROGRAM, "verify", "assets", "--offline", "--refetch", env=environment)
    assert done.returncode == 2
    assert "--offline" in sentence(done)
    done = run(
        *PROGRAM, "verify", "assets", "--offline", env=_environment(filled, tmp_path / "new")
    )
    assert done.returncode == 1
    assert "unreadable: assets: " in done.stdout
    assert filled.paths() == []


def test_what_hosts_share_is_told_apart(run: Run, filled: Steering, tmp_path: Path) -> None:
    """Bytes that another host has fetched are not the server's."""
    shared = ("--shared-store", tmp_path / "shared")
    sources = []
    for home in ("one", "other"):
        environment = _environment(filled, tmp_path / home)
        done = run(*PROGRAM, "verify", "assets", "--json", *shared, env=environment)
        sources.append(json.loads(done.stdout)["sources"])
    assert sources[0]["record"] == sources[1]["record"] == {"server": 2 * _ASSETS}
    assert sources[0]["body"].keys() == {"server", "cache"}
    assert sources[1]["body"].keys() == {"shared store", "cache"}


@pytest.mark.mount
def test_a_mount_asks_anew_and_learns(
    run: Run, mount: Callable[..., Mount], archive: Steering, environment: dict[str, str]
) -> None:
    """Whatever it would believe for an hour; and asks nothing offline."""
    mounted = mount("--metadata-ttl", "1h")
    mounted.expected_warnings.add("SCANNED_BAD")
    photo = mounted.path / "assets" / SAMPLE["asset:container"] / SAMPLE["blob:container-photo"]
    photo.read_bytes()
    words = ("verify", photo, "--json")
    done = run(*PROGRAM, *words, env=environment)
    (finding,) = json.loads(done.stdout)["findings"]
    told = [finding[f"{what}_source"] for what in ("record", "info", "body")]
    assert (done.returncode, told) == (0, ["server", "server", "cache"])
    archive.edit("blobs", SAMPLE["blob:container-photo"], scanned_status="SCANNED_BAD")
    archive.reset()
    done = run(*PROGRAM, *words, "--offline", env=environment)
    (finding,) = json.loads(done.stdout)["findings"]
    told = [finding[f"{what}_source"] for what in ("record", "info", "body")]
    assert (done.returncode, told) == (0, ["index", "index", "cache"])
    assert archive.paths() == []
    assert photo.read_bytes()
    assert run(*PROGRAM, *words, env=environment).returncode == 1
    with pytest.raises(PermissionError):
        photo.read_bytes()


@pytest.mark.parametrize("words", [("ls", "assets"), ("verify", "assets", "--json")])
def test_output_that_cannot_be_written_is_told(
    archive: Steering, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """By a sentence, whatever was to be written."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, *words],
            env=_environment(archive, tmp_path / "home"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "attachfs: cannot write the output: No space left on device"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.mount
def test_a_mount_writes_no_parquet(
    run: Run, mount: Callable[..., Mount], environment: dict[str, str], tmp_path: Path
) -> None:
    """It says what can be done instead."""
    mounted = mount()
    report = tmp_path / "report.parquet"
    done = run(*PROGRAM, "verify", mounted.path, "--report", report, env=environment)
    assert done.returncode == 2
    assert "outside of a mount" in sentence(done)
    assert not report.exists()
