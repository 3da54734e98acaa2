"""Nothing that the program writes, shows or leaves behind has a secret in it, in any form."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.support.archives import token_of
from tests.support.daemons import adopting, daemon_on, end
from tests.support.evidence import attach
from tests.support.mounts import PATIENCE_S, Mount, Steering
from tests.support.outcomes import WELL, outcome, until
from tests.support.programs import PROGRAM, Done, left_mounted, running
from tests.support.reliability import Row, record
from tests.support.traces import files_below, found_in, open_to_others, processes_of

pytestmark = pytest.mark.mount

Run = Callable[..., Done]
_GROUP = "Secrets"
_SMALL_BYTES, _LARGE_BYTES = 5000, 2 << 20
_OPTIONS = ("--metadata-ttl", "1s", "--log-level", "debug")
# A defect of ours, as far from the kernel and as near to the token as can be.
_DEFECTIVE = """
import signal
from attachfs.archive.http.tokens import Tokens
from attachfs.cli.app import main
def turn(*_):
    def broken(tokens):
        secret = tokens._credentials.current().reveal()
        raise RuntimeError("a defect")
    Tokens.header = broken
signal.signal(signal.SIGUSR2, turn)
main()
"""
# Stands where programs look first for fusermount3.
_FUSERMOUNT = """#!/bin/sh
cat /proc/$$/environ /proc/$$/cmdline >>'{seen}'
exec '{real}' "$@"
"""


class Kept:
    """What must be found nowhere: the secrets of an archive, and tokens made while it runs."""

    def __init__(self, archive: Steering, monkeypatch: pytest.MonkeyPatch) -> None:
        running = archive.running
        self.token = token_of(running)
        self.client_secret = running.client_secret_file.read_text().strip()
        self.all = [self.token, self.client_secret]
        issue = running.archive.identities.issue

        def noted(*arguments: Any, **settings: Any) -> str:
            token = issue(*arguments, **settings)
            self.all.append(token)
            return token

        monkeypatch.setattr(running.archive.identities, "issue", noted)

    def found_in(self, places: Mapping[str, bytes]) -> list[str]:
        """Return where something of a secret is to be seen."""
        return found_in(self.all, places)


@pytest.fixture
def secrets(archive: Steering, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """The secrets of the archive."""
    return Kept(archive, monkeypatch)


@pytest.fixture
def environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment below one home, with a place for temporary files that is looked into."""
    (tmp_path / "tmp").mkdir(mode=0o700)
    return environment | {"TMPDIR": str(tmp_path / "tmp"), "PYTHONFAULTHANDLER": "1"}


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path) -> Iterator[None]:
    """Unmount in the end what a mount that died has left."""
    yield
    left_mounted(tmp_path)


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[bytes]]]:
    """Another server that attachments are redirected to, and whatever it is sent."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        received.append(connection.recv(65536))

        thread = threading.Thread(target=listen)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", received
        server.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE_S)


@dataclass(frozen=True)
class _Way:
    """How credentials are given: options and variables; and whether they are a client's."""

    options: tuple[object, ...]
    variables: dict[str, str]
    is_client: bool


def _way(name: str, archive: Steering, secrets: Kept) -> _Way:
    running = archive.running
    client_id = running.client_id
    secret_file = ("--client-secret-file", running.client_secret_file)
    in_variable = {
        "DATATRAILS_APPREG_CLIENT": client_id,
        "DATATRAILS_APPREG_SECRET": secrets.client_secret,
    }
    return {
        "token file": _Way(("--token-file", running.token_file), {}, is_client=False),
        "token in a variable": _Way(
            (), {"DATATRAILS_AUTHTOKEN": f"Bearer {secrets.token}"}, is_client=False
        ),
        "client secret file": _Way(("--client-id", client_id, *secret_file), {}, is_client=True),
        "client secret in a variable": _Way((), in_variable, is_client=True),
    }[name]


_WAYS = ("token file", "token in a variable", "client secret file", "client secret in a variable")


