"""A manual page in the macros of man(7), made of plain text, with everything else escaped.

Blocks of the text have blank lines between them: `# HEADING`; a paragraph; lines indented by four
spaces that stay as they are; `| ` before lines that are not filled; `- TERM: MEANING`, a few of
them; `@name` for what a function adds. Words between backquotes are bold.
"""

import re
import textwrap
from collections.abc import Callable, Mapping
from inspect import cleandoc
from typing import Final

_ESCAPES: Final = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "~": r"\(ti", "^": r"\(ha"}
)
_WIDTH: Final = 78


def bold(text: str) -> str:
    """Return what shows as the text in bold."""
    return rf"\fB{text.translate(_ESCAPES)}\fR"


def italic(text: str) -> str:
    """Return what shows as the text in italics."""
    return rf"\fI{text.translate(_ESCAPES)}\fR"


class Page:
    """A page, line by line; it holds no date, so that it is the same on any day."""

    def __init__(self, name: str, section: int, version: str, volume: str) -> None:
        self._lines = [
            r".\" Written by scripts/manual; do not edit.",
            f'.TH {name.upper()} {section} "" "attachfs {version}" "{volume}"',
        ]
        self._is_after_heading = True

    def add(self, text: str, sections: Mapping[str, Callable[["Page"], None]]) -> None:
        """Add all blocks of a text; `sections` are what it may name after `@`."""
        for block in re.split(r"\n\n(?! )", text.strip("\n")):
            first = block.partition("\n")[0]
            if first.startswith("# "):
                self.heading(first[2:])
            elif first.startswith("@"):
                sections[first[1:]](self)
            elif first.startswith("| "):
                self.verse([_inline(line.removeprefix("| ")) for line in block.split("\n")])
            elif first.startswith("- "):
                for item in re.split(r"^- ", block, flags=re.MULTILINE)[1:]:
                    term, _, meaning = item.partition(": ")
                    self.tagged(bold(term), meaning)
            else:
                paragraph, _, example = block.partition("\n\n")
                self.paragraph(paragraph)
                if example:
                    self._example(cleandoc(example))

    def heading(self, text: str, macro: str = "SH") -> None:
        """Begin a section, or by `SS` a part of one."""
        words = text.translate(_ESCAPES)
        self._lines.append(f'.{macro} "{words}"' if " " in text else f".{macro} {words}")
        self._is_after_heading = True

    def paragraph(self, text: str) -> None:
        """Add a paragraph."""
        self._begin_paragraph()
        self._fill(_inline(text))

    def tagged(self, term: str, *texts: str, last_line: str = "") -> None:
        """Add texts, one paragraph, beside a term, which is escaped already."""
        self._lines.append(".TP")
        self._fill(term)
        for text in filter(None, texts):
            self._fill(_inline(text))
        if last_line:
            self._lines += [".br", _protected(_inline(last_line))]

    def verse(self, lines: list[str]) -> None:
        """Add lines, escaped already, that are not filled."""
        self._lines += "\n.br\n".join(map(_protected, lines)).split("\n")
        self._is_after_heading = False

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"

    def _example(self, text: str) -> None:
        self._begin_paragraph()
        lines = (_protected(line.translate(_ESCAPES)) for line in text.split("\n"))
        self._lines += [".RS 4", ".nf", *lines, ".fi", ".RE"]

    def _begin_paragraph(self) -> None:
        if not self._is_after_heading:
            self._lines.append(".PP")
        self._is_after_heading = False

    def _fill(self, text: str) -> None:
        lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
        self._lines += map(_protected, lines)
        self._is_after_heading = False


def _inline(text: str) -> str:
    """Return what shows as the text on one line, in bold where it is between backquotes."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    return "".join(
        bold(part) if at % 2 else part.translate(_ESCAPES) for at, part in enumerate(parts)
    )


def _protected(line: str) -> str:
    r"""Return a line of text that is not taken for a macro: `\&` shows nothing and hides a dot."""
    return rf"\&{line}" if line.startswith((".", "'")) or not line else line
