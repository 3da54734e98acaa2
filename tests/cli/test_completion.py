"""Completion: what is offered to bash, zsh and fish, and what these real shells make of it."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from attachfs.cli.shells import script
from tests.support.mounts import Mount
from tests.support.programs import Done, usage_error
from tests.support.terminals import SHOWING, Terminal, terminal

Run = Callable[..., Done]
Complete = Callable[..., list[str]]

_SHELLS = ("bash", "zsh", "fish")
_HEAVY = {"trio", "httpx", "pyfuse3", "starlette", "hypercorn"}


@pytest.fixture
def offered(attachfs: Run) -> Complete:
    """Return what a line's end could become, each with its help where there is any."""

    def complete(line: str, *, shell: str = "fish", **variables: str) -> list[str]:
        done = attachfs(_ATTACHFS_COMPLETE=f"{shell}_complete", _ATTACHFS_LINE=line, **variables)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return complete


@pytest.fixture
def values(offered: Complete) -> Complete:
    """Return the values alone."""

    def complete(line: str, **variables: str) -> list[str]:
        return [found.split("\t")[1] for found in offered(line, **variables) if found]

    return complete


@pytest.fixture
def home(environment: dict[str, str], tmp_path: Path) -> Path:
    """A directory with an attachfs that is found on PATH, a file and a directory."""
    program = tmp_path / "bin" / "attachfs"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m attachfs "$@"\n')
    program.chmod(0o755)
    environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    (tmp_path / "one file").touch()
    (tmp_path / "one dir").mkdir()
    return tmp_path


@pytest.fixture
def bash(home: Path, environment: dict[str, str]) -> Iterator[Terminal]:
    """A bash at a terminal."""
    (home / "completion").write_text(script("bash"))
    setting_up = [". ./completion", "bind 'set bell-style none'", SHOWING["bash"]]
    command = ("bash", "--norc", "--noprofile", "-i")
    with terminal(*command, env=environment, cwd=home, setting_up=setting_up) as shell:
        yield shell


@pytest.fixture
def zsh(home: Path, environment: dict[str, str]) -> Iterator[Terminal]:
    """A zsh at a terminal, which finds the script where packages put it."""
    functions = home / "functions"
    functions.mkdir()
    (functions / "_attachfs").write_text(script("zsh"))
    setting_up = [
        f"fpath=({shlex.quote(str(functions))} $fpath)",
        "autoload -Uz compinit; compinit -u -D; unsetopt zle_bracketed_paste",
        SHOWING["zsh"],
    ]
    with terminal("zsh", "-f", "-i", env=environment, cwd=home, setting_up=setting_up) as shell:
        yield shell


@pytest.fixture
def fish(home: Path, environment: dict[str, str], run: Run) -> Complete:
    """What fish offers for the end of a line."""
    completions = home / ".config" / "fish" / "completions"
    completions.mkdir(parents=True)
    (completions / "attachfs.fish").write_text(script("fish"))

    def complete(line: str) -> list[str]:
        done = run("fish", "-c", 'complete -C "$argv[1]"', line, env=environment, cwd=home)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return complete


@pytest.mark.parametrize("shell", _SHELLS)
def test_a_script_is_printed_for_each_shell(
    shell: str, attachfs: Run, run: Run, home: Path, environment: dict[str, str]
) -> None:
    """By the command, and by click's own way of asking; even where none of them is installed."""
    nowhere = {"PATH": str(home / "nowhere")}
    printed = attachfs("completion", shell, **nowhere)
    assert (printed.returncode, printed.stderr) == (0, "")
    asked = attachfs(_ATTACHFS_COMPLETE=f"{shell}_source", **nowhere)
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, printed.stdout, "")
    file = home / "script"
    file.write_text(printed.stdout)
    checked = run(shell, "-n", file, env=environment)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_other_shells_are_refused(attachfs: Run) -> None:
    """With those that there are."""
    assert "'bash', 'zsh', 'fish'" in usage_error(attachfs("completion", "csh"))
    assert attachfs(_ATTACHFS_COMPLETE="csh_complete").returncode == 1


def test_commands_are_offered_with_the_sentences_of_the_help(
    offered: Complete, attachfs: Run
) -> None:
    """In the same order, and those of a group likewise."""
    listed = attachfs("--help").stdout.partition("\nCommands:\n")[2]
    expected = [line.split(maxsplit=1) for line in listed.splitlines()]
    assert [found.split("\t")[1:] for found in offered("attachfs ")] == expected
    assert [found.split("\t")[1] for found in offered("attachfs config s")] == ["show"]


