"""What a shell runs through the relay behaves as a program that the shell has started."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.forkrelay import forking_attachfs
from tests.support.mounts import PATIENCE_S, bare_environment

pytestmark = pytest.mark.process


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which `attachfs` is the relay's."""
    programs = tmp_path / "bin"
    programs.mkdir()
    with forking_attachfs() as line:
        (programs / "attachfs").write_text(f"#!/bin/sh\n{line}\n")
        (programs / "attachfs").chmod(0o755)
        yield bare_environment(tmp_path) | {"PATH": f"{programs}:{os.environ['PATH']}"}


def _bash(script: str, environment: dict[str, str], directory: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_output_and_exit_status_are_the_programs(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Standard output and standard error stay apart; a pipeline runs two at once."""
    status, printed, complaint = _bash("attachfs mount --no-such", environment, tmp_path)
    assert (status, printed) == (2, "")
    assert "--no-such" in complaint
    twice = _bash("attachfs --version | attachfs --version", environment, tmp_path)
    assert twice == _bash("attachfs --version", environment, tmp_path)
    assert twice[0] == 0


def test_directory_and_variables_are_the_shells(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """A relative path starts where the shell is; a variable is that of one command."""
    (tmp_path / "below ä").mkdir()
    (tmp_path / "below ä" / "own.toml").write_text('[profiles.one]\ntimeout = "17s"\n')
    show = "attachfs config show --config own.toml --profile one"
    script = f"cd below* && ATTACHFS_READ_AHEAD=13 {show}; {show}"
    status, printed, complaint = _bash(script, environment, tmp_path)
    assert (status, complaint) == (0, "")
    assert printed.count("17s") == 2
    assert printed.count("ATTACHFS_READ_AHEAD") == 1


@contextmanager
def _serving(environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run an archive through the relay; yield the client, and the process id of the program."""
    with subprocess.Popen(
        ["sh", "-c", 'umask 027 && exec attachfs serve --data "$HOME/data"'],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        try:
            assert client.stdout is not None
            assert client.stdout.readline()
            (program,) = (each for each in _children() if each != client.pid)
            assert "\nUmask:\t0027\n" in Path(f"/proc/{program}/status").read_text()
            yield client, program
        finally:
            client.kill()


def _children() -> Iterator[int]:
    for thread in Path("/proc/self/task").iterdir():
        for child in map(int, (thread / "children").read_text().split()):
            with suppress(OSError):
                arguments = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                if b"serve" in arguments:  # and not a fork server of other tests
                    yield child


def test_program_ends_with_its_caller(environment: dict[str, str]) -> None:
    """Killed with what started it: the pipe of its output has no writer left."""
    with _serving(environment) as (client, _):
        client.kill()
        assert client.stdout is not None
        client.stdout.read()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 0)])
def test_caller_ends_as_the_program(
    environment: dict[str, str], number: signal.Signals, status: int
) -> None:
    """By the same signal where the program dies of one, else with its exit status."""
    with _serving(environment) as (client, program):
        os.kill(program, number)
        assert client.wait(PATIENCE_S) == status
