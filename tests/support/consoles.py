"""Commands in Markdown, and what they print."""

import fnmatch
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_END: Final = "that was all:"
_ORDER: Final = re.compile(r"<!-- ([a-z ]+): ?(.*?) ?-->")
_FENCE: Final = re.compile(r"```(\w*)")


@dataclass(frozen=True)
class Example:
    """A command and the lines it prints; `...` in them stands for anything."""

    command: str
    printed: str


@dataclass(frozen=True)
class Order:
    """What a comment tells whoever tries the document: a verb, and what it is about."""

    verb: str
    words: str


@dataclass(frozen=True)
class Block:
    """A block of code: its language, and its text."""

    language: str
    text: str

    def examples(self) -> list[Example]:
        """Return the commands, after `$ ` (and `> `, where they go on), and what each prints."""
        first, *parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)
        assert not first, f"a block begins with no command: {first}"
        return [_example(part) for part in parts]


def pieces(markdown: str) -> Iterator[Order | Block]:
    """Yield the comments `<!-- verb: words -->` and the blocks of code, in their order."""
    lines = iter(markdown.splitlines())
    for line in lines:
        if found := _ORDER.fullmatch(line):
            yield Order(found[1], found[2])
        elif found := _FENCE.fullmatch(line):
            text: list[str] = []
            for inside in lines:
                if inside == "```":
                    break
                text.append(f"{inside}\n")
            yield Block(found[1], "".join(text))


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


def _example(part: str) -> Example:
    first, *lines = part.splitlines(keepends=True)
    command = first
    while lines and lines[0].startswith(">"):
        command += lines.pop(0).removeprefix(">").removeprefix(" ")
    return Example(command.removesuffix("\n"), "".join(lines))


def _literal(text: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", text)