def _echoes(secret: str) -> list[dict[str, Any]]:
    """Return answers that repeat what they were sent, or something like it."""
    header = f"Authorization: Bearer {secret}"
    said = (header, secret, quote(f"&client_secret={secret}&"), b64encode(secret.encode()).decode())
    bodies = [json.dumps({"error": "x", "message": text}) for text in said]
    bodies += [header, json.dumps([header]), f'{{"identity": "{header}"}}']
    json_type = {"content-type": "application/json"}
    return [
        *({"status": status, "body": body} for body in bodies for status in (400, 401, 403)),
        {"status": 500, "body": bodies[0]},
        *({"status": 200, "headers": json_type, "body": body} for body in bodies),
        {"status": 302, "headers": {"location": f"http://elsewhere/?t={secret}"}},
        {"status": 302, "headers": {"location": f"http://[{secret}"}},
        {"status": 200, "headers": {"content-encoding": secret}, "body": "{}"},
    ]


def _use(root: Path, archive: Steering, elsewhere: str) -> None:
    """Read all that can be read, and what is redirected to another server."""
    small, large, moved = (
        attach(archive.running, size) for size in (_SMALL_BYTES, _LARGE_BYTES, _SMALL_BYTES)
    )
    subprocess.run(
        ["ls", "-lR", root / "assets", root / "by-name"], capture_output=True, check=False
    )
    for piece in (small, large):
        assert (root / piece.path).read_bytes() == piece.content
        assert os.getxattr(root / piece.path, "user.archivist.info")
        assert (root / piece.directory / "SHA256SUMS").read_text()
    archive.switch(redirect=elsewhere)
    assert outcome((root / moved.path).read_bytes) != WELL
    archive.switch(redirect="")


def _hear(root: Path, archive: Steering, answers: list[dict[str, Any]]) -> None:
    """Have a server answer like that for records, small bodies and large ones; note why it is."""
    failing: list[Path] = []
    for number, answer in enumerate(answers):
        piece = attach(archive.running, _LARGE_BYTES if number % 8 == 1 else _SMALL_BYTES)
        event = root / piece.directory / "events" / str(uuid4()) / "event.json"
        path = root / piece.path
        for name in (event.parent.name, path.name):
            archive.fail_next(path_regex=f"/{name}$", times=99, **answer)
        failing += [event, path]
    with ThreadPoolExecutor(16) as pool:
        assert WELL not in set(pool.map(outcome, [path.read_bytes for path in failing]))
    for path in failing:
        with suppress(OSError):
            assert os.getxattr(path, "user.archivist.last_error")


def _exchange_badly(root: Path, archive: Steering, answers: list[dict[str, Any]]) -> None:
    """Have the token endpoint answer like that when another token is needed."""
    for answer in answers:
        archive.reset()
        archive.revoke_tokens()
        archive.fail_next(path_regex="/token$", times=99, **answer)
        assert outcome((root / "assets" / str(uuid4()) / "asset.json").read_bytes) != WELL
    archive.reset()


