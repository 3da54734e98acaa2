"""`attachfs verify` and `prefetch` by many workers: the same outcome, whatever dies meanwhile."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from attachfs.demo.estate import SAMPLE
from attachfs.demo.launch import ArchiveConfig, RunningArchive
from attachfs.demo.traffic import Logged
from tests.support import forkserver
from tests.support.clusters import Cluster, DaskPopen, workers_of, workers_on
from tests.support.estates import BLOB_PATHS
from tests.support.evidence import attach, attach_twins
from tests.support.mounts import PATIENCE_S, Steering, bare_environment
from tests.support.outcomes import until
from tests.support.ports import free_port
from tests.support.programs import PROGRAM, Done, running, sentence
from tests.support.reports import rows_of

_PATIENCE_S = 2 * PATIENCE_S  # each process of Dask's imports it first
_ASSETS = 20
_PER_ASSET = 3
# Of the attachments, so many are of more assets than two workers have under way; so some of these
# are covered.
_FIRST = 36
# The program with less patience for schedulers.
_BRIEF = (
    sys.executable,
    "-c",
    """
from attachfs.cli.app import main
from attachfs.cluster import crew
crew._CONNECT_S = 0.3
main()
""",
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return whose archive and cache it is."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def slow(serve: Callable[[ArchiveConfig], RunningArchive]) -> Iterator[Steering]:
    """An archive that takes its time, with 60 attachments; an event of each shows them again."""
    running = serve(ArchiveConfig(latency_s=0.05, empty=True))
    for _ in range(_ASSETS):
        attach(running, *range(1000, 1000 + _PER_ASSET))
    with Steering(running) as steering:
        yield steering


def _environment(archive: Steering, home: Path) -> dict[str, str]:
    return bare_environment(home) | {
        "ATTACHFS_URL": archive.url,
        "ATTACHFS_TOKEN_FILE": str(archive.token_file),
    }


def _run(
    environment: dict[str, str],
    *arguments: object,
    program: tuple[str, ...] = PROGRAM,
    popen: type[forkserver.Popen] = DaskPopen,
) -> Done:
    return forkserver.run(
        [*program, *map(str, arguments)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
        popen=popen,
    )


def _said(err: str) -> list[str]:
    """Return the lines that say more than how far it is, which a slow machine has time to say."""
    return [line for line in err.splitlines() if line and not line.startswith("attachfs: verify:")]


def _verified_alone(environment: dict[str, str], file: Path) -> list[dict[str, Any]]:
    _run(environment, "verify", "assets", "--report", file)
    return rows_of(file)


def test_the_report_is_that_of_one_process(archive: Steering, home: Path, tmp_path: Path) -> None:
    """To the row, with all that is not well; and the exit status is the same.

    These workers are true starts, as users have them.
    """
    archive.edit("blobs", SAMPLE["blob:container-photo"], flip_body_byte=100)
    environment = _environment(archive, home)
    paths = ("assets", "publicassets", f"assets/{SAMPLE['asset:container']}/events")
    reports, codes, lines = [], [], []
    for name, options in (("one", ()), ("many", ("--workers", "2"))):
        file = tmp_path / f"{name}.json"
        words = ("verify", *paths, "--report", file, "--log-level=error", *options)
        done = _run(environment, *words, popen=forkserver.Popen)
        codes.append(done.returncode)
        lines.append(sorted(done.stdout.splitlines()))
        reports.append(rows_of(file))
    assert reports[0] == reports[1]
    assert lines[0] == lines[1]
    assert codes == [1, 1]
    assert {row["verdict"] for row in reports[1]} == {"verified", "mismatched", "bad scan"}


def test_twins_of_what_is_bad_are_bad_whoever_met_them(
    serve: Callable[[ArchiveConfig], RunningArchive], home: Path, tmp_path: Path
) -> None:
    """Workers do not know what others meet, and one process may meet it last."""
    running_archive = serve(ArchiveConfig(empty=True))
    bad, twin = attach_twins(running_archive, _ASSETS)
    with Steering(running_archive) as archive:
        environment = _environment(archive, home)
        alone = _verified_alone(environment, tmp_path / "alone.json")
        for name, options in (("again.json", ()), ("fresh.parquet", ("--refetch",))):
            report = tmp_path / name
            words = ("verify", "assets", "--workers", "2", "--report", report, *options)
            assert _run(environment, *words).returncode == 1
            assert rows_of(report) == alone
    verdicts = {row["path"]: row["verdict"] for row in alone}
    assert (verdicts[bad.path], verdicts[twin.path]) == ("bad scan", "bad scan")
    cache = home / "cache/attachfs"
    assert sorted(path.name for path in cache.iterdir()) == ["index", "objects"]


def test_what_a_worker_warns_of_is_told_here(archive: Steering, home: Path) -> None:
    """In the form that was asked for: where workers are, nobody looks."""
    environment = _environment(archive, home)
    _run(environment, "prefetch", f"assets/{SAMPLE['asset:container']}")
    damaged = max((home / "cache/attachfs/objects/sha256").glob("*/*"))
    damaged.write_bytes(bytes(len(damaged.read_bytes())))
    done = _run(environment, "verify", "assets", "--workers", "2", "--log-format", "json")
    events = [json.loads(line) for line in _said(done.stderr)]
    assert {(event["level"], event["event"]) for event in events} == {
        ("warning", "an object of the store is damaged, it is fetched again")
    }
    assert damaged.parent.name + damaged.name in events[0]["reason"]
    assert "1 bad scan" in done.stdout


def test_a_worker_that_is_killed_loses_nothing(slow: Steering, home: Path, tmp_path: Path) -> None:
    """Its parts are done by another one, and no row is there twice."""
    environment = _environment(slow, home)
    report = tmp_path / "report.parquet"
    arguments = ("verify", "assets", "--workers", "2", "--jobs", "4", "--report", report)
    slow.hold(BLOB_PATHS, after=_FIRST, for_s=1)
    with running(*arguments, env=environment, patience_s=_PATIENCE_S, popen=DaskPopen) as process:
        until(lambda: len(slow.paths(BLOB_PATHS)) >= _FIRST)
        with workers_of(process.pid) as workers:
            assert len(workers) == 2
            workers[0].kill()
            slow.reset()
            out, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 0
    expected = _verified_alone(environment, tmp_path / "alone.json")
    assert rows_of(report) == expected
    assert out.startswith(f"verified: {len(expected)} files, ")
    assert len(expected) == len({row["path"] for row in expected}) >= _ASSETS * _PER_ASSET


def test_what_was_done_before_the_scheduler_went_away_is_not_done_again(
    slow: Steering, home: Path, tmp_path: Path
) -> None:
    """It is said; the same command goes on from there, and each row is there once.

    The two workers share no cache, as on two machines.
    """
    environment = _environment(slow, home)
    report = tmp_path / "report.parquet"
    with Cluster(tmp_path, environment) as cluster:
        cluster.start(2)
        slow.hold(BLOB_PATHS, after=_FIRST)
        arguments = ("verify", "assets", "--scheduler", cluster.url, "--report", report)
        with running(
            *arguments, "--jobs", "4", env=environment, patience_s=_PATIENCE_S, popen=DaskPopen
        ) as process:
            until(lambda: len(slow.paths(BLOB_PATHS)) == _FIRST)
            cluster.kill()
            out, err = process.communicate(timeout=_PATIENCE_S)
        assert (process.returncode, out) == (51, "")
        assert "the scheduler went away" in err.splitlines()[-1]
        assert "Traceback" not in err, err
        covered = rows_of(report)
        assert len(covered) > 0
        slow.reset()
        cluster.start(2)
        done = _run(environment, *arguments)
        assert done.returncode == 0, done.stderr
        again = set(slow.paths(BLOB_PATHS))
    rows = rows_of(report)
    assert rows == _verified_alone(environment, tmp_path / "alone.json")
    assert done.stdout.startswith(f"verified: {len(rows)} files, ")
    assert again
    assert not [row for row in covered if f"/archivist/v2/attachments/{row['path']}" in again]
    caches = [sorted(cluster.cache(number).rglob("sha256/*/*")) for number in range(2)]
    assert all(caches)


def test_refusal_of_one_worker_pauses_all(
    slow: Steering, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as the server asks; what is under way by then is answered meanwhile."""
    pause_s = 2
    answered: list[tuple[float, int]] = []
    traffic = slow.running.archive.traffic
    note = traffic.note

    def note_time(entry: Logged) -> None:
        if re.search(BLOB_PATHS, entry.path):
            answered.append((time.monotonic(), entry.status))
        note(entry)

    monkeypatch.setattr(traffic, "note", note_time)
    port = int(slow.url.rpartition(":")[2])
    arguments = ("prefetch", "assets", "--workers", "2", "--jobs", "2")
    environment = _environment(slow, home)
    with running(*arguments, env=environment, patience_s=_PATIENCE_S, popen=DaskPopen) as process:
        until(lambda: workers_on(process.pid, port) == 2)
        slow.fail_next(path_regex=BLOB_PATHS, status=429, headers={"retry-after": str(pause_s)})
        out, err = process.communicate(timeout=_PATIENCE_S)
    assert (process.returncode, "failed" in out) == (0, False), err
    (refused_s,) = (at_s for at_s, status in answered if status == 429)
    before = [at_s for at_s, _ in answered if at_s <= refused_s]
    during = [at_s for at_s, _ in answered if refused_s < at_s < refused_s + pause_s]
    assert len(during) < (_ASSETS * _PER_ASSET - len(before)) / 3


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_a_cut_leaves_nobody_at_work(
    slow: Steering, home: Path, tmp_path: Path, ended_by: signal.Signals
) -> None:
    """Ctrl-C ends it with 130 and no traceback; what was covered is in the report."""
    environment = _environment(slow, home)
    report = tmp_path / "report.parquet"
    arguments = ("verify", "assets", "--workers", "2", "--jobs", "2", "--report", report)
    slow.hold(BLOB_PATHS, after=_FIRST)
    with running(*arguments, env=environment, patience_s=_PATIENCE_S, popen=DaskPopen) as process:
        until(lambda: len(slow.paths(BLOB_PATHS)) == _FIRST)
        with workers_of(process.pid) as workers:
            for worker in workers if ended_by is signal.SIGINT else ():  # as a terminal does
                worker.send_signal(ended_by)
            process.send_signal(ended_by)
            _, err = process.communicate(timeout=PATIENCE_S)
        assert not any(worker.is_running() for worker in workers)
    assert (process.returncode, _said(err)) == (128 + ended_by, [])
    assert len(rows_of(report)) >= _PER_ASSET
    assert json.loads((report / "_report.json").read_bytes())["ended"] == ""


