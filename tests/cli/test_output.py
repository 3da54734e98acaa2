"""What commands print is escaped, whoever prints it: there is one way out."""

import ast
import io
import json
import sys
import threading
from pathlib import Path

import pytest

import attachfs
from attachfs.cli import output

_ROOT = Path(attachfs.__file__).parent
# Those that write to a terminal: the one way out, and what is not text of an archive's.
_MAY = {
    "escaping.py": {"print"},  # tracebacks
    "cli/output.py": {"click.echo"},
    "cli/cat.py": {"sys.stdout.buffer.write"},  # bytes are what is asked for
    "audit/thumbnailing.py": {"sys.stdout.buffer.write"},  # to a pipe of ours
    "cli/logs.py": {"self._file.write", "os.write"},  # entries, which are escaped
    "mount/watchdog.py": {"sys.stderr.write"},  # a sentence of ours
}
_WAYS = (
    "print",
    "click.echo",
    "click.echo_via_pager",
    "click.secho",
    "echo",
    "os.write",
    "sys.stderr.write",
    "sys.stdout.write",
    "sys.stdout.buffer.write",
    "sys.stderr.buffer.write",
    "sys.stdout.writelines",
    "sys.stderr.writelines",
    "traceback.print_exc",
    "traceback.print_exception",
    "self._file.write",
)
_NOT_TERMINALS = {"mount/daemon.py": {"os.write"}}  # to a pipe of ours


def _calls(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _WAYS
    }


def test_output_has_one_way_out() -> None:
    """No module but those that are known prints, whatever is added."""
    found = {}
    for path in _ROOT.rglob("*.py"):
        name = str(path.relative_to(_ROOT))
        if name.startswith("demo/"):
            continue
        if calls := _calls(path) - _NOT_TERMINALS.get(name, set()):
            found[name] = calls
    assert found == _MAY


def test_json_is_printed_by_one_function() -> None:
    """No module of a command makes JSON of its own for a terminal."""
    users = {path.name for path in (_ROOT / "cli").glob("*.py") if "json.dumps" in path.read_text()}
    assert users == {"output.py", "logs.py", "config.py"}


def test_say_prints_as_many_lines_as_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    """On either stream."""
    output.say("a\nb", "c\x1b[2J")
    output.complain("d\r\ne")
    output.warn("f\u202e")
    captured = capsys.readouterr()
    assert captured.out == "a\\nb\nc\\x1b[2J\n"
    assert captured.err == "attachfs: d\\r\\ne\nattachfs: warning: f\\u202e\n"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "iso-8859-1", "utf-16"])
def test_encoding_of_a_terminal_ends_no_command(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it lacks is escaped; JSON stays JSON of the same value."""
    value = {"ü漢🎉\x9b\ud800": "\x7f\u2028"}
    for is_json in (True, False):
        raw = io.BytesIO()
        with io.TextIOWrapper(raw, encoding) as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            if is_json:
                output.say_json(value)
            else:
                output.say(*value)
            stream.flush()
            text = raw.getvalue().decode(encoding)
        assert text.replace("\n", "").isprintable()
        assert not is_json or json.loads(text) == value


def test_uncaught_errors_are_escaped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the main thread and in others, and where nothing can be raised."""
    for module, name in (
        (sys, "excepthook"),
        (sys, "unraisablehook"),
        (threading, "excepthook"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    output.escape_tracebacks()
    error = ValueError("a\x1b[2J\nattachfs: forged")
    sys.excepthook(ValueError, error, None)
    threading.excepthook(threading.ExceptHookArgs((ValueError, error, None, None)))

    class Unraisable:
        exc_type, exc_value, exc_traceback, err_msg, object = ValueError, error, None, None, None

    sys.unraisablehook(Unraisable())  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert said == 3 * "ValueError: a\\x1b[2J\\nattachfs: forged\n"
