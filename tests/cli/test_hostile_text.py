"""A server that fills every text with what a terminal obeys: no command and no log lets it out."""

import json
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from attachfs.audit.report import Verdict
from tests.support.archives import declared, uuid_in
from tests.support.mounts import Mount, Steering
from tests.support.programs import Done

pytestmark = pytest.mark.mount

Run = Callable[..., Done]

# Each clears a screen, rings, forges a line or an entry, or turns text around.
_SHORT = (
    "a\x1b[2J\x1b]0;b\x07\x9b31m\x7f\x85\u202e\u2066\u2028\u2029"
    "\nattachfs: forged\r2099-01-01T00:00:00Z [info     ] forged\n<6>forged"
)
_HOSTILE = _SHORT + 20_000 * "x"
_FORGED = re.compile(r"^(attachfs: |2099|<6>)?forged", re.MULTILINE)


class Hostile:
    """An asset of a hostile server, with attachments of every verdict."""

    def __init__(self, archive: Steering) -> None:
        demo = archive.running.archive
        self.blobs = {verdict: demo.create_blob(verdict.encode()) for verdict in Verdict}
        attributes: dict[str, Any] = {"arc_display_name": _HOSTILE, _SHORT: _HOSTILE}
        for verdict, blob in self.blobs.items():
            texts = dict.fromkeys(("arc_file_name", "arc_display_name"), f"{verdict}{_HOSTILE}")
            attributes[f"{verdict}{_SHORT}"] = declared(blob, **texts)
        bad = attributes[f"{Verdict.MISMATCHED}{_SHORT}"]
        bad["arc_blob_hash_value"] = _HOSTILE
        self.asset = uuid_in(demo.create_asset({"attributes": {}}))
        event = {"operation": "Record", "behaviour": "RecordEvidence"}
        recorded = demo.create_event(self.asset, event)
        # No service takes such values: they are put in afterwards.
        demo.edit_asset(self.asset, attributes=attributes)
        demo.edit_event(uuid_in(recorded), attributes={"arc_display_type": _HOSTILE})
        for blob in self.blobs.values():
            overrides = {"mime_type": _HOSTILE, _SHORT: {_SHORT: [_SHORT]}, "issuer": _HOSTILE}
            demo.edit_blob(uuid_in(blob), info_overrides=overrides)
        demo.edit_blob(
            uuid_in(self.blobs[Verdict.BAD_SCAN]),
            scanned_status="SCANNED_BAD",
            scanned_bad_reason=_HOSTILE,
        )
        demo.edit_blob(uuid_in(self.blobs[Verdict.MISSING]), delete=True)
        self._archive = archive
        self.body = json.dumps({"message": _HOSTILE, "error": _HOSTILE})
        self.fail()

    def fail(self) -> None:
        """Have one attachment refused in hostile words."""
        unreadable = uuid_in(self.blobs[Verdict.UNREADABLE])
        self._archive.fail_next(path_regex=unreadable, status=403, body=self.body, times=1000)

    def path(self, verdict: Verdict) -> str:
        """Return where the attachment of a verdict is."""
        return f"assets/{self.asset}/{uuid_in(self.blobs[verdict])}"


@pytest.fixture
def hostile(archive: Steering) -> Hostile:
    """A hostile asset among the sample ones."""
    return Hostile(archive)


def _assert_harmless(text: str, *, most_chars: int = 4200) -> None:
    """Fail where a terminal would obey something, a line is forged or one has no bound."""
    found = {char for char in text if not char.isprintable() and char != "\n"}
    assert not found, f"{found} in {text[:2000]!r}"
    assert not _FORGED.search(text)
    assert max(map(len, text.split("\n"))) <= most_chars


_COMMANDS = [
    "ls assets",
    "ls -l by-name",
    "ls -l {asset}",
    "ls {named}",
    "ls -l {named}/events",
    "info {asset}",
    "info {attachments}",
    "info assets/nowhere\x1b[2J",
    "cat {bad} {mismatched} {missing} {unreadable}",
    "cat {asset}/SHA256SUMS",
    "prefetch {asset}",
    "verify {asset}",
    "verify by-name",
]
# What another process than a mount prints: it has met the errors itself.
_DIRECT = [
    "ls -l by-name",
    "info {attachments}",
    "cat {bad} {mismatched} {missing} {unreadable}",
    "verify {asset}",
]
_OF_JSON = [
    "ls --json by-name",
    "ls --json {named}",
    "ls --json -l {asset}",
    "info --json {attachments}",
    "verify --json {asset}",
    "prefetch --json {asset}",
]


@pytest.fixture
def ask(hostile: Hostile, archive: Steering, attachfs: Run) -> Callable[..., Done]:
    """Run a command on the hostile archive, without a mount or in one."""
    named = ""

    def run(command: str, root: Path | None = None, *options: object) -> Done:
        nonlocal named
        at = (lambda path: path) if root is None else (lambda path: str(root / path))
        access = () if root else ("--url", archive.url, "--token-file", archive.token_file)
        if "named" in command and not named:
            listed = json.loads(attachfs("ls", "--json", at("by-name"), *access).stdout)
            (named,) = (
                entry["name"]
                for entry in listed
                if entry["name"].endswith(hostile.asset.replace("-", "")[:12])
            )
        words = {
            "{asset}": [f"assets/{hostile.asset}"],
            "{named}": [f"by-name/{named}"],
            "{attachments}": [hostile.path(verdict) for verdict in Verdict],
            **{f"{{{verdict.split()[0]}}}": [hostile.path(verdict)] for verdict in Verdict},
        }
        name, *arguments = command.split(" ")
        spelt: list[object] = []
        for argument in arguments:
            word, slash, rest = argument.partition("/")
            if argument.startswith("-"):
                spelt.append(argument)
            else:
                spelt += [at(f"{path}{slash}{rest}") for path in words.get(word, [word])]
        hostile.fail()
        return attachfs(name, *spelt, *access, *options)

    return run


