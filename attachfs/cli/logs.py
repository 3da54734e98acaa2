"""Logs for people: one line an event on standard error, UTC."""

import logging
import sys
from contextlib import suppress
from typing import TextIO

import stamina.instrumentation
import structlog

LEVELS = ("debug", "info", "warning", "error")


def configure(level: str) -> None:
    """Send events of at least `level` to standard error, wherever that leads when they happen."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # Without the values of variables, which may be secrets.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=_Lossy(sys.stderr)),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    # It warns, with a traceback, of headers that are none: what matters of them is told by us.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    stamina.instrumentation.set_on_retry_hooks([_log_retry])


class _Lossy:
    """Write what can be written: a full disk, or a reader who has gone, is no reason to fail."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write a text, or lose it."""
        with suppress(OSError, ValueError):
            self._file.write(text)

    def flush(self) -> None:
        """Have written what was not lost."""
        with suppress(OSError, ValueError):
            self._file.flush()


def _log_retry(details: stamina.instrumentation.RetryDetails) -> None:
    structlog.get_logger(__name__).debug(  # an outage has a line of its own
        "asking again",
        attempt=details.retry_num,
        wait_s=round(details.wait_for, 2),
        reason=str(details.caused_by),
    )
