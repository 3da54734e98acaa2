"""Logs: one line an event on standard error, for people, for programs, or for the journal."""

import json
import logging
import os
import select
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from attachfs.escaping import (
    MAX_LINE_CHARS,
    cut,
    escaped,
    escaped_text,
    json_escaped,
    traceback_text,
)

# A pipe that takes anything takes as many.
_AT_ONCE_BYTES: Final = select.PIPE_BUF
_WAIT_MS: Final = 100

Renderer = Callable[[WrappedLogger, str, EventDict], str]

_TRACEBACK: Final = "exception"  # as structlog calls it
# As sd-daemon(3) has them.
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def configure(level: str, form: str = "auto") -> None:
    """Send events of at least `level` to standard error, wherever that leads when they happen.

    `form` is `text`, with the time in UTC; `json`, an object a line; `journal`, with the priority
    in front, as systemd reads it; or `auto`: the journal's where standard error leads there.
    """
    if form == "auto":
        form = "journal" if _leads_to_journal() else "text"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(traceback_text),
            {"text": _text(), "json": _json, "journal": _journal()}[form],
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=_Lossy(sys.stderr)),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    # What libraries log or warn of goes the same way, unless they have handlers of their own.
    logging.lastResort = _Relay(logging.WARNING)
    warnings.showwarning = _relay_warning


def _plain(*, colors: bool) -> Renderer:
    console = structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback
    )

    def render(logger: WrappedLogger, name: str, event: EventDict) -> str:
        return str(console(logger, name, dict(_printable(event))))

    return render


def _printable(event: EventDict) -> Iterator[tuple[str, Any]]:
    """Yield the fields of an event so that it makes one line, and one for each of a traceback."""
    for name, value in event.items():
        if value is None or isinstance(value, bool | int | float):
            yield escaped(name), value
        elif name == _TRACEBACK:
            yield name, escaped_text(str(value))
        else:
            yield escaped(name), escaped(str(value))


def _text() -> Renderer:
    plain, colored = _plain(colors=False), _plain(colors=True)

    def render(logger: WrappedLogger, name: str, event: EventDict) -> str:
        # Looked at each time: in the background, a terminal gives way to a file.
        return (colored if sys.stderr.isatty() else plain)(logger, name, event)

    return render


def _json(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    return json_escaped(json.dumps(dict(_bounded(event)), ensure_ascii=False))


def _bounded(event: EventDict) -> Iterator[tuple[str, Any]]:
    """Yield the fields of an event as they are, but none longer than a line may be."""
    for name, value in event.items():
        if name == _TRACEBACK or value is None or isinstance(value, bool | int | float):
            yield name, value
        else:
            yield name, cut(str(value), MAX_LINE_CHARS)


def _journal() -> Renderer:
    plain = _plain(colors=False)

    def render(logger: WrappedLogger, name: str, event: EventDict) -> str:
        event.pop("timestamp", None)  # the journal has its own
        priority = _PRIORITIES.get(event.pop("level", "info"), _PRIORITIES["info"])
        lines = plain(logger, name, event).split("\n")
        return "\n".join(f"<{priority}>{line}" for line in lines)

    return render


def _leads_to_journal() -> bool:
    """Tell whether systemd's journal reads standard error (systemd.exec(5), JOURNAL_STREAM)."""
    with suppress(OSError, ValueError):
        status = os.fstat(sys.stderr.fileno())
        return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
    return False


class _Relay(logging.Handler):
    """Log what the standard library's `logging` is given."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record; never raises."""
        try:
            log = structlog.get_logger(record.name)
            tell = log.warning if record.levelno < logging.ERROR else log.error
            tell(record.getMessage(), logger=record.name, exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 - as logging has it
            self.handleError(record)


def _relay_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    structlog.get_logger("warnings").warning(str(message), category=category.__name__)


class _Lossy:
    """Write what can be written now, and lose the rest; a mount must not depend on its log.

    The disk may be full, the reader of a pipe may have gone or be stopped, a terminal may be held
    with Ctrl-S. Once nothing can be written for a while, nothing is waited for until it can.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lost = 0

    def write(self, text: str) -> None:
        """Write a text, or lose it."""
        with suppress(OSError, ValueError):
            try:
                descriptor = self._file.fileno()
            except OSError:  # a file of Python's own
                self._file.write(text)
                return
            self._file.flush()
            if self._lost:
                text = f"\n({self._lost} log entries are lost: they were not read)\n{text}"
            data = memoryview(text.encode(errors="backslashreplace"))
            while data:
                if not self._is_ready(descriptor):
                    self._lost += 1
                    return
                try:
                    data = data[_write_some(descriptor, data) :]
                except BlockingIOError:
                    self._lost += 1
                    return
            self._lost = 0

    def _is_ready(self, descriptor: int) -> bool:
        """Return whether so few bytes can be written without waiting, or soon."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        return bool(poll.poll(0 if self._lost else _WAIT_MS))

    def flush(self) -> None:
        """Have written what was not lost."""
        with suppress(OSError, ValueError):
            self._file.flush()


def _write_some(descriptor: int, data: memoryview) -> int:
    """Write what a pipe takes at once, or a terminal, which takes less than it says."""
    if os.isatty(descriptor):
        with suppress(PermissionError):  # another user's, after su(1)
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            own = os.open(f"/proc/self/fd/{descriptor}", flags)
            try:
                return os.write(own, data)
            finally:
                os.close(own)
    return os.write(descriptor, data[:_AT_ONCE_BYTES])
