"""The life of a mount: assemble, check, mount, serve, take down."""

import gc
import hashlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import pyfuse3
import structlog
import trio

from attachfs.archive.auth import BearerAuth
from attachfs.archive.client import Archive
from attachfs.archive.streams import Streams
from attachfs.archive.transport import MAX_CONNECTIONS, async_client, blocking_client
from attachfs.catalog.catalog import Catalog
from attachfs.catalog.index import Index
from attachfs.content.content import Content, ContentSettings
from attachfs.content.store import Store
from attachfs.errors import MountFailed, SetupError, lone_cause
from attachfs.mount import mountpoint as mountpoints
from attachfs.mount.callers import Callers
from attachfs.mount.control import Command, argument, serve_control
from attachfs.mount.express import use_express_lane
from attachfs.mount.kernel import KernelCaches
from attachfs.mount.limits import descriptor_limit
from attachfs.mount.operations import Operations
from attachfs.mount.preflight import preflight
from attachfs.mount.settings import Settings
from attachfs.tree.filesystem import FileSystem

# Whatever else is asked for, these hold (mount(8)).
_OPTIONS: Final = frozenset({"ro", "nosuid", "nodev", "noexec", "default_permissions"})
# Each request under way holds a task; the kernel has up to 12 reads ahead and one per caller.
_MAX_TASKS: Final = 256
_MIN_TASKS: Final = 4
# Where there are few descriptors, the others are for files, the index and large bodies.
_DESCRIPTORS_PER_CONNECTION: Final = 4
# The kernel repeats a failed read page by page, at once: that is no new question.
_MIN_VERDICT_TTL_S: Final = 1.0

_log = structlog.get_logger(__name__)


