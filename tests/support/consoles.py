"""Examples of shell commands in Markdown, and what they print."""

import fnmatch
import re
import subprocess
from dataclasses import dataclass

_END = "that was all:"
_BLOCK = re.compile(
    r"((?:^<!-- archive: [^\n]* -->\n+)*)^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_ORDER = re.compile(r"^<!-- archive: (.*) -->$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """A command and the lines it prints; `...` in them stands for anything."""

    command: str
    printed: str


@dataclass(frozen=True)
class Block:
    """Examples in one shell, and what to do with the archive before them."""

    orders: tuple[str, ...]
    examples: tuple[Example, ...]


def blocks(markdown: str) -> list[Block]:
    """Find the blocks marked `console`, each with the comments `archive:` right before it."""
    found = []
    for orders, body in _BLOCK.findall(markdown):
        first, *parts = re.split(r"^\$ ", body, flags=re.MULTILINE)
        assert not first, f"a block begins with no command: {first}"
        examples = tuple(Example(*part.split("\n", 1)) for part in parts)
        found.append(Block(tuple(_ORDER.findall(orders)), examples))
    assert markdown.count("```console") == len(found)
    assert markdown.count("<!-- archive:") == sum(len(block.orders) for block in found)
    return found


def check(shell: subprocess.Popen[str], example: Example) -> None:
    """Run an example in a shell and compare what it prints, standard error included."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{example.command}\necho '{_END}'\n")
    shell.stdin.flush()
    printed = ""
    for line in iter(shell.stdout.readline, ""):
        before, ended, _ = line.partition(_END)
        printed += before
        if ended:
            break
    pattern = "*".join(map(_literal, example.printed.split("...")))
    assert fnmatch.fnmatchcase(printed, pattern), f"$ {example.command}\n{printed}"


def _literal(text: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", text)