@pytest.mark.parametrize("way", _WAYS)
def test_no_secret_is_left_anywhere(
    *,
    archive: Steering,
    secrets: Kept,
    environment: dict[str, str],
    tmp_path: Path,
    elsewhere: tuple[str, list[bytes]],
    run: Run,
    way: str,
) -> None:
    """Log, output, cache, index and all that /proc shows, while it runs and afterwards."""
    chosen = _way(way, archive, secrets)
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    env = environment | chosen.variables
    arguments = ("mount", mountpoint, "--url", archive.url, *chosen.options, *_OPTIONS)
    with adopting():
        done = run(*PROGRAM, *arguments, env=env)
        assert done.returncode == 0, done.stderr
        daemon = daemon_on(mountpoint)
        _use(mountpoint, archive, elsewhere[0])
        if not chosen.variables:  # what is heard is the same however the secret came
            sent = secrets.all[-1] if chosen.is_client else secrets.token
            _hear(mountpoint, archive, _echoes(sent))
            if chosen.is_client:
                _exchange_badly(mountpoint, archive, _echoes(secrets.client_secret)[1::2])
        assert run(*PROGRAM, "refresh", mountpoint, env=env).returncode == 0
        shown = processes_of(daemon)
        places = files_below(tmp_path)
        assert end(daemon, signal.SIGTERM) == 0
    places |= files_below(tmp_path) | shown
    places |= {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    log = next(content for name, content in places.items() if name.endswith(".log"))
    assert b"redirect to another server" in log
    assert chosen.variables or all(status in log for status in (b" 400", b" 401", b" 403", b" 500"))
    assert any(name.endswith(".sqlite3-wal") for name in places)
    assert any("/sha256/" in name for name in places)
    assert secrets.found_in(places) == []
    assert elsewhere[1] == []  # not even asked
    record(
        Row(
            _GROUP,
            f"a debug log, and a server that echoes what it is sent ({way})",
            "log, output, cache, index, /proc",
            len(places),
            "no secret is there",
            "",
            0,
        )
    )


def test_a_mount_that_is_refused_says_no_secret(
    archive: Steering, secrets: Kept, environment: dict[str, str], tmp_path: Path, run: Run
) -> None:
    """Nor does the one sentence quote what the server makes of it."""
    running = archive.running
    refusals = {"v2/assets$": secrets.token, "/token$": secrets.client_secret}
    for path, secret in refusals.items():
        said = json.dumps({"error": "x", "message": f"no good: {secret}"})
        archive.fail_next(path_regex=path, times=99, status=401, body=said)
    places: dict[str, bytes] = {}
    for name in _WAYS:
        chosen = _way(name, archive, secrets)
        mountpoint = tmp_path / name
        mountpoint.mkdir()
        arguments = ("mount", mountpoint, "--url", running.url, *chosen.options, *_OPTIONS)
        done = run(*PROGRAM, *arguments, env=environment | chosen.variables)
        assert done.returncode == 23, done.stderr
        places |= {name: (done.stdout + done.stderr).encode()}
    assert secrets.found_in(places | files_below(tmp_path)) == []


def test_what_it_makes_is_for_its_user_alone(
    archive: Steering, environment: dict[str, str], tmp_path: Path, run: Run
) -> None:
    """Files, directories and sockets, whatever the umask: all that was not there before."""
    home = tmp_path / "new home"
    home.mkdir(mode=0o700)
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    env = environment | {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": "",
        "XDG_CACHE_HOME": "",
        "XDG_STATE_HOME": "",
        "TMPDIR": str(home),
    }
    where = ("--url", archive.url, "--token-file", archive.token_file)
    small, large = attach(archive.running, _SMALL_BYTES), attach(archive.running, _LARGE_BYTES)
    with adopting():
        done = run(*PROGRAM, "mount", mountpoint, *where, env=env, umask=0)
        assert done.returncode == 0, done.stderr
        daemon = daemon_on(mountpoint)
        for piece in (small, large):
            assert (mountpoint / piece.path).read_bytes() == piece.content
        names = {path.name for path in home.rglob("*")}
        exposed = open_to_others(home)
        assert end(daemon, signal.SIGTERM) == 0
    assert {".cache", ".local", "objects", "drafts", "ledger", "index", "log"} <= names
    assert any(name.endswith(".socket") for name in names)
    assert exposed + open_to_others(home) == []
    record(Row(_GROUP, "umask 0", "files, directories, sockets", len(names), "private", "", 0))


def test_a_defect_is_told_without_the_secrets_it_met(
    mount: Callable[..., Mount], archive: Steering, secrets: Kept, tmp_path: Path
) -> None:
    """The traceback is in the log, and the values of its variables are not."""
    evidence = attach(archive.running, _SMALL_BYTES)
    mounted = mount("--log-level", "debug", program=("-c", _DEFECTIVE))
    mounted.expected_warnings |= {"unexpected error in a request", "Traceback", "a defect"}
    mounted.process.send_signal(signal.SIGUSR2)
    assert outcome((mounted.path / evidence.path).read_bytes) == "EIO"
    assert mounted.end() == 0
    log = "\n".join(mounted.log)
    assert "Traceback" in log
    assert "RuntimeError: a defect" in log
    assert secrets.found_in({"log": log.encode()} | files_below(tmp_path)) == []


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGQUIT])
def test_a_crash_leaves_no_core(
    archive: Steering,
    secrets: Kept,
    environment: dict[str, str],
    tmp_path: Path,
    how: signal.Signals,
) -> None:
    """Memory holds the token: nothing is dumped, though the limits say it may be."""
    mountpoint, place = tmp_path / "mnt", tmp_path / "place"
    for path in (mountpoint, place):
        path.mkdir()
    where = ("--url", archive.url, "--token-file", archive.token_file)

    def unlimited() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    control = subprocess.Popen(["sleep", "60"], cwd=place, preexec_fn=unlimited)  # noqa: PLW1509
    control.send_signal(how)
    assert _is_dumped(control)
    with running(
        *("mount", mountpoint, *where, "--foreground"),
        env=environment,
        cwd=place,
        preexec_fn=unlimited,
    ) as process:
        until(mountpoint.is_mount)
        assert list((mountpoint / "assets").iterdir())
        for core in place.iterdir():
            core.unlink()
        process.send_signal(how)
        assert not _is_dumped(process)
        _, said = process.communicate()
    assert list(place.iterdir()) == []
    assert secrets.found_in({"stderr": said.encode()} | files_below(tmp_path)) == []
    record(Row(_GROUP, f"a crash ({how.name})", "core, output", 1, "no core is dumped", "", 0))


