"""`attachfs serve`: an archive alone, as other programs use it."""

import re
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.plain import NO_AUTHORITIES
from tests.support.programs import Done, running, sentence, usage_error

Run = Callable[..., Done]

_ASSET = f"assets/{SAMPLE['asset:container']}"


@dataclass
class Served:
    """A running `attachfs serve`."""

    process: subprocess.Popen[str]
    url: str
    token_file: Path

    def request(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Ask with the token in the file, as `curl -H @FILE` does."""
        name, _, value = self.token_file.read_text().strip().partition(": ")
        return httpx.request(
            method,
            f"{self.url}/archivist/v2/{path}",
            headers={name: value},
            trust_env=False,
            **content,
            verify=NO_AUTHORITIES,
        )

    def assets(self) -> list[str]:
        """Return the identities of all assets."""
        answer = self.request("GET", "assets").raise_for_status().json()
        return [asset["identity"] for asset in answer["assets"]]

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal, which is success and silent."""
        self.process.send_signal(how)
        out, error = self.process.communicate()
        assert (self.process.returncode, out, error) == (0, "", "")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where temporary files go; at the end, there must be none."""
    path = tmp_path / "scratch"
    path.mkdir()
    return path


@pytest.fixture
def start(environment: dict[str, str], scratch: Path) -> Iterator[Callable[..., Any]]:
    """Start `attachfs serve`; temporary files must be gone when all have ended."""

    @contextmanager
    def served(*options: object) -> Iterator[Served]:
        with running("serve", *options, env=environment | {"TMPDIR": str(scratch)}) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(2)]
            match = re.fullmatch(
                r"url: (http://127\.0\.0\.1:\d+)\ntoken file: (/.+)\n", "".join(said)
            )
            assert match, said
            served = Served(process, match[1], Path(match[2]))
            yield served
            if process.poll() is None:
                served.end()

    yield served
    assert list(scratch.iterdir()) == []


def test_it_says_where_it_is_and_how_to_get_in(start: Callable[..., Any], scratch: Path) -> None:
    """A URL on this machine and a private file that curl takes as a header."""
    with start() as served:
        assert scratch in served.token_file.parents
        assert stat.S_IMODE(served.token_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(served.token_file.parent.stat().st_mode) == 0o700
        assert re.fullmatch(r"Authorization: Bearer \S+\n", served.token_file.read_text())
        assert _ASSET in served.assets()
        assert (
            httpx.get(
                f"{served.url}/archivist/v2/assets", trust_env=False, verify=NO_AUTHORITIES
            ).status_code
            == 401
        )


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_empty_one_starts_and_ends(
    start: Callable[..., Any], scratch: Path, how: signal.Signals
) -> None:
    """Without the sample assets; Ctrl-C is how one ends it: exit code 0, no message, no file."""
    with start("--empty") as served:
        assert served.assets() == []
        assert list(scratch.iterdir()) != []
        served.end(how)
        assert list(scratch.iterdir()) == []


def test_a_port_may_be_chosen(start: Callable[..., Any], attachfs: Run, scratch: Path) -> None:
    """One that is taken is refused by its number, with what to do, and leaves no file."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = attachfs("serve", "--port", port, TMPDIR=str(scratch))
        assert done.returncode == 50
        assert f"Port {port} of 127.0.0.1 is in use: give another one" in sentence(done)
        assert list(scratch.iterdir()) == []
    with start("--port", port, "--empty") as served:
        assert served.url == f"http://127.0.0.1:{port}"
        assert served.assets() == []


def test_data_survives_a_restart(start: Callable[..., Any], tmp_path: Path) -> None:
    """Records, the token and the app registration of before are good afterwards."""
    data = tmp_path / "new" / "data"
    with start("--data", data, "--empty") as served:
        assert data in served.token_file.parents
        created = served.request("POST", "assets", json={"attributes": {"who": "me"}})
        assert created.is_success, created.text
        identity = created.json()["identity"]
        token = served.token_file.read_text()
        secret = served.token_file.with_name("client-secret.txt").read_text()
        assets = served.assets()
    assert assets == [identity]
    with start("--data", data, "--empty") as served:
        assert served.assets() == assets
        old = {"Authorization": token.partition(": ")[2].strip()}
        url = f"{served.url}/archivist/v2/{identity}"
        answer = httpx.get(url, headers=old, trust_env=False, verify=NO_AUTHORITIES)
        assert answer.json()["attributes"]["who"] == "me"
        assert served.token_file.with_name("client-secret.txt").read_text() == secret


def test_data_has_one_owner(start: Callable[..., Any], attachfs: Run, tmp_path: Path) -> None:
    """A second archive on the same directory is refused, and the first goes on."""
    with start("--data", tmp_path / "data", "--empty") as served:
        done = attachfs("serve", "--data", tmp_path / "data")
        assert done.returncode == 50
        assert str(tmp_path / "data") in sentence(done)
        assert served.assets() == []


def test_data_must_be_an_archive(attachfs: Run, tmp_path: Path) -> None:
    """A directory that holds something else is left alone, and a file is none."""
    file = tmp_path / "data" / "thesis.txt"
    file.parent.mkdir()
    file.write_text("all my work")
    done = attachfs("serve", "--data", file.parent)
    assert done.returncode == 50
    assert str(file.parent) in sentence(done)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert "is a file" in usage_error(attachfs("serve", "--data", file))


def test_answers_may_be_late(start: Callable[..., Any]) -> None:
    """By at least as much as was ordered."""
    with start("--latency", "200ms", "--empty") as served:
        begun_s = time.monotonic()
        served.assets()
        assert time.monotonic() - begun_s >= 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--port", "65536"), "65536 is not in the range 0<=x<=65535"),
        (("--latency", "soon"), "'soon' is not a duration; write it like 30s"),
        (("--data", ""), "names nothing"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    attachfs: Run, options: tuple[str, ...], message: str
) -> None:
    """The message says what the option takes."""
    assert message in usage_error(attachfs("serve", *options))


def test_without_a_reader_it_ends(
    environment: dict[str, str], scratch: Path, broken_pipe: int
) -> None:
    """`attachfs serve | head -0` leaves no archive behind."""
    env = environment | {"TMPDIR": str(scratch)}
    with running("serve", env=env, stdout=broken_pipe) as process:
        _, error = process.communicate()
    assert error == ""
    assert process.returncode != 0
    assert list(scratch.iterdir()) == []
