"""Count the Python functions that a thread calls: exact where a time is not."""

import sys
from collections.abc import Awaitable, Callable
from types import FrameType


async def python_calls(work: Callable[[], Awaitable[object]]) -> int:
    """Return how many Python functions are called, or go on, until `work` returns.

    Those of trio's loop are included, and those of other threads are not. A function that waits
    counts again when it goes on. What is built into Python does not count.
    """
    count = 0

    def note(_frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        await work()
    finally:
        sys.setprofile(None)
    return count
