"""What the server asks one worker to wait, all workers wait.

A worker tells the scheduler of a 429; whoever runs the job hears of it, and tells all workers. That
takes some milliseconds, and nobody asks the scheduler whether there is news.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from distributed import Client, get_worker

from attachfs.access.portal import Portal
from attachfs.errors import Busy

Heed = Callable[[float | None], object]
"""Take note, in a worker, of a 429 and of the seconds that it asks to wait, if it says so."""


def announce(portal: Portal, run: str) -> None:
    """Have the scheduler told of every refusal that this worker meets; called in a task."""
    worker = get_worker()

    def tell(error: Busy) -> None:
        worker.log_event(_topic(run), error.retry_after_s)

    portal.opened.archive.policy.limiter.on_refused = tell


def heed(portal: Portal, retry_after_s: float | None) -> None:
    """Have a worker's requests wait for what another was told; never waits itself."""
    limiter = portal.opened.archive.policy.limiter
    busy = Busy("another worker was refused", retry_after_s=retry_after_s)
    limit_s = portal.opened.settings.timeout_s
    portal.call_soon(partial(limiter.heed, busy, longest_wait_s=limit_s))


def relay(client: Client, run: str, heeding: Heed) -> None:
    """Have every worker of a cluster heed what one of them announces in a run."""
    client.subscribe_topic(_topic(run), partial(_pass_on, client, heeding))


def end_relay(client: Client, run: str) -> None:
    """Relay no more."""
    client.unsubscribe_topic(_topic(run))


async def _pass_on(client: Client, heeding: Heed, event: tuple[float, Any]) -> None:
    _, retry_after_s = event
    passed: Awaitable[Any] = client.run(heeding, retry_after_s, on_error="ignore")
    await passed


def _topic(run: str) -> str:
    return f"attachfs-busy-{run}"
