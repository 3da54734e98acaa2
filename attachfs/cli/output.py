"""What commands print. Every line is escaped here; no other module of `cli` prints text."""

import sys
from typing import Any, TextIO

import click

from attachfs.escaping import escaped, escaped_text, json_escaped, print_traceback


def say(*lines: str, err: bool = False) -> None:
    """Print lines on standard output, or on standard error.

    A line break within one of them is escaped: what is printed has as many lines as were given.
    """
    _print("\n".join(map(escaped, lines)), sys.stderr if err else sys.stdout)


def complain(message: object) -> None:
    """Print on standard error what is wrong, in a line."""
    say(f"attachfs: {message}", err=True)


def warn(message: str) -> None:
    """Print on standard error what is not an error yet, in a line."""
    complain(f"warning: {message}")


def say_json(value: Any) -> None:
    r"""Print a value as JSON, exact and whole; what no terminal should get is a `\u` escape."""
    import json

    is_ascii = not _encoding(sys.stdout).startswith("utf")
    _print(json_escaped(json.dumps(value, indent=2, ensure_ascii=is_ascii)), sys.stdout)


def say_text(text: str, *, err: bool = False) -> None:
    """Print a text of ours, with its line breaks and whatever its length."""
    _print(escaped_text(text.removesuffix("\n")), sys.stderr if err else sys.stdout)


def escape_tracebacks() -> None:
    """Print the tracebacks of errors that nothing catches as those that are logged."""
    import threading

    def print_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
        error = unraisable.exc_value
        if error is not None:
            print_traceback(unraisable.exc_type, error, unraisable.exc_traceback)

    def print_of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            print_traceback(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = print_traceback
    sys.unraisablehook = print_unraisable
    threading.excepthook = print_of_thread


def _print(text: str, file: TextIO) -> None:
    # What the terminal's encoding lacks is escaped as well, instead of ending the command.
    encoding = _encoding(file)
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), file=file)


def _encoding(file: TextIO) -> str:
    return (file.encoding or "utf-8").lower()
