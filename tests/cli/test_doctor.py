"""`attachfs doctor`: what a mount lacks is told by name, with what to do."""

import json
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.archives import token_of
from tests.support.mounts import Mount, Steering
from tests.support.programs import ALONE, PROGRAM, Done

Run = Callable[..., Done]

_NOBODY = 65534
_SECRET = "hunter2hunter2"


@dataclass
class Report:
    """What the doctor has told."""

    done: Done

    def __post_init__(self) -> None:
        assert self.done.stderr == ""
        self.checks = {check.pop("check"): check for check in json.loads(self.done.stdout)}

    @property
    def failures(self) -> list[str]:
        return [name for name, check in self.checks.items() if check["outcome"] == "failed"]

    @property
    def warnings(self) -> list[str]:
        return [name for name, check in self.checks.items() if check["outcome"] == "warning"]

    @property
    def skipped(self) -> list[str]:
        return [name for name, check in self.checks.items() if check["outcome"] == "skipped"]

    def says(self, name: str, found: str, advice: str = "") -> bool:
        check = self.checks[name]
        return found in check["found"] and advice in check["advice"]


@pytest.fixture
def alone(run: Run, environment: dict[str, str], tmp_path: Path) -> Run:
    """Run a program that sees no mounts but the test's own."""

    def program(*arguments: object, **variables: str) -> Done:
        return run(*ALONE, *arguments, env=environment | {"ROOT": str(tmp_path)} | variables)

    return program


@pytest.fixture
def doctor(alone: Run) -> Callable[..., Report]:
    """Let the doctor report."""

    def examine(*options: object, prefix: tuple[object, ...] = PROGRAM, **variables: str) -> Report:
        return Report(alone(*prefix, "doctor", "--json", *options, **variables))

    return examine


@pytest.fixture
def of_archive(archive: Steering) -> tuple[object, ...]:
    """The options that say which archive, and the token for it."""
    return ("--url", archive.url, "--token-file", archive.token_file)


def _needy(report: Report) -> list[str]:
    """Return what was skipped as something else had failed."""
    return [name for name in report.skipped if report.says(name, "needs ")]


@pytest.mark.mount
def test_all_is_well(
    alone: Run, archive: Steering, of_archive: tuple[object, ...], mountpoint: Path
) -> None:
    """A line for each check, aligned; nothing is made, and no secret is shown."""
    done = alone(*PROGRAM, "doctor", mountpoint, *of_archive)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) > 20
    assert all(line.startswith(("ok       ", "skipped  ")) for line in lines)
    assert {line[20:22] for line in lines} == {"  "}
    assert f"ok       mount point  {mountpoint} can be mounted on" in lines
    assert "ok       clock        as the server's, within seconds" in lines
    assert token_of(archive.running) not in done.stdout
    assert sorted(path.name for path in mountpoint.parent.iterdir()) == ["mnt", "run"]


@pytest.mark.mount
def test_all_is_well_for_an_app_registration(
    doctor: Callable[..., Report], archive: Steering
) -> None:
    """It gets its token once, and is told for how long; what is asked is next to nothing."""
    report = doctor("--url", archive.url, *archive.client)
    assert (report.done.returncode, report.failures, report.warnings) == (0, [], [])
    assert report.says("token", "it serves for another 60 minutes")
    assert report.says("attachments", "/info can be read, of assets/")
    assert len(archive.paths("/token$")) == 1
    assert len(archive.paths()) <= 6


@pytest.mark.mount
def test_a_mount_that_is_alive_and_then_dead(
    doctor: Callable[..., Report],
    mount: Callable[..., Mount],
    attachfs: Run,
    of_archive: tuple[object, ...],
) -> None:
    """The dead one is reported with what takes it down, and left alone."""
    dead = mount()
    alive = doctor(dead.path, *of_archive)
    assert (alive.done.returncode, alive.warnings) == (0, [])
    assert alive.says("mount point", f"attachfs is mounted on {dead.path} already")
    assert alive.says("mounts", f"{dead.path}: all well")
    dead.process.kill()
    dead.expected_status = -signal.SIGKILL
    dead.process.wait()
    report = doctor(*of_archive)
    assert (report.done.returncode, report.failures) == (15, ["mounts"])
    advice = report.checks["mounts"]["advice"]
    assert advice == f"run: attachfs umount {dead.path}"
    assert attachfs(*advice.split()[2:]).returncode == 0


