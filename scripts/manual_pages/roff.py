"""A manual page in the macros of man(7), everything escaped that would be none of them.

Text is given as in help texts: words between backquotes are bold.
"""

import re
import textwrap
from typing import Final

_ESCAPES: Final = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "~": r"\(ti", "^": r"\(ha"}
_WIDTH: Final = 78


def escaped(text: str) -> str:
    """Return what shows as the text, but for a control character at its start."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def bold(text: str) -> str:
    """Return what shows as the text in bold."""
    return rf"\fB{escaped(text)}\fR"


def italic(text: str) -> str:
    """Return what shows as the text in italics."""
    return rf"\fI{escaped(text)}\fR"


def inline(text: str) -> str:
    """Return what shows as the text, in bold where it is between backquotes."""
    parts = re.split(r"`([^`]+)`", text)
    return "".join(bold(part) if at % 2 else escaped(part) for at, part in enumerate(parts))


class Page:
    """Collect a page, line by line; it holds no date, so that it is the same on any day."""

    def __init__(self, name: str, section: int, version: str, volume: str) -> None:
        self._lines = [
            r".\" Written by scripts/manual; do not edit.",
            f'.TH {name.upper()} {section} "" "attachfs {version}" "{volume}"',
        ]
        self._is_after_heading = True

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._lines.append(f'.SH "{escaped(text)}"' if " " in text else f".SH {escaped(text)}")
        self._is_after_heading = True

    def subheading(self, text: str) -> None:
        """Begin a part of a section."""
        self._lines.append(f'.SS "{escaped(text)}"' if " " in text else f".SS {escaped(text)}")
        self._is_after_heading = True

    def paragraph(self, text: str) -> None:
        """Add a paragraph."""
        self.raw_paragraph(inline(" ".join(text.split())))

    def raw_paragraph(self, text: str) -> None:
        """Add a paragraph that is escaped already."""
        if not self._is_after_heading:
            self._lines.append(".PP")
        self._text(text)

    def tagged(self, term: str, *texts: str, last_line: str = "") -> None:
        """Add texts, one paragraph, beside a term, which is escaped already."""
        self._lines.append(".TP")
        self._text(term)
        for text in filter(None, texts):
            self._text(inline(" ".join(text.split())))
        if last_line:
            self._lines += [".br", _protected(inline(last_line))]

    def listed(self, term: str, text: str) -> None:
        """Add a paragraph beside a term that is shown in bold."""
        self.tagged(bold(term), text)

    def example(self, text: str) -> None:
        """Add lines that stay as they are."""
        if not self._is_after_heading:
            self._lines.append(".PP")
        self._lines += [".RS 4", ".nf"]
        self._lines += [_protected(escaped(line)) for line in text.strip("\n").split("\n")]
        self._lines += [".fi", ".RE"]
        self._is_after_heading = False

    def verse(self, lines: list[str]) -> None:
        """Add lines, escaped already, that are not filled."""
        for number, line in enumerate(lines):
            if number:
                self._lines.append(".br")
            self._lines.append(_protected(line))
        self._is_after_heading = False

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"

    def _text(self, text: str) -> None:
        lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
        self._lines += [_protected(line) for line in lines]
        self._is_after_heading = False


def _protected(line: str) -> str:
    r"""Return a line of text that is none of macros: `\&` is nothing, and no dot."""
    return rf"\&{line}" if line.startswith((".", "'")) or not line else line
