"""The one place where our errors become the kernel's: no exception gets past it.

pyfuse3 ends the mount on any exception but `FUSEError`.
"""

import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import pyfuse3
import structlog
import trio

from attachfs.errors import AttachfsError, Closing
from attachfs.mount.tally import TALLY

P = ParamSpec("P")
R = TypeVar("R")

_log = structlog.get_logger(__name__)


def guarded(
    handler: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Answer a request whatever happens: with its result, or with our error's errno.

    The unexpected is EIO, with its traceback in the log. A cancelled request is answered ENOTCONN:
    whoever cancelled it is cancelled again at the next wait, for a further request.
    """
    name = handler.__name__

    @functools.wraps(handler)
    async def answer(*args: P.args, **kwargs: P.kwargs) -> R:
        TALLY.operations[name] += 1
        try:
            return await handler(*args, **kwargs)
        except trio.Cancelled:
            raise pyfuse3.FUSEError(Closing.errno) from None
        except AttachfsError as error:
            TALLY.failed(name, error)
            _log_once(name, error)
            raise pyfuse3.FUSEError(error.errno) from error
        except pyfuse3.FUSEError:
            raise
        except Exception as error:
            TALLY.failed(name, error)
            TALLY.told(name, error)
            _log.exception("unexpected error in a request", operation=name)
            raise pyfuse3.FUSEError(AttachfsError.errno) from error

    return answer


def _log_once(operation: str, error: AttachfsError) -> None:
    """Log an error as loud as it matters: each once, and once for all failures of an outage."""
    if error.logged:
        return
    error.logged = True
    told = error.incident is None or error.incident.tell()
    if told and error.log_level >= logging.WARNING:
        TALLY.told(operation, error)
    _log.log(
        error.log_level if told else logging.DEBUG,
        str(error),
        operation=operation,
        error=type(error).__name__,
    )
