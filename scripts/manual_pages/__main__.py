"""Write the manual pages and the completions below a directory: `python -m manual_pages docs`."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attachfs.cli.shells import script
from manual_pages.command_page import command_page
from manual_pages.file_page import file_page

_PROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"
# Where bash-completion, zsh and fish look for what completes `attachfs`.
_COMPLETIONS: Final = {"bash": "attachfs.bash", "zsh": "_attachfs", "fish": "attachfs.fish"}


def _files() -> Iterator[tuple[str, str]]:
    version: str = tomllib.loads(_PROJECT.read_text())["project"]["version"]
    yield "man/attachfs.1", command_page(version)
    yield "man/attachfs.toml.5", file_page(version)
    for shell, name in _COMPLETIONS.items():
        yield f"completions/{name}", script(shell)


def main() -> None:
    """Write every file."""
    (directory,) = map(Path, sys.argv[1:])
    for name, text in _files():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    main()
