"""Logs: one line an event on standard error, for people, for programs, or for the journal."""

import logging
import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

import stamina.instrumentation
import structlog
from structlog.typing import EventDict, WrappedLogger

# A pipe that takes anything takes as many.
_AT_ONCE_BYTES: Final = select.PIPE_BUF
_WAIT_MS: Final = 100

Renderer = Callable[[WrappedLogger, str, EventDict], str]

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
            {"text": _text(), "json": _json, "journal": _journal()}[form],
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=_Lossy(sys.stderr)),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    # It warns, with a traceback, of headers that are none: what matters of them is told by us.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    stamina.instrumentation.set_on_retry_hooks([_log_retry])


def _plain(*, colors: bool) -> Renderer:
    return structlog.dev.ConsoleRenderer(
        colors=colors,
        # Without the values of variables, which may be secrets.
        exception_formatter=structlog.dev.plain_traceback,
    )


def _text() -> Renderer:
    plain, colored = _plain(colors=False), _plain(colors=True)

    def render(logger: WrappedLogger, name: str, event: EventDict) -> str:
        # Looked at each time: in the background, a terminal gives way to a file.
        return (colored if sys.stderr.isatty() else plain)(logger, name, event)

    return render


def _json(logger: WrappedLogger, name: str, event: EventDict) -> str:
    event = structlog.processors.format_exc_info(logger, name, event)
    rendered = structlog.processors.JSONRenderer(default=str)(logger, name, event)
    return rendered if isinstance(rendered, str) else rendered.decode()


def _journal() -> Renderer:
    plain = _plain(colors=False)

    def render(logger: WrappedLogger, name: str, event: EventDict) -> str:
        event.pop("timestamp", None)  # the journal has its own
        priority = _PRIORITIES.get(event.pop("level", "info"), _PRIORITIES["info"])
        lines = str(plain(logger, name, event)).splitlines()
        return "\n".join(f"<{priority}>{line}" for line in lines)

    return render


def _leads_to_journal() -> bool:
    """Tell whether systemd's journal reads standard error (systemd.exec(5), JOURNAL_STREAM)."""
    with suppress(OSError, ValueError):
        status = os.fstat(sys.stderr.fileno())
        return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
    return False


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


def _log_retry(details: stamina.instrumentation.RetryDetails) -> None:
    structlog.get_logger(__name__).debug(  # an outage has a line of its own
        "asking again",
        attempt=details.retry_num,
        wait_s=round(details.wait_for, 2),
        reason=str(details.caused_by),
    )
