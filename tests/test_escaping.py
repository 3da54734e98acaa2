"""No character that a terminal obeys, and no line break, gets through; nothing is without bound."""

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs import errors
from attachfs.errors import AttachfsError
from attachfs.escaping import (
    MAX_LINE_CHARS,
    cut,
    escaped,
    escaped_json,
    escaped_text,
    json_escaped,
    traceback_text,
)

# What a terminal obeys, what hides or reorders text, and what ends a line somewhere.
UNSAFE = [
    *map(chr, range(0x20)),  # C0
    "\x7f",
    *map(chr, range(0x80, 0xA0)),  # C1
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",  # bidi
    *"\u2028\u2029",
    *"\u00ad\u200b\u200d\ufeff\U000e0041",  # invisible
    *"\ud800\udbff\udc00\udfff",  # lone surrogates
]


def _raised(message: str) -> BaseException:
    """Return a group of errors with a note, a cause and that one's context."""
    error = ExceptionGroup(message, [RuntimeError(message)])
    error.add_note(message)
    error.__cause__ = ValueError(message)
    error.__cause__.__context__ = KeyError(message)
    return error


def _traceback(text: str) -> str:
    error = _raised(text)
    return traceback_text((type(error), error, error.__traceback__))


@pytest.mark.parametrize("char", UNSAFE, ids=ascii)
@pytest.mark.parametrize(
    "escape",
    [escaped, lambda text: str(AttachfsError(text)), lambda text: cut(escaped(text), 1000)],
    ids=["line", "error", "cut"],
)
def test_unsafe_character_is_escaped_in_a_line(escape: Callable[[str], str], char: str) -> None:
    """As Python writes it, wherever it stands."""
    shown = escape(f"{char}a{char}b{char}")
    assert shown.isprintable()
    number = char.encode("unicode_escape").decode()
    assert shown == f"{number}a{number}b{number}"


@pytest.mark.parametrize("char", UNSAFE, ids=ascii)
def test_unsafe_character_is_escaped_in_a_text(char: str) -> None:
    """But for line breaks and tabs, which are a text's own."""
    shown = escaped_text(f"a{char}b")
    assert shown == f"a{char}b" if char in "\n\t" else shown.isprintable()


@pytest.mark.parametrize("char", UNSAFE, ids=ascii)
@pytest.mark.parametrize("indent", [None, 2])
def test_unsafe_character_is_escaped_in_json(char: str, indent: int | None) -> None:
    """Without changing the value, in keys and in values."""
    value = {f"k{char}": [f"a{char}b", "é漢🎉"]}
    shown = json_escaped(json.dumps(value, ensure_ascii=False, indent=indent))
    assert shown.replace("\n", "").isprintable()
    assert json.loads(shown) == value
    assert "é漢🎉" in shown
    if not 0xD800 <= ord(char) < 0xE000:
        encoded = escaped_json(msgspec.json.encode(value))
        assert encoded.decode().isprintable()
        assert json.loads(encoded) == value


@pytest.mark.parametrize("char", UNSAFE, ids=ascii)
def test_error_message_begins_no_line_of_a_traceback(char: str) -> None:
    """Neither that of the error, nor of its cause, of a member of a group, or of a note."""
    shown = _traceback(f"before{char}2026-12-01T00:00:00Z [info] forged")
    assert all(line.isprintable() for line in shown.split("\n"))
    assert len(shown.split("\n")) == len(_traceback("before forged").split("\n"))
    assert shown.count("forged") >= 4


def test_traceback_looks_like_the_interpreters() -> None:
    """With everything that it names."""
    try:
        int("so it is")
    except ValueError:
        assert traceback_text(sys.exc_info()) == traceback.format_exc().rstrip("\n")
    assert traceback_text((None, None, None)) == ""


@given(st.text(st.characters(), max_size=200), st.integers(3, 60))
def test_escaping_twice_changes_nothing(text: str, max_chars: int) -> None:
    """So whoever is in doubt may escape; what comes is printable and within its bound."""
    shown = escaped(text, max_chars)
    assert shown.isprintable()
    assert len(shown) <= max_chars
    assert escaped(shown, max_chars) == shown


@pytest.mark.parametrize("char", ["a", "漢", "\x1b", "\n", "\ud800"])
def test_line_is_bounded(char: str) -> None:
    """Whatever it is made of, and it says that something is missing."""
    for shown in (escaped(char * 10_000_000), str(AttachfsError(char * 10_000_000))):
        assert len(shown) <= MAX_LINE_CHARS
        assert shown.endswith("...")
    assert len(_traceback(char * 10_000_000)) <= 16 * MAX_LINE_CHARS


def test_every_error_of_ours_escapes_its_message() -> None:
    """Those that have more to say than a message included."""
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, AttachfsError)
    ]
    assert len(kinds) > 40
    for kind in kinds:
        more: dict[str, Any] = {"digests": {}} if kind is errors.Mismatch else {}
        assert str(kind("a\n\x1b[2Jb", **more)) == r"a\n\x1b[2Jb"
