"""What one worker of a test session makes, and all of them use."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is created; other processes wait for it."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def made_once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], str]
) -> tuple[Path, str]:
    """Return a directory of the session, and what `make` returned when it filled it.

    The first worker that needs it calls `make` with the empty directory; other workers wait. Where
    `make` fails, the next worker starts again with an empty directory.
    """
    session = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # then each worker has a directory of its own in it
        session = session.parent
    directory, result = session / name, session / f"{name}.result"
    with locked(session / f"{name}.lock"):
        if not result.exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            result.write_text(make(directory))
        return directory, result.read_text()