def test_options_are_offered_with_the_first_sentence_of_their_help(offered: Complete) -> None:
    """Those that have been given are not offered again."""
    line = "plain\t--cache-dir\tDirectory for local copies."
    assert line in offered("attachfs mount --cache")
    assert line not in offered("attachfs mount --cache-dir /x --cache")
    assert not [found for found in offered("attachfs mount --so") if "source" in found]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("attachfs mo", ["mount"]),
        ("attachfs mount --scan-policy ", ["allow", "block-bad", "require-ok"]),
        ("attachfs mount --scan-policy re", ["require-ok"]),
        ("attachfs mount --scan-policy=al", ["allow"]),
        ("attachfs mount -o bad=option, --scan-policy al", ["allow"]),
        ("attachfs mount --timeout nonsense --scan-policy al", ["allow"]),
        ("attachfs mount '/a b' --scan-policy 'al", ["allow"]),
        ("attachfs completion ", ["bash", "zsh", "fish"]),
        ("attachfs --version mo", ["mount"]),
        ("attachfs mount --help --verify", ["--verify-first"]),
        ("attachfs mount --url ", []),
    ],
)
def test_what_can_be_told_is_offered(line: str, expected: list[str], values: Complete) -> None:
    """Whatever else is wrong with the line."""
    assert values(line) == expected


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("attachfs mount --token-file ", "file"),
        ("attachfs mount --config=/et", "file"),
        ("attachfs mount --cache-dir ", "dir"),
        ("attachfs mount ", "dir"),
        ("attachfs demo ./x", "dir"),
        ("attachfs umount ~/ev", "dir"),
        ("attachfs refresh ev", "file"),
    ],
)
def test_files_and_directories_are_left_to_the_shell(
    line: str, kind: str, offered: Complete
) -> None:
    """It is told which of them."""
    assert offered(line) == [f"{kind}\t"]


def test_profiles_are_offered_though_the_rest_of_the_file_is_wrong(
    values: Complete, tmp_path: Path
) -> None:
    """Of the configuration that the line or the environment names, else of those found."""
    file = tmp_path / ".config" / "attachfs" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('profile = "typo"\ntimeoot = 3\n[profiles.acme]\n[profiles.other]\nurl = 1\n')
    other = tmp_path / "other.toml"
    other.write_text("[profiles.elsewhere]\n")
    assert values("attachfs mount --profile ") == ["acme", "other"]
    assert values("attachfs config show --profile=a") == ["acme"]
    assert values(f"attachfs mount --config {other} --profile ") == ["elsewhere"]
    assert values("attachfs mount --config ~/other.toml --profile ") == ["elsewhere"]
    assert values("attachfs mount --profile ", ATTACHFS_CONFIG=str(other)) == ["elsewhere"]


@pytest.mark.parametrize("text", ["no toml", "profiles = 3", "\xff"])
def test_a_broken_configuration_is_silent(text: str, values: Complete, tmp_path: Path) -> None:
    """Profiles are not offered then; everything else is."""
    file = tmp_path / ".config" / "attachfs" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_bytes(text.encode("latin-1"))
    assert values("attachfs mount --profile ") == []
    assert values("attachfs mount --log-level w") == ["warning"]


@pytest.mark.parametrize("line", ["attachfs ", "attachfs mount --", "attachfs umount "])
def test_nothing_heavy_is_imported_meanwhile(
    line: str, run: Run, environment: dict[str, str]
) -> None:
    """Neither trio nor httpx nor pyfuse3 nor the embedded archive's server."""
    asking = {"_ATTACHFS_COMPLETE": "bash_complete", "_ATTACHFS_LINE": line}
    command = (sys.executable, "-X", "importtime", "-m", "attachfs")
    done = run(*command, env=environment | asking)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click.shell_completion" in modules
    assert not modules & _HEAVY


