"""When to ask again, and how long to wait before it: one policy for all requests."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import stamina
import trio

from attachfs.archive.faults import may_retry
from attachfs.errors import AttachfsError

T = TypeVar("T")

ATTEMPTS: Final = 4

_retries = partial(
    stamina.retry_context,
    attempts=ATTEMPTS,
    wait_initial=0.2,  # seconds, doubled each time, with as much jitter
    wait_max=5.0,
    wait_jitter=0.2,
)


async def retried(work: Callable[[], Awaitable[T]], *, timeout_s: float) -> T:
    """Return what `work` returns, after more attempts where they may help.

    Only what may pass by itself is tried again (`may_retry`), and that not beyond `timeout_s`
    seconds from now. A wait that the server asks for and that is longer is not begun. Raises what
    the last attempt raised.
    """
    deadline_s = trio.current_time() + timeout_s
    try:
        return await work()
    except AttachfsError as error:
        if may_retry(error) is False:
            raise
        failure: AttachfsError | None = error

    def again(error: Exception) -> bool | float:
        wait_s = may_retry(error)
        if isinstance(wait_s, bool):
            return wait_s
        return wait_s if trio.current_time() + wait_s < deadline_s else False

    # The machinery costs 0.3 ms, so that it is set up after a failure, which is its first attempt.
    async for attempt in _retries(on=again, timeout=deadline_s - trio.current_time()):
        with attempt:
            if failure is not None:
                first, failure = failure, None
                raise first
            return await work()
    raise AssertionError("a retry loop ends by return or raise")
