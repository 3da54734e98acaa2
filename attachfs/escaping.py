r"""Escape text from outside before it reaches a terminal, a log line or a page.

Names, digests, reasons and error bodies come from a server. A terminal obeys control characters
(C0, C1, DEL), a bidirectional override makes text read as another one, and a line break makes one
line two. What `str.isprintable` rejects is therefore written as Python writes it: `\n`, `\x9b`,
`\u202e`, `\ud800`. Everything that attachfs prints, logs or raises passes through this module.

Escaping twice is the same as escaping once, because escapes are printable and a backslash stays as
it is. The text is for people; JSON holds the exact value.
"""

import re
import sys
import traceback
from types import TracebackType
from typing import Final

MAX_LINE_CHARS: Final = 4096
"""The longest line that is printed or logged: the longest path that Linux takes."""

MAX_QUOTE_CHARS: Final = 200
"""The longest quotation of a server within a sentence of ours."""

# Beyond this, a traceback of chained errors or of groups says nothing new.
_MAX_BLOCK_CHARS: Final = 16 * MAX_LINE_CHARS
_CUT: Final = "..."
# In JSON, only formatting has line breaks; within strings they are escaped already.
_MAYBE_UNSAFE_IN_JSON: Final = re.compile(r"[^\x20-\x7e\n]+")
_MAYBE_UNSAFE: Final = re.compile(r"[^\x20-\x7e\n\t]+")

_Raised = tuple[type[BaseException], BaseException, TracebackType | None]
ExcInfo = _Raised | tuple[None, None, None]
"""As `sys.exc_info` returns it."""


def escaped(text: str, max_chars: int = MAX_LINE_CHARS) -> str:
    """Return a text as one printable line of at most so many characters.

    Where it is cut, it ends with `...`.
    """
    shown = text[: max_chars + 1]  # one more tells that there is more
    if not shown.isprintable():
        shown = "".join(map(_escaped_char, shown))
    return cut(shown, max_chars)


def cut(text: str, max_chars: int) -> str:
    """Return the beginning of a text that is longer than so many characters, and `...`."""
    return text if len(text) <= max_chars else text[: max_chars - len(_CUT)] + _CUT


def escaped_text(text: str) -> str:
    """Return a text of ours, with its line breaks and tabs and whatever its length."""
    return _MAYBE_UNSAFE.sub(lambda run: "".join(map(_escaped_char, run[0])), text)


def escaped_json(encoded: bytes) -> bytes:
    r"""Return JSON of the same value in which each unprintable character is a `\u` escape.

    `encoded` is UTF-8, in one line or indented.
    """
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    return json_escaped(encoded.decode()).encode()


def json_escaped(text: str) -> str:
    """Return the same as `escaped_json`, of text, in which lone surrogates may be."""
    return _MAYBE_UNSAFE_IN_JSON.sub(lambda run: "".join(map(_json_char, run[0])), text)


def traceback_text(exc_info: ExcInfo) -> str:
    """Return a traceback in which no error's message begins a line of its own.

    Values of variables are left out: they may be secrets.
    """
    if exc_info[0] is None:
        return ""
    whole = traceback.TracebackException(*exc_info)
    waiting = [whole]
    while waiting:
        one = waiting.pop()
        # The class has no hook for messages, and makes those of causes itself.
        if "_str" in (fields := vars(one)):
            fields["_str"] = escaped(fields["_str"])
        if one.__notes__:
            one.__notes__ = [escaped(str(note)) for note in one.__notes__]
        waiting += filter(None, (one.__cause__, one.__context__, *(one.exceptions or ())))
    return cut(escaped_text("".join(whole.format()).rstrip("\n")), _MAX_BLOCK_CHARS)


def print_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a traceback on standard error, as `sys.excepthook` does."""
    print(traceback_text((kind, error, trace)), file=sys.stderr, flush=True)  # noqa: T201


def _escaped_char(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def _json_char(char: str) -> str:
    if char.isprintable() or char == "\n":
        return char
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[begin : begin + 4]}" for begin in range(0, len(units), 4))
