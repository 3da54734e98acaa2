"""The life of a mount: assemble, check, mount, serve, take down."""

import gc
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pyfuse3
import structlog
import trio

from attachfs.access.opened import Opened, opened
from attachfs.access.settings import Settings
from attachfs.errors import MountFailed
from attachfs.escaping import escaped
from attachfs.mount.callers import Callers
from attachfs.mount.control import Command, LongCommand, More, argument, serve_control
from attachfs.mount.express import use_express_lane
from attachfs.mount.kernel import KernelCaches
from attachfs.mount.metrics import metrics_text
from attachfs.mount.metrics_server import metrics_listener, serve_metrics
from attachfs.mount.mountpoint import claimed
from attachfs.mount.mounts import SUBTYPE
from attachfs.mount.notify import READY, STOPPING, notify
from attachfs.mount.operations import Operations
from attachfs.mount.ownership import Presentation
from attachfs.mount.status import status
from attachfs.mount.tasks import waiting
from attachfs.tree.filesystem import FileSystem

# Whatever else is asked for, these hold (mount(8)).
_OPTIONS: Final = frozenset({"ro", "nosuid", "nodev", "noexec", "default_permissions"})
# Each request under way holds a task; the kernel has up to 12 reads ahead and one per caller.
_MAX_TASKS: Final = 256
_MIN_TASKS: Final = 4

_log = structlog.get_logger(__name__)