def test_the_function_for_bash_fills_its_answer(home: Path, environment: dict[str, str]) -> None:
    """COMPREPLY has what there is to choose from; files are left to bash."""
    ask = """
        compopt() { echo "compopt $*"; }
        ask() {
            COMP_LINE=$1 COMP_POINT=${#1}
            _attachfs_completion "$2"
            echo "${#COMPREPLY[@]}: ${COMPREPLY[*]}"
        }
        ask 'attachfs mount --scan-policy ' attachfs
        ask 'attachfs mount --scan-policy=bl' '~/bin/attachfs'
        ask 'attachfs mount --token-file ' attachfs
        ask 'attachfs mount --cache-dir ' attachfs
        ask 'attachfs mount --profile ' attachfs
        ask 'attachfs mou' /nowhere/attachfs
        complete -p attachfs
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script("bash") + ask],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "3: allow block-bad require-ok",
        "1: block-bad",
        "compopt -o default",
        "0: ",
        "compopt -o dirnames",
        "0: ",
        "0: ",
        "0: ",
        "complete -o nosort -F _attachfs_completion attachfs",
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_tab_key_completes_a_line(shell: str, request: pytest.FixtureRequest) -> None:
    """Commands, options, choices, files and directories, quoted as the shell wants them."""
    keyboard: Terminal = request.getfixturevalue(shell)
    for line, expected in {
        "attachfs mou": "attachfs mount ",
        "attachfs config sh": "attachfs config show ",
        "attachfs mount --cache-s": "attachfs mount --cache-size ",
        "attachfs mount --scan-policy bl": "attachfs mount --scan-policy block-bad ",
        "attachfs mount --scan-policy=bl": "attachfs mount --scan-policy=block-bad ",
        "attachfs mount --cache-dir one": r"attachfs mount --cache-dir one\ dir/",
        "attachfs mount --cache-dir=one": r"attachfs mount --cache-dir=one\ dir/",
        "attachfs mount --token-file one\\ f": r"attachfs mount --token-file one\ file ",
        "attachfs mount --token-file 'one f": "attachfs mount --token-file 'one file' ",
        "attachfs mount one": r"attachfs mount one\ dir/",
        "bin/attachfs mou": "bin/attachfs mount ",
        "~/bin/attachfs mou": "~/bin/attachfs mount ",
        "attachfs mount --url htt": "attachfs mount --url htt",
    }.items():
        assert keyboard.completed(line) == expected


def test_fish_offers_the_same(fish: Complete) -> None:
    """With the sentences beside, and all of `--option=value`."""
    assert "mount\tMount an archive on a directory." in fish("attachfs mou")
    assert fish("attachfs config s")[0].startswith("show\t")
    assert fish("attachfs mount --cache-d") == ["--cache-dir\tDirectory for local copies."]
    assert fish("attachfs mount --scan-policy ") == ["allow", "block-bad", "require-ok"]
    assert fish("attachfs mount --scan-policy=b") == ["--scan-policy=block-bad"]
    assert fish("attachfs mount --cache-dir=one")[0].split("\t")[0] == "--cache-dir=one dir/"
    assert "one file" in [found.split("\t")[0] for found in fish("attachfs mount --token-file on")]
    assert [found.split("\t")[0] for found in fish("attachfs mount on")] == ["one dir/"]
    assert fish("~/bin/attachfs completion b") == ["bash"]


@pytest.mark.mount
def test_mount_points_are_offered_for_what_is_mounted(
    home: Path,
    mount: Callable[..., Mount],
    values: Complete,
    fish: Complete,
    request: pytest.FixtureRequest,
) -> None:
    """To all commands about mounts; a space or a colon in its name is no trouble."""
    bash: Terminal = request.getfixturevalue("bash")
    zsh: Terminal = request.getfixturevalue("zsh")
    mountpoint = home / "my evidence: 2024"
    mountpoint.mkdir()
    mount(on=mountpoint)
    for command in ("umount", "status", "metrics", "refresh"):
        assert str(mountpoint) in values(f"attachfs {command} ")
        assert values(f"attachfs {command} {home}/my") == [str(mountpoint)]
    assert fish(f"attachfs umount {home}/my") == [str(mountpoint)]
    quoted = f"attachfs umount {home}/my\\ evidence:\\ 2024"
    for line in (f"attachfs umount {home}/m", f"attachfs umount {home}/my\\ evidence:"):
        assert bash.completed(line) == f"{quoted} "
    assert bash.completed(f"attachfs umount '{home}/my ev") == f"attachfs umount '{mountpoint}' "
    assert zsh.completed(f"attachfs umount {home}/m").replace("\\:", ":") == f"{quoted} "
    assert zsh.completed(f"attachfs umount '{home}/my ev") == f"attachfs umount '{mountpoint}' "
