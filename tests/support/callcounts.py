"""Count the Python functions that a thread calls: exact where a time is not."""

import logging
import sys
from collections.abc import Awaitable, Callable
from types import FrameType

import pytest
import structlog

from attachfs.archive import traffic


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


def log_as_a_mount(patches: pytest.MonkeyPatch) -> None:
    """Drop what is logged of requests by a call that does nothing, as a mount at level info."""
    filtering = structlog.make_filtering_bound_logger(logging.INFO)
    log = structlog.wrap_logger(structlog.PrintLogger(), wrapper_class=filtering)
    patches.setattr(traffic, "_log", log.bind())
