"""An open archive in a thread of its own, for code that blocks and knows nothing of trio."""

import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, ParamSpec, TypeVar

import structlog
import trio

from attachfs.access.opened import Opened, opened
from attachfs.access.settings import Settings
from attachfs.errors import Closing, first_cause

P = ParamSpec("P")
T = TypeVar("T")

_log = structlog.get_logger(__name__)


class Portal:
    """Run an archive's event loop in a thread; whatever is asked of it runs there.

    Of one process: what a fork took along cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        """Open the archive; raises `SetupError`, and what is wrong with this machine."""
        _be_quiet()
        self._settings = settings
        self._opened: Future[Opened] = Future()
        self._token: trio.lowlevel.TrioToken
        self._nursery: trio.Nursery
        self._thread = threading.Thread(target=self._run, name="attachfs", daemon=True)
        self._thread.start()
        self.opened = self._opened.result()
        self.fs = self.opened.fs

    def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what an asynchronous function returns; raises what it raises.

        Interrupted (Ctrl-C), it is cancelled. May be called from any thread but the portal's own,
        also from several at the same time. Raises `Closing` once the process ends.
        """
        if not self.is_open:
            raise _closed()
        future: Future[T] = Future()
        scope = trio.CancelScope()

        async def work() -> None:
            try:
                with scope:
                    future.set_result(await function(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
                future.set_exception(first_cause(error))  # not the groups that nurseries make of it
            finally:
                if not future.done():  # cancelled
                    future.set_exception(_closed())

        def begin() -> None:
            try:
                self._nursery.start_soon(work)
            except RuntimeError:  # it is closed already
                future.set_exception(_closed())

        try:
            self._token.run_sync_soon(begin)
            return future.result()
        except trio.RunFinishedError:
            raise _closed() from None
        except KeyboardInterrupt:
            self._token.run_sync_soon(scope.cancel)
            raise

    @property
    def is_open(self) -> bool:
        """Whether anything can still be asked."""
        return self._thread.is_alive()

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have a function called; never waits, raises nothing."""
        if not self.is_open:  # in a fork, its locks may be held for ever
            return
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(function)

    def close(self) -> None:
        """End all that is under way, write what is to be remembered, end the thread."""
        try:
            self._token.run_sync_soon(self._nursery.cancel_scope.cancel)
        except trio.RunFinishedError:
            return
        self._thread.join()

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits, or logged
            if not self._opened.done():
                self._opened.set_exception(error)
            else:
                _log.error("the archive ended unexpectedly", exc_info=error)

    async def _serve(self) -> None:
        async with (
            opened(self._settings, on_warning=_warn) as archive,
            trio.open_nursery() as nursery,
        ):
            self._token = trio.lowlevel.current_trio_token()
            self._nursery = nursery
            self._opened.set_result(archive)
            await trio.sleep_forever()


class _Portals:
    """Keep the portals of this process, one for each way to open an archive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[Hashable, _Place] = {}

    def get(self, key: Hashable, settings: Callable[[], Settings]) -> Portal:
        with self._lock:
            place = self._places.setdefault(key, _Place())
        return place.portal(settings)

    def close(self) -> None:
        with self._lock:
            places = list(self._places.values())
            self._places.clear()
        for place in places:
            place.close()


class _Place:
    """Hold the portal of one key; opening it does not delay others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._portal: Portal | None = None
        self._is_closed = False

    def portal(self, settings: Callable[[], Settings]) -> Portal:
        with self._lock:
            if self._is_closed:
                raise _closed()
            if self._portal is None or not self._portal.is_open:
                self._portal = Portal(settings())
            return self._portal

    def close(self) -> None:
        self._is_closed = True
        # The process ends: it does not wait for what is being opened in a thread that ends with it.
        if self._portal is not None:
            self._portal.close()


_PORTALS = _Portals()
# Of processes that this one is a fork of. What they hold must not be let go of here: it is shared.
_INHERITED: Final[list[_Portals]] = []


def portal(key: Hashable, settings: Callable[[], Settings]) -> Portal:
    """Return the portal of this process for a key; opened with `settings` where there is none.

    Raises as `Portal`, and what `settings` raises.
    """
    return _PORTALS.get(key, settings)


def _be_quiet() -> None:
    """Have events go to `logging`, unless this program has said where structlog's should go."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.processors.format_exc_info,
                structlog.processors.KeyValueRenderer(key_order=["event"]),
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )


def _begin_anew() -> None:
    global _PORTALS  # noqa: PLW0603 - of the process, as what it stands for is
    _INHERITED.append(_PORTALS)
    _PORTALS = _Portals()


def _close_all() -> None:
    _PORTALS.close()


def _closed() -> Closing:
    return Closing("the archive has been closed")


def _warn(message: str) -> None:
    _log.warning(message)


os.register_at_fork(after_in_child=_begin_anew)
atexit.register(_close_all)
