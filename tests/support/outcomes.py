"""How an operation ended, by the name of its errno, and waiting for what takes a moment."""

import errno
import time
from collections.abc import Callable
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


def ask_for_nothing(assets: Path) -> None:
    """Have the server of a mount answer: that something is not there, which was never asked for."""
    assert not (assets / str(uuid4())).exists()
