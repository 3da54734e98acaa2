"""Write the manual pages and the completions below a directory: `python -m manual_pages docs`.

The prose of a page is in the page itself, below docs/man/.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attachfs.cli.shells import script
from manual_pages.sections import SECTIONS

_ROOT: Final = Path(__file__).parents[2]
_MADE: Final = re.compile(r'(\.\\" Made by scripts/manual: (\w+)\n).*?(?=\.\\" End\n)', re.DOTALL)
_VERSION: Final = re.compile(r'(?<="attachfs )[^"]*(?=" "[\w ]+"\n)')  # in .TH
# Where bash-completion, zsh and fish look for what completes `attachfs`.
_COMPLETIONS: Final = {"bash": "attachfs.bash", "zsh": "_attachfs", "fish": "attachfs.fish"}


def _section(found: re.Match[str]) -> str:
    return "\n".join((found[1].rstrip(), *SECTIONS[found[2]](), ""))


def _files() -> Iterator[tuple[str, str]]:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    for page in sorted((_ROOT / "docs/man").iterdir()):
        text = _VERSION.sub(project["version"], page.read_text(), count=1)
        yield f"man/{page.name}", _MADE.sub(_section, text)
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