async def run(
    settings: Settings,
    mountpoint: Path,
    *,
    on_warning: Callable[[str], None],
    on_ready: Callable[[], None],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Mount at an absolute, checked path and serve until unmounted or told to end.

    SIGTERM and SIGINT end it, as does cancellation: readers get an error, the mount goes, clients
    are closed. Raises `SetupError` before `on_ready` is called, and what that raises; after it,
    only what is a defect of ours, and the mount is then left in place, dead: a backup must not see
    an empty directory.
    """
    auth = None if settings.credentials is None else BearerAuth(settings.credentials)
    http = async_client(
        settings.url,
        auth=auth,
        ca_bundle=settings.ca_bundle,
        timeout_s=settings.timeout_s,
        connections=min(MAX_CONNECTIONS, descriptor_limit() // _DESCRIPTORS_PER_CONNECTION),
    )
    streams = Streams(
        blocking_client(
            settings.url, auth=auth, ca_bundle=settings.ca_bundle, timeout_s=settings.timeout_s
        )
    )
    async with (
        _unwrapped(),
        Archive(http, timeout_s=settings.timeout_s) as archive,
        AsyncExitStack() as stack,
        trio.open_nursery() as background,
    ):
        index_file = _index_file(settings)
        known = index_file.exists()  # since a mount found that all was well
        warning = await preflight(archive, public=settings.public, known=known)
        if warning is not None:
            on_warning(warning)
        store = await trio.to_thread.run_sync(_open_store, settings)
        index = stack.enter_context(closing(Index.open(index_file)))
        index.start(background)
        callers = Callers(timeout_s=settings.timeout_s)
        fs = _file_system(settings, archive, background, streams=streams, store=store, index=index)
        _mount(Operations(fs, callers), settings.url, mountpoint)
        use_express_lane()
        # What is there by now stays: the collector need not look at it again (20 ms each time).
        gc.collect()
        gc.freeze()
        unmount = True

        def announced() -> None:
            nonlocal unmount
            on_ready()
            unmount = False
            task_status.started()

        try:
            async with trio.open_nursery() as nursery:
                serving = trio.CancelScope()
                nursery.start_soon(_end_on_signal, serving)
                nursery.start_soon(_refresh_on_hangup, fs)
                nursery.start_soon(callers.watch)
                await nursery.start(serve_control, mountpoint, _commands(fs))
                nursery.start_soon(_announce, mountpoint, announced)
                with serving:
                    await pyfuse3.main(min_tasks=_MIN_TASKS, max_tasks=_MAX_TASKS)
                nursery.cancel_scope.cancel()
            unmount = True
        except trio.Cancelled:
            unmount = True
            raise
        finally:
            pyfuse3.close(unmount=unmount)
        background.cancel_scope.cancel()
    streams.close()
    _log.info("unmounted", mountpoint=str(mountpoint))


def _open_store(settings: Settings) -> Store | None:
    """Open the disk store; without one, the mount does with memory."""
    store = Store(
        settings.cache_dir / "objects",
        max_bytes=settings.cache_size_bytes,
        min_free_fraction=settings.cache_min_free_fraction,
    )
    try:
        store.prepare()
    except OSError as error:
        _log.warning("the cache directory is of no use, going on in memory", reason=str(error))
        return None
    return store


def _file_system(
    settings: Settings,
    archive: Archive,
    background: trio.Nursery,
    *,
    streams: Streams,
    store: Store | None,
    index: Index,
) -> FileSystem:
    catalog = Catalog(
        archive,
        background,
        index,
        metadata_ttl_s=settings.metadata_ttl_s,
        negative_ttl_s=settings.negative_ttl_s,
        stale_ok_s=settings.stale_ok_s,
        untracked=settings.untracked,
    )
    content = Content(
        archive,
        streams,
        store,
        background,
        ContentSettings(
            policy=settings.scan_policy,
            memory_bytes=settings.memory_cache_bytes,
            verify_first_bytes=settings.verify_first_bytes,
            verdict_ttl_s=max(settings.negative_ttl_s, _MIN_VERDICT_TTL_S),
            timeout_s=settings.timeout_s,
        ),
    )
    return FileSystem(
        catalog,
        content,
        background,
        policy=settings.scan_policy,
        read_ahead_files=settings.read_ahead_files,
        public_assets=settings.public_assets,
        public_only=settings.public,
        kernel=KernelCaches(),
    )


def _index_file(settings: Settings) -> Path:
    """Return where what is known is kept: apart for each server, and for each who asks it."""
    identity = "" if settings.credentials is None else settings.credentials.identity
    digest = hashlib.sha256(f"{settings.url}\0{identity}".encode()).hexdigest()
    return settings.cache_dir / "index" / f"{digest[:32]}.sqlite3"


def _commands(fs: FileSystem) -> Mapping[str, Command]:
    """Return what other processes may ask of a mount."""

    async def refresh(request: Mapping[str, Any]) -> Mapping[str, Any]:
        await fs.refresh(argument(request, "path"))
        return {}

    async def status(_: Mapping[str, Any]) -> Mapping[str, Any]:
        await trio.lowlevel.checkpoint()
        return {"tasks": trio.lowlevel.current_statistics().tasks_living}

    return {"refresh": refresh, "status": status}


def _mount(operations: Operations, url: str, mountpoint: Path) -> None:
    source = url.replace(",", "%2C").replace(" ", "%20")  # both part options
    options = {*_OPTIONS, f"fsname={source}", f"subtype={mountpoints.SUBTYPE}"}
    try:
        with mountpoints.claimed(mountpoint):  # checked long ago: the server has been asked since
            pyfuse3.init(operations, str(mountpoint), options)
    except RuntimeError as error:
        raise MountFailed(
            f"cannot mount on {mountpoint} ({error}); libfuse's own words are above"
        ) from error


@asynccontextmanager
async def _unwrapped() -> AsyncIterator[None]:
    """Raise a user's mistake as it is, not in the group that nurseries make of it."""
    try:
        yield
    except ExceptionGroup as group:
        mistake = lone_cause(group)
        if not isinstance(mistake, SetupError):
            raise
        raise mistake from mistake.__cause__


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


async def _end_on_signal(serving: trio.CancelScope) -> None:
    for ending in (signal.SIGTERM, signal.SIGINT):
        # What holds once the receiver has gone: no second Ctrl-C cuts the taking down short.
        signal.signal(ending, signal.SIG_IGN)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            _log.info("ending", signal=signal.Signals(number).name)
            serving.cancel()