@pytest.mark.parametrize("is_mounted", [False, True], ids=["direct", "mounted"])
def test_commands_print_nothing_that_a_terminal_obeys(
    ask: Callable[..., Done], mount: Callable[..., Mount], *, is_mounted: bool
) -> None:
    """On either stream, for people; with a mount and without."""
    mounted = mount() if is_mounted else None
    if mounted is not None:
        mounted.expected_warnings |= {"forged", "SHA-256", "warning"}
    root = None if mounted is None else mounted.path
    for command in _DIRECT if root is None else _COMMANDS:
        done = ask(command, root)
        assert "Traceback" not in done.stderr
        _assert_harmless(done.stdout)
        _assert_harmless(done.stderr)
    for command in _OF_JSON[-3:] if root is None else _OF_JSON:
        done = ask(command, root)
        _assert_harmless(done.stdout, most_chars=200_000)
        _assert_harmless(done.stderr)
        assert json.loads(done.stdout)
    if mounted is not None:
        _assert_harmless("\n".join(mounted.log))


def test_json_is_exact(ask: Callable[..., Done], hostile: Hostile) -> None:
    """Escapes of JSON stand for the characters that the server sent."""
    path = hostile.path(Verdict.BAD_SCAN)
    (told,) = json.loads(ask("info --json {bad}").stdout)
    assert told["path"] == path
    assert told["info"]["scanned_bad_reason"] == _HOSTILE
    assert told["info"][_SHORT] == {_SHORT: [_SHORT]}
    assert told["file_name"] == f"{Verdict.BAD_SCAN}{_HOSTILE}"
    report = json.loads(ask("verify --json {asset}").stdout)
    assert report["findings"][0]["asset_name"] == _HOSTILE


def test_reports_are_harmless(ask: Callable[..., Done], tmp_path: Path) -> None:
    """The page and the JSON."""
    for name in ("report.html", "report.json"):
        ask("verify {asset}", None, "--report", tmp_path / name)
        text = (tmp_path / name).read_text()
        _assert_harmless(text, most_chars=1_000_000)
    findings = json.loads((tmp_path / "report.json").read_text())["findings"]
    assert {finding["verdict"] for finding in findings} >= {
        Verdict.BAD_SCAN,
        Verdict.MISMATCHED,
        Verdict.VERIFIED,
    }


def _raw_status(sockets: Path) -> str:
    """Return what the socket of the one mount answers, byte for byte."""
    (address,) = sockets.glob("*.socket")
    directory = os.open(sockets, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"/proc/self/fd/{directory}/{address.name}")
        os.close(directory)
        connection.sendall(b'{"command": "status"}\n')
        with connection.makefile("rb") as answer:
            return answer.read().decode()


def _provoke(root: Path, hostile: Hostile, archive: Steering) -> None:
    """Have the kernel ask for everything that the hostile server has an answer to."""
    for verdict in Verdict:
        hostile.fail()
        with suppress(OSError):
            (root / hostile.path(verdict)).read_bytes()
        with suppress(OSError):
            os.listxattr(root / hostile.path(verdict))
    for path in (root / "by-name").iterdir():
        _assert_harmless(path.name)
    archive.fail_next(path_regex="/assets", status=400, body=hostile.body, times=1)
    with pytest.raises(OSError, match="Input/output error"):
        (root / "assets" / "00000000-0000-4000-8000-000000000000").stat()


@pytest.mark.parametrize(
    ("form", "begins"), [("text", r"\d{4}-\d\d-\d\dT"), ("json", r"\{"), ("journal", "<[3-7]>")]
)
def test_status_and_log_of_a_mount_are_harmless(
    background: Run,
    attachfs: Run,
    mountpoint: Path,
    request: pytest.FixtureRequest,
    *,
    form: str,
    begins: str,
) -> None:
    """Whatever the kernel asks for, and in every form of the log; the socket's answer as well."""
    hostile, archive, home = map(request.getfixturevalue, ("hostile", "archive", "tmp_path"))
    options = ("--log-level", "debug", "--log-format", form)
    assert background(mountpoint, *options).returncode == 0
    try:
        _provoke(mountpoint, hostile, archive)
        people = attachfs("status", mountpoint)
        programs = attachfs("status", "--json", mountpoint)
        for done in (people, programs):
            assert done.returncode == 0
            assert "forged" in done.stdout
            _assert_harmless(done.stdout + done.stderr)
        errors = json.loads(programs.stdout)[0]["recent_errors"]
        assert len(errors) >= 3
        assert len(people.stdout.split("\n")) < 20 + len(errors)
        _assert_harmless(attachfs("metrics", mountpoint).stdout)
        raw = _raw_status(home / "run" / "attachfs")
        assert "forged" in raw
        _assert_harmless(raw, most_chars=100_000)
    finally:
        assert attachfs("umount", mountpoint).returncode == 0
    (file,) = (home / "state" / "attachfs" / "log").iterdir()
    lines = file.read_text().splitlines()
    assert any("forged" in line for line in lines)
    for line in lines:
        _assert_harmless(line, most_chars=10_000)
        assert re.match(begins, line), line