@pytest.mark.mount
def test_what_a_machine_lacks_is_told_at_once(
    doctor: Callable[..., Report], of_archive: tuple[object, ...], tmp_path: Path
) -> None:
    """Each by itself; the exit status is of the first."""
    few = ("sh", "-c", 'ulimit -n 500; exec "$@"', "sh", *PROGRAM)
    hide = ("unshare", "-rm", "/bin/sh", "-c", '/bin/mount -t tmpfs none /dev && exec "$@"', "sh")
    missing = tmp_path / "missing"
    runtime = tmp_path / "others"
    runtime.mkdir(mode=0o700)
    (runtime / "attachfs").mkdir()
    (runtime / "attachfs").chmod(0o755)  # whatever the umask is
    report = doctor(missing, *of_archive, prefix=(*hide, *few), XDG_RUNTIME_DIR=str(runtime))
    assert report.done.returncode == 40
    assert report.says("fuse", "cannot open /dev/fuse: No such file", "run: modprobe fuse")
    assert report.says("mount point", f"cannot use {missing}", f"run: mkdir -p {missing}")
    assert report.says("open files", "500 at most", "ulimit -Hn")
    assert report.says("sockets", f"chmod 700 {runtime}/attachfs", "XDG_RUNTIME_DIR")
    assert report.failures == ["fuse", "mount point"]
    assert report.warnings == ["sockets", "open files"]


def test_fusermount_must_be_there_and_may_be_root(
    doctor: Callable[..., Report], run: Run, token_file: Path
) -> None:
    """It is told what to install, or why it gains no rights."""
    offline = ("--url", "http://127.0.0.1:1", "--public")
    report = doctor(*offline, PATH=str(token_file.parent))
    assert report.done.returncode == 41
    assert report.says("fusermount3", "is not installed", "run: apt install fuse3")
    user = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
    if run(*user, sys.executable, "-c", "pass").returncode:
        pytest.skip("this Python is in a directory that other users cannot read")
    done = run(*user, "--no-new-privs", *PROGRAM, "doctor", "--json", "--allow-other", *offline,
               "/proc", env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"})  # fmt: skip
    report = Report(done)
    assert report.says("fusermount3", "no_new_privs", "NoNewPrivileges=")
    assert report.says("allow-other", "/etc/fuse.conf", "user_allow_other")
    assert report.says("mount point", "is mounted on /proc already", "choose another directory")
    assert report.says("cache", "is not ours to make it in", "--cache-dir")


def test_credentials_are_told_apart(
    doctor: Callable[..., Report], archive: Steering, token_file: Path
) -> None:
    """None, over, exposed: each with what to do, and never what they are."""
    url = ("--url", archive.url)
    none = doctor(*url)
    assert none.done.returncode == 20
    assert none.says("credentials", "no credentials", "give --token-file FILE")
    assert _needy(none) == ["token", "API", "assets", "events", "attachments"]
    token_file.write_text(archive.running.archive.identities.issue("an-id", -7300))
    over = doctor(*url, "--token-file", token_file)
    assert over.done.returncode == 23
    assert over.says("token", "is over since 2 hours", f"write a new token into {token_file}")
    assert token_file.read_text() not in over.done.stdout
    token_file.chmod(0o640)
    exposed = doctor(*url, "--token-file", token_file)
    assert exposed.done.returncode == 21
    assert exposed.says("credentials", "other users can read", f"run: chmod 0600 {token_file}")


def test_what_is_configured_is_looked_at(
    doctor: Callable[..., Report], archive: Steering, token_file: Path, tmp_path: Path
) -> None:
    """The profile's mount point and cache; a token that the server refuses is the first to fail."""
    configuration = tmp_path / "config.toml"
    configuration.write_text(
        f"url = '{archive.url}'\ntoken-file = '{token_file}'\n"
        f"[profiles.acme]\nmountpoint = 'mnt'\ncache-dir = 'token.txt/cache'\n"
    )
    report = doctor("--config", configuration, "--profile", "acme")
    assert report.done.returncode == 10
    assert report.failures == ["mount point", "API", "cache"]
    assert report.says("mount point", str(tmp_path / "mnt"), "run: mkdir -p")
    assert report.says("API", "the server refuses the token", "get a new one")
    assert report.says("cache", f"{token_file}/cache: Not a directory", "--cache-dir")


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("ftp://archive.example", 30, ("url", "is not a URL", "it should look like https://")),
        ("http://archive.invalid", 31, ("DNS", "no address is known for archive.inv", "--url")),
        ("http://127.0.0.1:{port}", 31, ("connection", "Connection refused", "firewalls")),
    ],
)
def test_the_first_step_that_fails_is_told_alone(
    doctor: Callable[..., Report], token_file: Path, url: str, code: int, told: tuple[str, str, str]
) -> None:
    """What comes behind it is skipped."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = url.format(port=taken.getsockname()[1])
        report = doctor("--url", url, "--token-file", token_file, "--allow-http")
    assert (report.done.returncode, report.failures) == (code, [told[0]])
    assert report.says(*told)
    steps = ["url", "authorities", "proxy", "DNS", "connection", "TLS", "clock"]
    behind = steps[steps.index(told[0]) + 1 :]
    assert _needy(report) == [*behind, "API", "assets", "events", "attachments"]
