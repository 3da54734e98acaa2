"""What workers log, whoever runs the job logs: where they are, nobody may ever read it."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import structlog
from distributed import Client, get_worker
from structlog.typing import EventDict, WrappedLogger

from attachfs.escaping import traceback_text

_log = structlog.get_logger(__name__)
_TELLING: Final[dict[str, Callable[[dict[str, str]], object]]] = {}


def tell(run: str) -> None:
    """Have a run told of what this worker logs, from warnings on; called in a task.

    A program that has said itself where structlog's events should go keeps them.
    """
    worker = get_worker()
    _TELLING[run] = partial(worker.log_event, _topic(run))
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.ExceptionRenderer(traceback_text),
                _pass_on,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        )


def tell_no_more(run: str) -> None:
    """Tell a run nothing more."""
    _TELLING.pop(run, None)


def relay(client: Client, run: str) -> None:
    """Log here what workers tell a run."""
    client.subscribe_topic(_topic(run), _log_here)


def end_relay(client: Client, run: str) -> None:
    """Relay no more."""
    client.unsubscribe_topic(_topic(run))


def _pass_on(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    said = {name: str(value) for name, value in event.items()}
    for tell_run in tuple(_TELLING.values()):
        tell_run(said)
    raise structlog.DropEvent


def _log_here(received: tuple[float, Any]) -> None:
    _, event = received
    level = event.pop("level")
    _log.log(logging.getLevelName(level.upper()), **event)


def _topic(run: str) -> str:
    return f"attachfs-log-{run}"
