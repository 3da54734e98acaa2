"""The command itself: its version, its help, its entry points, and how little it imports."""

import importlib.metadata
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.programs import Done, usage_error

_COMMANDS = (
    *("mount", "umount", "config", "status", "metrics", "doctor", "ls", "info", "cat"),
    *("prefetch", "verify", "cache", "refresh", "demo", "serve"),
    "completion",
)
_HEAVY = {"trio", "httpx", "pyfuse3", "starlette", "hypercorn"}


def _console_script() -> Path:
    return Path(sysconfig.get_path("scripts")) / "attachfs"


def test_the_version_is_the_package_s(attachfs: Callable[..., Done]) -> None:
    """`--version` is one line for people and scripts."""
    done = attachfs("--version")
    version = importlib.metadata.version("attachfs")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"attachfs {version}\n", "")


def test_the_console_script_and_the_module_are_the_same(
    attachfs: Callable[..., Done], run: Callable[..., Done], environment: dict[str, str]
) -> None:
    """`attachfs` and `python -m attachfs` say the same, and both call themselves attachfs."""
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="attachfs")
    assert script.value == "attachfs.__main__:main"
    for arguments in (("umount", "--help"), ("umount", "/nowhere")):
        ours, theirs = attachfs(*arguments), run(_console_script(), *arguments, env=environment)
        assert theirs.returncode == ours.returncode
        assert (theirs.stdout, theirs.stderr) == (ours.stdout, ours.stderr)


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_shows_every_command(attachfs: Callable[..., Done], option: str) -> None:
    """In the order in which they are needed, each with a sentence."""
    done = attachfs(option)
    assert (done.returncode, done.stderr) == (0, "")
    commands = done.stdout.partition("\nCommands:\n")[2]
    assert re.findall(r"^  (\w+) +[A-Z].+\.$", commands, re.MULTILINE) == [*_COMMANDS]


def test_without_a_command_help_is_shown(attachfs: Callable[..., Done]) -> None:
    """As wrong usage, for a script that forgot it."""
    done = attachfs()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == attachfs("--help").stdout


@pytest.mark.parametrize("command", _COMMANDS)
def test_each_command_has_help(attachfs: Callable[..., Done], command: str) -> None:
    """It goes before a missing argument."""
    done = attachfs(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: attachfs {command} [OPTIONS]")


@pytest.mark.parametrize("command", ["mount", "serve"])
def test_each_option_says_what_it_does_and_its_default(
    attachfs: Callable[..., Done], command: str
) -> None:
    """Options of size and duration show units, in their defaults or examples."""
    options = _options(attachfs(command, "--help").stdout)
    assert len(options) >= 4
    for option, text in options.items():
        assert re.search(r"^[A-Z][^\[]+\. ", text), option
        assert "default: " in text, option
    units = {"SIZE": r"\d(MiB|GiB)\b", "DURATION": r"\b\d+(ms|s|m|h)\b"}
    for option, text in options.items():
        for kind, unit in units.items():
            assert not option.endswith(kind) or re.search(unit, text), option


def test_each_option_of_mount_names_its_variable(attachfs: Callable[..., Done]) -> None:
    """ATTACHFS_<OPTION>, whatever other names it has."""
    for option, text in _options(attachfs("mount", "--help").stdout).items():
        if option.startswith("-o "):
            continue  # of all others at once
        name = option.split()[0].removeprefix("--").replace("-", "_").upper()
        assert re.search(rf"env var: ATTACHFS_{name}\b", text), option


def _options(text: str) -> dict[str, str]:
    """Return the options of a help text, without --help, each with what is said of it."""
    listed = text.partition("\nOptions:\n")[2]
    found: dict[str, str] = {}
    for option in re.split(r"^  (?=-)", listed, flags=re.MULTILINE)[1:]:
        head, rest = re.split(r"  +|\n", option, maxsplit=1)
        found[head] = " ".join(rest.split())
    return {head: rest for head, rest in found.items() if "--help" not in head}


@pytest.mark.parametrize(
    "arguments",
    [("--help",), *((command, "--help") for command in _COMMANDS)],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(
    arguments: tuple[str, ...], environment: dict[str, str], run: Callable[..., Done]
) -> None:
    """Neither trio nor httpx nor pyfuse3 nor the embedded archive's server."""
    done = run(sys.executable, "-X", "importtime", "-m", "attachfs", *arguments, env=environment)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    modules = {line.rpartition("|")[2].strip() for line in lines}
    assert "click" in modules
    assert not modules & _HEAVY


@pytest.mark.parametrize("arguments", [("Mount", "/mnt"), ("--frobnicate",)])
def test_what_is_no_command_is_wrong_usage(
    attachfs: Callable[..., Done], arguments: tuple[str, ...]
) -> None:
    """The message names it, and how to find the right one."""
    done = attachfs(*arguments)
    assert arguments[0] in usage_error(done)
    assert "Try 'attachfs --help'" in done.stderr


def test_help_to_a_reader_that_left_is_quiet(environment: dict[str, str], broken_pipe: int) -> None:
    """`attachfs --help | head -0` shows no traceback."""
    command = [sys.executable, "-m", "attachfs", "--help"]
    done = subprocess.run(
        command, env=environment, stdout=broken_pipe, stderr=subprocess.PIPE, check=False
    )
    assert done.stderr == b""
