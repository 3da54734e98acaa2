"""Where every task and thread of a mount stands: for whoever wonders why it does not go on."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import trio

_PACKAGES = Path(__file__).parent.parent.parent


class Waiting(NamedTuple):
    """Say where a task or thread waits: the innermost place first, each a file, line and function.

    `depth` tells whose child a task is: of the last one before it that is less deep. No value,
    which may be a secret, is in it.
    """

    kind: str
    name: str
    depth: int
    at: str


def waiting() -> Iterator[Waiting]:
    """Yield all tasks, as a tree, then all threads but the one that asks."""
    root = trio.lowlevel.current_root_task()
    if root is not None:
        yield from _of_task(root, 0)
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - the documented way
        if ident != threading.get_ident():
            yield Waiting("thread", names.get(ident, str(ident)), 0, _joined(_places(frame)))


def _of_task(task: trio.lowlevel.Task, depth: int) -> Iterator[Waiting]:
    places = [_place(frame, line) for frame, line in task.iter_await_frames()]
    yield Waiting("task", task.name.rpartition(".")[2], depth, _joined(reversed(places)))
    for nursery in task.child_nurseries:
        for child in sorted(nursery.child_tasks, key=lambda child: child.name):
            yield from _of_task(child, depth + 1)


def _places(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield _place(frame, frame.f_lineno)
        frame = frame.f_back


def _place(frame: FrameType, line: int) -> str:
    path = Path(frame.f_code.co_filename)
    if path.is_relative_to(_PACKAGES):
        path = path.relative_to(_PACKAGES)
    return f"{path}:{line} {frame.f_code.co_qualname}"


def _joined(places: Iterator[str]) -> str:
    return " < ".join(places)
