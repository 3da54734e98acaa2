"""Tasks of trio in a thread of their own, for tests that block."""

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import trio

T = TypeVar("T")


@contextmanager
def in_thread(serve: Callable[[trio.TaskStatus[T]], Awaitable[None]], *, name: str) -> Iterator[T]:
    """Run a task for the block, and yield what it has started with; raises what it raises."""
    started = threading.Event()
    values: list[T] = []
    failures: list[BaseException] = []
    stop: list[tuple[trio.lowlevel.TrioToken, trio.CancelScope]] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            values.append(await nursery.start(serve))
            stop.append((trio.lowlevel.current_trio_token(), nursery.cancel_scope))
            started.set()

    def thread_main() -> None:
        try:
            trio.run(main)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            failures.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=thread_main, name=name)
    thread.start()
    started.wait()
    try:
        if values:
            yield values[0]
    finally:
        for token, scope in stop:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(scope.cancel)
        thread.join()
    if failures:
        raise failures[0]
