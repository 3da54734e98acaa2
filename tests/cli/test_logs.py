"""Logs in every form: for people, for programs, for the journal."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.mounts import Mount, Steering

_EVENTS = """
import structlog
from attachfs.cli.logs import configure
configure("info", {form!r})
log = structlog.get_logger("here")
log.debug("unseen")
log.info("seen", name="a b", number=1)
try:
    secret = "hunter2"
    raise ValueError("so it is")
except ValueError:
    log.exception("failed")
"""


# What a server may have a part of: the event, a field, an error's message, a library's word.
_HOSTILE_EVENTS = """
import logging, pathlib, sys, warnings
import structlog
from attachfs.cli.logs import configure
configure("info", {form!r})
log = structlog.get_logger("here")
def fail(text):
    raise ValueError(text)
for char in {chars!r}:
    text = "before" + char + "2099-12-01T00:00:00Z [info     ] forged"
    log.warning(text)
    log.warning("seen", reason=text, path=pathlib.Path(text), error=ValueError(text), many=[text])
    try:
        fail(text)
    except ValueError:
        log.exception("failed")
        logging.getLogger("library").exception(text)
    logging.getLogger("library").warning(text)
    warnings.warn(text)
    log.warning("long", reason="x" * 10_000_000, **{{text: 1}})
    print("next", file=sys.stderr)
"""
_UNSAFE = [*"\0\t\n\v\f\r\x1b\x7f\x85\x9b\u061c\u202a\u202e\u2028\u2029\u2066\u2069\ud800"]


def _logged(
    form: str, events: str = _EVENTS, *, chars: Sequence[str] = (), **settings: object
) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", events.format(form=form, chars=chars)],
        text=True,
        check=True,
        **{"stderr": subprocess.PIPE, **settings},  # type: ignore[call-overload]
    )
    lines: list[str] = (done.stderr or "").splitlines()
    assert "hunter2" not in "".join(lines)
    return lines


def test_people_read_a_line_an_event() -> None:
    """With the time in UTC, without colours where no terminal is."""
    lines = _logged("auto")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT[\d:.]+Z \[info *\] seen +name='a b' number=1", lines[0]
    ), lines[0]
    assert "[error    ] failed" in lines[1]
    assert lines[-1] == "ValueError: so it is"


def test_programs_read_an_object_a_line() -> None:
    """Tracebacks included, in one text."""
    events = [json.loads(line) for line in _logged("json")]
    assert [event["event"] for event in events] == ["seen", "failed"]
    assert events[0]["level"] == "info"
    assert (events[0]["name"], events[0]["number"]) == ("a b", 1)
    assert events[0]["timestamp"].endswith("Z")
    assert events[1]["exception"].endswith("ValueError: so it is")


def test_the_journal_reads_priorities() -> None:
    """On each line of an event, and no time: it has its own."""
    lines = _logged("journal")
    assert re.fullmatch(r"<6>seen +name='a b' number=1", lines[0]), lines[0]
    assert all(line.startswith("<3>") for line in lines[1:])
    assert lines[-1] == "<3>ValueError: so it is"


@pytest.mark.parametrize("form", ["text", "json", "journal"])
def test_no_text_forges_an_entry_or_reaches_a_terminal(form: str) -> None:
    """Each entry has as many lines as with harmless text, all of them printable and bounded."""
    text = "\n".join(_logged(form, _HOSTILE_EVENTS, chars=[" ", *_UNSAFE]))
    harmless, *parts = (part.split("\n") for part in text.removesuffix("next").split("next\n"))
    for char, lines in zip(_UNSAFE, parts, strict=True):
        assert lines.pop() == ""
        assert len(lines) == len(harmless) - 1, lines
        assert all(line.isprintable() for line in lines), lines
        assert max(map(len, lines)) < 10_000
        assert not any(line.startswith("2099") for line in lines)
        assert sum(line.count("forged") for line in lines) >= 10
        if form == "json":
            events = [json.loads(line) for line in lines]
            assert events[0]["event"] == f"before{char}2099-12-01T00:00:00Z [info     ] forged"
        if form == "journal":
            assert all(line.startswith(("<4>", "<3>")) for line in lines)


def test_the_journal_is_recognised(tmp_path: Path) -> None:
    """By JOURNAL_STREAM, which names what standard error was; not where it leads elsewhere."""
    for same, begins in ((True, "<6>seen"), (False, "20")):
        path = tmp_path / f"log{same}"
        with path.open("w") as file:
            status = os.fstat(file.fileno())
            number = status.st_ino if same else status.st_ino + 1
            stream = f"{status.st_dev}:{number}"
            _logged("auto", stderr=file, env=os.environ | {"JOURNAL_STREAM": stream})
        assert path.read_text().startswith(begins)


_MANY_EVENTS = """
import structlog
from attachfs.cli.logs import configure
configure("info", "text")
log = structlog.get_logger("here")
for number in range(2_000):
    log.info("an event", number=number, text="x" * 100)
print("done", flush=True)
input()
log.info("the last one")
"""


@pytest.mark.parametrize("terminal", [False, True])
def test_who_does_not_read_the_log_holds_nobody_up(*, terminal: bool) -> None:
    """What finds no room is lost, and counted once there is room again."""
    reading, writing = os.openpty() if terminal else os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", _MANY_EVENTS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=writing,
    ) as process:
        os.close(writing)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        os.set_blocking(reading, False)
        _read_all(reading)
        process.stdin.write(b"\n")
        process.stdin.close()
        process.wait()
        text = _read_all(reading).decode()
    os.close(reading)
    assert re.search(r"^\(\d+ log entries are lost: they were not read\)", text, re.MULTILINE)
    assert "the last one" in text


def _read_all(descriptor: int) -> bytes:
    """Return what can be read now."""
    data = b""
    with suppress(OSError):
        while block := os.read(descriptor, 65536):
            data += block
    return data


@pytest.mark.mount
def test_debug_traces_every_request(mount: Callable[..., Mount], archive: Steering) -> None:
    """With a number, its path, status and time; failures with why; never a secret."""
    mounted = mount("--log-level", "debug", "--log-format", "text")
    photo = mounted.asset("container") / SAMPLE["blob:container-photo"]
    photo.read_bytes()
    token = archive.token_file.read_text().split()[-1]
    requests = [line for line in mounted.log if " request  " in line]
    numbers = [int(found[1]) for line in requests if (found := re.search(r"\bid=(\d+)", line))]
    assert len(numbers) == len(requests) == len(set(numbers)) > 2
    assert all(re.search(r"ms=\d+\.\d .*path=/\S+ status=200$", line) for line in requests)
    assert any(photo.name in line for line in requests)
    assert not any(token in line for line in mounted.log)
