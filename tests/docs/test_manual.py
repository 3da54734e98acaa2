"""The manual pages and completions in docs/ are what the program has, and are well-formed."""

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from attachfs.cli.app import app
from attachfs.cli.configuration import read
from attachfs.cli.options import configurable
from attachfs.errors import SetupError

ROOT = Path(__file__).parents[2]
_PAGES = ["attachfs.1", "attachfs.toml.5"]
_DIRECTORIES = ["man", "completions"]


def _files(directory: Path) -> dict[str, str]:
    return {
        str(file.relative_to(directory)): file.read_text()
        for part in _DIRECTORIES
        for file in (directory / part).iterdir()
    }


def _commands(
    group: click.Group = app, names: tuple[str, ...] = ("attachfs",)
) -> Iterator[tuple[str, click.Command]]:
    """Yield every command, in groups or not, by its full name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, (*names, name))
        elif not command.hidden:
            yield " ".join((*names, name)), command


def _rendered(page: str) -> str:
    """Return a page as it is read, without bold and italics, wide enough to break no line."""
    done = subprocess.run(
        ["mandoc", "-Tutf8", "-Owidth=1000", ROOT / "docs/man" / page],
        capture_output=True,
        text=True,
        check=True,
    )
    return re.sub(r".\x08", "", done.stdout)


def test_what_is_committed_is_what_the_program_has(tmp_path: Path) -> None:
    """Where commands, options, errors or prose have changed, `scripts/manual` is to be run."""
    subprocess.run(
        [sys.executable, "-m", "manual_pages", tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "scripts", "COLUMNS": "40"},
        check=True,
    )
    made, committed = _files(tmp_path), _files(ROOT / "docs")
    assert sorted(made) == sorted(committed)
    changed = [name for name in made if made[name] != committed[name]]
    assert not changed, f"docs/ is out of date; run: scripts/manual ({', '.join(changed)})"


@pytest.mark.parametrize("page", _PAGES)
def test_a_page_is_well_formed(page: str) -> None:
    """All that mandoc misses is the date, which would differ from day to day."""
    file = ROOT / "docs/man" / page
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", file], capture_output=True, text=True, check=False
    )
    said = (done.stdout + done.stderr).splitlines()
    assert [line for line in said if "WARNING: missing date" not in line] == []
    assert file.read_text().isascii()


@pytest.mark.parametrize(
    ("page", "parts"),
    [
        ("attachfs.1", ["synopsis", "commands", "options", "exits", "errnos", "variables"]),
        ("attachfs.toml.5", ["keys"]),
    ],
)
def test_what_follows_from_the_program_is_made(page: str, parts: list[str]) -> None:
    """Each part of a page is marked, or `scripts/manual` would leave it as it is."""
    text = (ROOT / "docs/man" / page).read_text()
    marked = re.findall(r'^\.\\" Made by scripts/manual: (\w+)$|^\.\\" End$', text, re.MULTILINE)
    assert marked == [word for part in parts for word in (part, "")]


def test_every_command_and_option_is_in_the_manual() -> None:
    """With its own sentence, and its variable where it has one."""
    text = _rendered("attachfs.1")
    found = list(_commands())
    assert "attachfs config show" in dict(found)
    for name, command in found:
        about = text.partition(f"\n   {name}\n")[2]
        assert about, name
        sentence = " ".join((command.help or "").split("\n\n")[0].split())
        assert about.lstrip().startswith(sentence.replace("`", "")), name
        for option in command.params:
            if not isinstance(option, click.Option) or option.hidden:
                continue
            assert re.search(rf"^ +{re.escape(option.opts[0])}\b", text, re.MULTILINE), option
            for variable in option.envvar or ():
                assert variable in text


def test_every_exit_code_is_in_the_manual() -> None:
    """Each once, in order."""
    text = _rendered("attachfs.1").partition("\nEXIT STATUS\n")[2].partition("\nERRORS\n")[0]
    codes = [int(code) for code in re.findall(r"^ +(\d+) +\S", text, re.MULTILINE)]
    errors = {error.exit_code for error in SetupError.__subclasses__()}
    assert codes == sorted({0, 1, *errors, 130, 141, 143})


def test_every_key_has_an_example_that_is_accepted(tmp_path: Path) -> None:
    """All examples together are a configuration; for a new key, one may have to be written."""
    text = _rendered("attachfs.toml.5").partition("\nKEYS\n")[2]
    lines = re.findall(r"Example: ([\w-]+ = .+)", text)
    keys = [line.partition(" = ")[0] for line in lines]
    assert keys == ["profile", "mountpoint", *configurable()]
    file = tmp_path / "config.toml"
    file.write_text("\n".join([*lines, "[profiles.acme]\n"]))
    assert sorted(read(configurable(), file, None).settings) == sorted(keys[1:])


def test_the_example_of_a_configuration_is_one(tmp_path: Path) -> None:
    """Both of its profiles can be used."""
    text = _rendered("attachfs.toml.5").partition("\nEXAMPLES\n")[2]
    example = textwrap.dedent(text.partition(":\n")[2].partition("\n       Which")[0])
    file = tmp_path / "config.toml"
    file.write_text(example)
    assert sorted(tomllib.loads(example)["profiles"]) == ["acme", "archive"]
    assert read(configurable(), file, None).profile == "acme"
    assert "client-id" in read(configurable(), file, "archive").settings
