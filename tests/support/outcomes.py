"""How an operation ended, by the name of its errno, and waiting for what takes a moment."""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.support.mounts import PATIENCE_S

WELL = "all is well"
_PAUSE_S = 0.01


def outcome(action: Callable[[], object]) -> str:
    """Return the name of the errno that an action fails with, `WELL` where it does not."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return WELL


def until(condition: Callable[[], bool], *, pause_s: float = _PAUSE_S) -> None:
    """Wait for a condition that holds in a moment; only a failure waits for long."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it does not happen"
        time.sleep(pause_s)


@contextmanager
def answering(assets: Path) -> Iterator[None]:
    """Have the server of a mount answer others all the while: one that answers nobody is away.

    `assets` is asked for what is not there, never for the same: the kernel remembers that.
    """
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            assert not (assets / str(uuid4())).exists()

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            yield
        finally:
            over.set()
        asking.result()