def _is_dumped(process: subprocess.Popen[Any]) -> bool:
    """Wait for a process to be killed; tell whether the kernel has dumped its memory."""
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    process.wait()
    return ended.si_code == os.CLD_DUMPED


def test_children_get_no_secret(
    archive: Steering, secrets: Kept, environment: dict[str, str], tmp_path: Path, run: Run
) -> None:
    """fusermount3, which takes down a dead predecessor, has neither in its environment."""
    real = shutil.which("fusermount3")
    programs, seen = tmp_path / "programs", tmp_path / "seen"
    programs.mkdir()
    wrapper = programs / "fusermount3"
    wrapper.write_text(_FUSERMOUNT.format(seen=seen, real=real))
    wrapper.chmod(0o700)
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    both = {
        "PATH": f"{programs}:{environment['PATH']}",
        "DATATRAILS_AUTHTOKEN": secrets.token,
        "DATATRAILS_APPREG_SECRET": secrets.client_secret,
        "SEEN": "by the child",
    }
    arguments = ("mount", mountpoint, "--url", archive.url)
    for _ in range(2):
        with adopting():
            done = run(*PROGRAM, *arguments, env=environment | both)
            assert done.returncode == 0, done.stderr
            daemon = daemon_on(mountpoint)
            assert secrets.found_in(processes_of(daemon)) == []
            assert end(daemon, signal.SIGKILL) == -signal.SIGKILL
    assert b"SEEN=by the child" in seen.read_bytes()
    assert b"fusermount3" in seen.read_bytes()
    assert secrets.found_in({"child": seen.read_bytes()}) == []


def test_what_is_planted_is_found(tmp_path: Path) -> None:
    """The search itself: a secret in any form, whole or cut, in a file or in a name."""
    token = ".".join(b64encode(os.urandom(60), b"-_").decode() for _ in range(3))
    assert found_in([token], files_below(tmp_path)) == []
    payload = token.split(".")[1]
    planted = (
        token,
        payload[:30],
        f"%7B{quote(token, safe='')}%7D",
        b64encode(f"Authorization: Bearer {token}".encode()).decode(),
        b64encode(f"id:{token}".encode()).decode(),
        token.encode().hex(),
    )
    for number, text in enumerate(planted):
        place = tmp_path / str(number)
        place.write_text(f"some log: {text[:500]} and so on")
        assert found_in([token], files_below(tmp_path)) != [], text
        place.unlink()
    (tmp_path / payload[:40]).touch()
    assert found_in([token], files_below(tmp_path)) != []
    assert found_in([token], {"header alone": token.split(".")[0].encode()}) == []
