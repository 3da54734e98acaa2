"""When to ask again, and how long to wait before it: one policy for all requests."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Final

import stamina
import trio

from attachfs.archive.faults import may_retry

ATTEMPTS: Final = 4

_retries = partial(
    stamina.retry_context,
    attempts=ATTEMPTS,
    wait_initial=0.2,  # seconds, doubled each time, with as much jitter
    wait_max=5.0,
    wait_jitter=0.2,
)


def attempts(timeout_s: float) -> AsyncIterator[stamina.Attempt]:
    """Offer attempts, as long as the wait before the next one leaves time for it.

    Only what may pass by itself is tried again (`may_retry`), and that not beyond `timeout_s`
    seconds from now. A wait that the server asks for and that is longer is not begun.
    """
    deadline_s = trio.current_time() + timeout_s

    def again(error: Exception) -> bool | float:
        wait_s = may_retry(error)
        if isinstance(wait_s, bool):
            return wait_s
        return wait_s if trio.current_time() + wait_s < deadline_s else False

    return _retries(on=again, timeout=timeout_s)