def test_other_users_are_told_nothing(slow: Steering, home: Path) -> None:
    """No port of the program or of a worker speaks HTTP, nor anything without a certificate."""
    environment = _environment(slow, home)
    arguments = ("verify", "assets", "--workers", "2", "--jobs", "2", "--json")
    slow.hold(BLOB_PATHS, after=_FIRST)
    with running(*arguments, env=environment, patience_s=_PATIENCE_S, popen=DaskPopen) as process:
        until(lambda: len(slow.paths(BLOB_PATHS)) == _FIRST)
        with workers_of(process.pid) as workers:
            ports = {
                connection.laddr.port
                for one in (psutil.Process(process.pid), *workers)
                for connection in one.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            }
            assert len(ports) >= 1 + len(workers)
            for port in ports:
                assert not _plain_answer(port)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=_PATIENCE_S)


def _plain_answer(port: int) -> bytes:
    """Return what is answered to somebody without a certificate, but for alerts of TLS."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        answer = b""
        with suppress(ConnectionResetError):
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            answer = connection.recv(4096)
    is_alert = answer.startswith(b"\x15\x03")  # RFC 8446 section 5.1
    return b"" if is_alert else answer


@pytest.mark.parametrize("processes", [1, 3])
def test_a_cut_at_the_start_says_nothing(slow: Steering, home: Path, processes: int) -> None:
    """Whatever of the cluster is there by then; its processes are true starts."""
    environment = _environment(slow, home)
    with running(
        "verify", "assets", "--workers", "2", env=environment, patience_s=_PATIENCE_S
    ) as process:
        whole = psutil.Process(process.pid)
        until(lambda: len(whole.children(recursive=True)) >= processes)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=_PATIENCE_S)
    assert (process.returncode, out, _said(err)) == (130, "", [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--workers", "2", "--scheduler", "tcp://127.0.0.1:1"), "not both"),
        (("--report", "report.parquet", "--workers", "2", "--json"), "without --json"),
    ],
)
def test_a_mistake_is_told(
    archive: Steering, home: Path, options: tuple[str, ...], said: str
) -> None:
    """At once, by the name of the option."""
    done = _run(_environment(archive, home), "verify", "assets", *options)
    assert done.returncode == 2
    assert said in sentence(done)


def test_a_path_that_is_not_there_is_told_as_by_one_process(archive: Steering, home: Path) -> None:
    """Before anything is handed out."""
    unknown = "assets/00000000-0000-4000-8000-000000000000"
    done = _run(_environment(archive, home), "verify", unknown, "--workers", "1")
    assert done.returncode == 2
    assert unknown in done.stderr


def test_a_token_that_is_in_no_file_is_not_handed_to_workers(archive: Steering, home: Path) -> None:
    """It would lie in their memory and in the scheduler's."""
    environment = _environment(archive, home)
    token = Path(environment.pop("ATTACHFS_TOKEN_FILE")).read_text()
    environment["DATATRAILS_AUTHTOKEN"] = token
    done = _run(environment, "verify", "assets", "--workers", "1")
    assert done.returncode == 22
    assert "--token-file" in done.stderr


