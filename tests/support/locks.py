"""What others do just before a lock is taken."""

import fcntl
from collections.abc import Callable

import pytest


def before_next_lock(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have something done once, when the next lock of a file is about to be taken."""
    flock = fcntl.flock

    def take(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        act()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", take)