async def run(
    settings: Settings,
    mountpoint: Path,
    *,
    presentation: Presentation | None = None,
    metrics_port: int | None = None,
    on_warning: Callable[[str], None],
    on_ready: Callable[[], None],
    on_ending: Callable[[int], None] = lambda _: None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Mount at an absolute, checked path and serve until unmounted or told to end.

    SIGTERM and SIGINT end it, as does cancellation: readers get an error, the mount goes, clients
    are closed. `on_ending` is called with the signal's number by its handler: also where the event
    loop is held up. Raises `SetupError` before `on_ready` is called, and what that raises; after
    it, only what is a defect of ours, and the mount is then left in place, dead: a backup must not
    see an empty directory.
    """
    presentation = presentation or Presentation.chosen(source=settings.url)
    kernel = KernelCaches()
    async with opened(settings, on_warning=on_warning, kernel=kernel) as archive:
        with metrics_listener(metrics_port) as scrapes:
            await _serve(
                archive,
                mountpoint,
                presentation,
                scrapes=scrapes,
                on_ready=on_ready,
                on_ending=on_ending,
                task_status=task_status,
            )
    _log.info("unmounted", mountpoint=str(mountpoint))


async def _serve(
    archive: Opened,
    mountpoint: Path,
    presentation: Presentation,
    *,
    scrapes: trio.SocketListener | None,
    on_ready: Callable[[], None],
    on_ending: Callable[[int], None],
    task_status: trio.TaskStatus[None],
) -> None:
    """Mount, serve, and take the mount down, unless what ends it is a defect of ours."""
    callers = Callers(timeout_s=archive.settings.timeout_s)
    _mount(Operations(archive.fs, callers, presentation), presentation, mountpoint)
    use_express_lane()
    # What is there by now stays: the collector need not look at it again (20 ms each time).
    gc.collect()
    gc.freeze()
    unmount = True

    def announced() -> None:
        nonlocal unmount
        on_ready()
        # A line break would begin another field.
        notify(READY, f"STATUS={escaped(f'{archive.settings.url} is mounted on {mountpoint}')}")
        unmount = False
        task_status.started()

    try:
        async with trio.open_nursery() as nursery:
            serving = trio.CancelScope()
            nursery.start_soon(_end_on_signal, serving, on_ending)
            nursery.start_soon(_refresh_on_hangup, archive.fs)
            nursery.start_soon(_dump_on_request)
            nursery.start_soon(callers.watch)
            if scrapes is not None:
                nursery.start_soon(serve_metrics, scrapes, archive)
            commands = _commands(archive, mountpoint)
            await nursery.start(serve_control, mountpoint, commands, {"job": _job(archive.fs)})
            nursery.start_soon(_announce, mountpoint, announced)
            with serving:
                await pyfuse3.main(min_tasks=_MIN_TASKS, max_tasks=_MAX_TASKS)
            notify(STOPPING)
            nursery.cancel_scope.cancel()
        unmount = True
    except trio.Cancelled:
        unmount = True
        raise
    finally:
        pyfuse3.close(unmount=unmount)


def _commands(archive: Opened, mountpoint: Path) -> Mapping[str, Command]:
    """Return what other processes may ask of a mount."""
    mounted_s = time.time()

    async def refresh(request: Mapping[str, Any]) -> Mapping[str, Any]:
        await archive.fs.refresh(argument(request, "path"))
        return {}

    async def tell_status(_: Mapping[str, Any]) -> Mapping[str, Any]:
        await trio.lowlevel.checkpoint()
        return status(archive, mountpoint, mounted_s)

    async def tell_metrics(_: Mapping[str, Any]) -> Mapping[str, Any]:
        await trio.lowlevel.checkpoint()
        return {"text": metrics_text(archive)}

    return {"refresh": refresh, "status": tell_status, "metrics": tell_metrics}


def _job(fs: FileSystem) -> LongCommand:
    """Return what does a job on the tree of a mount."""

    async def run(request: Mapping[str, Any], more: More) -> None:
        from attachfs.audit.jobs import parse_job  # noqa: PLC0415 - few mounts are ever asked

        await parse_job(request.get("job")).run(fs, more)

    return run


def _mount(operations: Operations, presentation: Presentation, mountpoint: Path) -> None:
    source = presentation.source.replace(",", "%2C").replace(" ", "%20")  # both part options
    options = {*_OPTIONS, f"fsname={source}", f"subtype={SUBTYPE}"}
    if presentation.allow_other:
        options.add("allow_other")
    try:
        with claimed(mountpoint) as is_alone:  # checked long ago: the server has been asked since
            if not is_alone:
                _log.warning(
                    "another process holds the lock of the mount point; mounting without it",
                    mountpoint=str(mountpoint),
                )
            pyfuse3.init(operations, str(mountpoint), options)
    except RuntimeError as error:
        raise MountFailed(
            f"cannot mount on {mountpoint} ({error}); libfuse's own words are above"
        ) from error


async def _announce(mountpoint: Path, on_ready: Callable[[], None]) -> None:
    """Say that the mount is there once it answers."""
    await trio.to_thread.run_sync(os.statvfs, mountpoint, abandon_on_cancel=True)
    on_ready()
    # Not before: in the background, this belongs into the log and not on a terminal.
    _log.info("mounted", mountpoint=str(mountpoint))


async def _refresh_on_hangup(fs: FileSystem) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what holds once the receiver has gone
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        async for _ in signals:
            _log.info("refreshing", signal=signal.SIGHUP.name)
            await fs.refresh("")  # everywhere: nothing is asked, so that nothing can go wrong


async def _dump_on_request() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # what holds once the receiver has gone
    with trio.open_signal_receiver(signal.SIGUSR1) as signals:
        async for _ in signals:
            for kind, name, depth, at in waiting():
                _log.info(kind, name=name, depth=depth, at=at)


async def _end_on_signal(serving: trio.CancelScope, on_ending: Callable[[int], None]) -> None:
    for ending in (signal.SIGTERM, signal.SIGINT):
        # What holds once the receiver has gone: no second Ctrl-C cuts the taking down short.
        signal.signal(ending, signal.SIG_IGN)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        for ending in (signal.SIGTERM, signal.SIGINT):
            _call_first(ending, on_ending)
        async for number in signals:
            _log.info("ending", signal=signal.Signals(number).name)
            serving.cancel()


def _call_first(number: signal.Signals, before: Callable[[int], None]) -> None:
    """Have the handler of a signal call `before` with its number, until it is replaced."""
    handler = signal.getsignal(number)

    def handle(given: int, frame: FrameType | None) -> None:
        before(given)
        if callable(handler):
            handler(given, frame)

    signal.signal(number, handle)
