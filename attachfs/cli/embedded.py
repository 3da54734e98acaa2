"""Run the embedded archive for a command, until a signal ends it."""

import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from attachfs.errors import DemoUnavailable, first_cause

if TYPE_CHECKING:
    import trio

    from attachfs.demo.launch import RunningArchive


def run_embedded(
    then: Callable[["RunningArchive"], Awaitable[None]],
    *,
    port: int = 0,
    data: Path | None = None,
    empty: bool = False,
    latency_s: float = 0.0,
) -> None:
    """Serve an archive while `then` runs; SIGINT and SIGTERM end both, cleanly.

    Raises `DemoUnavailable` where the archive cannot run, and what `then` raises.
    """
    try:
        import trio

        from attachfs.demo.errors import ArchiveError
        from attachfs.demo.launch import ArchiveConfig, run_archive
    except ModuleNotFoundError as error:
        raise DemoUnavailable(
            f"the embedded archive needs {error.name}; run: pip install 'attachfs[demo]'"
        ) from error

    config = ArchiveConfig(port=port, data_dir=data, empty=empty, latency_s=latency_s)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(_cancel_on_signal, nursery)
            running = await nursery.start(run_archive_with, config)
            await then(running)
            nursery.cancel_scope.cancel()

    async def run_archive_with(config: ArchiveConfig, *, task_status: object) -> None:
        await run_archive(config, task_status=task_status)  # type: ignore[arg-type] # trio's own

    try:
        trio.run(main)
    except BaseExceptionGroup as group:
        mistake = first_cause(group)
        if isinstance(mistake, ArchiveError):
            raise DemoUnavailable(str(mistake)) from mistake
        raise mistake from None


async def _cancel_on_signal(
    nursery: "trio.Nursery", *, task_status: "trio.TaskStatus[None]"
) -> None:
    import trio

    for number in (signal.SIGTERM, signal.SIGINT):
        # What holds once the receiver has gone: no second Ctrl-C cuts the cleaning up short.
        signal.signal(number, signal.SIG_IGN)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            nursery.cancel_scope.cancel()
