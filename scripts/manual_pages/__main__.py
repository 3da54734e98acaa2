"""Write the manual pages and the completions below a directory: `python -m manual_pages docs`."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attachfs.cli.shells import script
from manual_pages.roff import Page
from manual_pages.sections import SECTIONS

_HERE: Final = Path(__file__).parent
_VOLUMES: Final = {1: "User Commands", 5: "File Formats"}
# Where bash-completion, zsh and fish look for what completes `attachfs`.
_COMPLETIONS: Final = {"bash": "attachfs.bash", "zsh": "_attachfs", "fish": "attachfs.fish"}


def _files() -> Iterator[tuple[str, str]]:
    project = tomllib.loads((_HERE.parents[1] / "pyproject.toml").read_text())["project"]
    for source in sorted(_HERE.glob("*.txt")):
        name, _, number = source.stem.rpartition(".")
        page = Page(name, int(number), project["version"], _VOLUMES[int(number)])
        page.add(source.read_text(), SECTIONS)
        yield f"man/{source.stem}", str(page)
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
