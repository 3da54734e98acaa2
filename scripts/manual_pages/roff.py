"""Lines of a manual page in the macros of man(7), with everything else escaped.

In texts, words between backquotes are bold. Terms are escaped already.
"""

import re
import textwrap
from collections.abc import Iterable
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


def section(title: str, paragraphs: Iterable[str]) -> list[str]:
    """Return the lines of a part of a section, from its title on."""
    words = title.translate(_ESCAPES)
    lines = [f'.SS "{words}"' if " " in title else f".SS {words}"]
    for number, paragraph in enumerate(paragraphs):
        lines += [".PP"] * bool(number) + _filled(_inline(paragraph))
    return lines


def paragraph(text: str) -> list[str]:
    """Return the lines of a paragraph that follows others."""
    return [".PP", *_filled(_inline(text))]


def tagged(term: str, *texts: str, last_line: str = "") -> list[str]:
    """Return the lines of texts, one paragraph, beside a term."""
    lines = [".TP", *_filled(term)]
    for text in texts:
        lines += _filled(_inline(text))
    return [*lines, ".br", _protected(_inline(last_line))] if last_line else lines


def verse(lines: Iterable[str]) -> list[str]:
    """Return the lines of what is escaped already and not filled."""
    return "\n.br\n".join(map(_protected, lines)).split("\n")


def _inline(text: str) -> str:
    """Return what shows as the text on one line, in bold where it is between backquotes."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    return "".join(
        bold(part) if at % 2 else part.translate(_ESCAPES) for at, part in enumerate(parts)
    )


def _filled(text: str) -> list[str]:
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return list(map(_protected, lines))


def _protected(line: str) -> str:
    r"""Return a line of text that is not taken for a macro: `\&` shows nothing and hides a dot."""
    return rf"\&{line}" if line.startswith((".", "'")) or not line else line