def test_what_is_no_schedulers_url_is_told(archive: Steering, home: Path) -> None:
    """At once, with one that would be."""
    done = _run(_environment(archive, home), "verify", "assets", "--scheduler", "tcp://host:1/")
    assert done.returncode == 51
    assert "it should look like tcp://10.0.0.1:8786" in sentence(done)


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_somebody_else_is_not_waited_for(archive: Steering, home: Path, scheme: str) -> None:
    """A server that is no scheduler, or says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}"
        words = ("verify", "assets", "--scheduler", url)
        done = _run(_environment(archive, home), *words, program=_BRIEF)
    assert done.returncode == 51
    assert f"no Dask scheduler answers at {url}" in sentence(done)


def test_a_scheduler_that_is_not_there_is_told(archive: Steering, home: Path) -> None:
    """With its address."""
    url = f"tcp://127.0.0.1:{free_port()}"
    words = ("prefetch", "assets", "--scheduler", url)
    done = _run(_environment(archive, home), *words, program=_BRIEF)
    assert done.returncode == 51
    assert f"no Dask scheduler answers at {url}" in sentence(done)


@pytest.mark.mount
def test_a_mount_works_by_itself(mounted: Any, home: Path) -> None:
    """It has one event loop, and one cache."""
    done = _run(bare_environment(home), "verify", mounted.path, "--workers", "2")
    assert done.returncode == 2
    assert "outside of a mount" in sentence(done)
