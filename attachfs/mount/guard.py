"""The one place where our errors become the kernel's: no exception gets past it.

pyfuse3 ends the mount on any exception but `FUSEError`.
"""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

import pyfuse3
import structlog
import trio

from attachfs.errors import AttachfsError, Closing

P = ParamSpec("P")
R = TypeVar("R")

_log = structlog.get_logger(__name__)


class Requests:
    """Hold the cancel scopes of the requests under way, to end them all before unmounting."""

    def __init__(self) -> None:
        self._scopes: set[trio.CancelScope] = set()
        self.closing = False

    def begin(self) -> trio.CancelScope:
        """Return the scope for a request; raises `Closing` once the mount is going down."""
        if self.closing:
            raise Closing("the mount is being taken down")
        scope = trio.CancelScope()
        self._scopes.add(scope)
        return scope

    def end(self, scope: trio.CancelScope) -> None:
        """Forget a request that has been answered."""
        self._scopes.discard(scope)

    def close(self) -> None:
        """Refuse requests from now on and cancel those under way; they are answered ENOTCONN."""
        self.closing = True
        for scope in list(self._scopes):
            scope.cancel()


class Guarded:
    """Base of handlers' classes: offers `requests` to `guarded`."""

    requests: Requests


G = TypeVar("G", bound=Guarded)


def guarded(
    handler: Callable[Concatenate[G, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[G, P], Coroutine[Any, Any, R]]:
    """Answer a request whatever happens: with its result, or with our error's errno.

    The unexpected is EIO, with its traceback in the log. A cancelled request is answered ENOTCONN.
    """

    @functools.wraps(handler)
    async def answer(self: G, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            scope = self.requests.begin()
            try:
                with scope:
                    return await handler(self, *args, **kwargs)
            finally:
                self.requests.end(scope)
            raise Closing("the request was cancelled")  # noqa: TRY301 - told like any other
        except AttachfsError as error:
            _log_once(handler.__name__, error)
            raise pyfuse3.FUSEError(error.errno) from error
        except pyfuse3.FUSEError:
            raise
        except Exception as error:
            _log.exception("unexpected error in a request", operation=handler.__name__)
            raise pyfuse3.FUSEError(AttachfsError.errno) from error

    return answer  # type: ignore[return-value] # "self" is positional to callers here


def _log_once(operation: str, error: AttachfsError) -> None:
    if not error.logged:
        error.logged = True
        _log.log(error.log_level, str(error), operation=operation, error=type(error).__name__)
