"""Open an archive: from settings to a file system that can be asked."""

import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import trio

from attachfs.access.limits import descriptor_limit
from attachfs.access.preflight import preflight
from attachfs.access.settings import Knowledge, Settings
from attachfs.archive.client import Archive, open_archive
from attachfs.archive.http.pool import MAX_CONNECTIONS
from attachfs.catalog.catalog import Catalog
from attachfs.catalog.index import Index
from attachfs.catalog.index_files import Owner, sign
from attachfs.content.content import Content
from attachfs.content.settings import ContentSettings
from attachfs.content.shared import SharedStore
from attachfs.content.shared_folder import SharedFolder
from attachfs.content.store import Store
from attachfs.errors import SetupError, first_cause
from attachfs.tree.changes import Kernel
from attachfs.tree.filesystem import FileSystem

# Where there are few descriptors, the others are for files, the index and large bodies.
_DESCRIPTORS_PER_CONNECTION: Final = 4
# The kernel repeats a failed read page by page, at once: that is no new question.
_MIN_VERDICT_TTL_S: Final = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Opened:
    """Hold an open archive: its file system, and what that is made of.

    `store` is None where there is no use of the cache directory, `shared` where none was given.
    """

    settings: Settings
    archive: Archive
    catalog: Catalog
    content: Content
    store: Store | None
    shared: SharedStore | None
    fs: FileSystem


@asynccontextmanager
async def opened(
    settings: Settings, *, on_warning: Callable[[str], None], kernel: Kernel | None = None
) -> AsyncIterator[Opened]:
    """Offer the file system of an archive that answers; all that works for it ends with the block.

    By `settings.knowledge`, it is one that believes nothing older, or one that asks nothing, as
    `FileSystem.anew` and `FileSystem.offline` have it. `kernel` is told what to forget. Raises
    `SetupError` where the archive cannot be used, and what the block raises; a mistake of the
    user's is raised as it is, not in a group.
    """
    archive = open_archive(
        settings.url,
        settings.credentials,
        ca_bundle=settings.ca_bundle,
        timeout_s=settings.timeout_s,
        max_concurrent=settings.max_requests,
        connections=min(MAX_CONNECTIONS, descriptor_limit() // _DESCRIPTORS_PER_CONNECTION),
    )
    if settings.knowledge is Knowledge.OFFLINE:
        archive = archive.offline()
    async with (
        _unwrapped(),
        AsyncExitStack() as stack,
        trio.open_nursery() as background,
    ):
        stack.enter_context(archive)
        file = index_file(settings)
        # Since somebody found that all was well; where that is not believed, it is of no use.
        known = settings.knowledge is Knowledge.KEPT and file.exists()
        if not archive.is_offline:
            warning = await preflight(archive, public=settings.public, known=known)
            if warning is not None:
                on_warning(warning)
        store = await trio.to_thread.run_sync(_open_store, settings)
        index = stack.enter_context(closing(Index.open(file)))
        index.start(background)
        sign(index, Owner(settings.url, _identity(settings)), time.time())
        catalog = Catalog(
            archive,
            background,
            index,
            metadata_ttl_s=settings.metadata_ttl_s,
            negative_ttl_s=settings.negative_ttl_s,
            stale_ok_s=settings.stale_ok_s,
            untracked=settings.untracked,
        )
        shared = None
        if settings.shared_store is not None:
            shared = SharedStore(SharedFolder.at(settings.shared_store), background)
        content = Content(archive, store, background, _content_settings(settings), shared=shared)
        fs = FileSystem(
            catalog,
            content,
            background,
            policy=settings.scan_policy,
            read_ahead_files=settings.read_ahead_files,
            public_assets=settings.public_assets,
            public_only=settings.public,
            kernel=kernel,
        )
        async with _seen(fs, settings.knowledge) as seen:
            yield Opened(settings, archive, catalog, content, store, shared, seen)
        background.cancel_scope.cancel()


@asynccontextmanager
async def _seen(fs: FileSystem, knowledge: Knowledge) -> AsyncIterator[FileSystem]:
    match knowledge:
        case Knowledge.KEPT:
            yield fs
        case Knowledge.ANEW:
            async with fs.anew() as seen:
                yield seen
        case Knowledge.OFFLINE:
            async with fs.offline() as seen:
                yield seen


def index_file(settings: Settings) -> Path:
    """Return where what is known is kept: apart for each server, and for each who asks it."""
    digest = hashlib.sha256(f"{settings.url}\0{_identity(settings)}".encode()).hexdigest()
    return settings.cache_dir / "index" / f"{digest[:32]}.sqlite3"


def _identity(settings: Settings) -> str:
    return "" if settings.credentials is None else settings.credentials.identity


def _content_settings(settings: Settings) -> ContentSettings:
    return ContentSettings(
        policy=settings.scan_policy,
        memory_bytes=settings.memory_cache_bytes,
        verify_first_bytes=settings.verify_first_bytes,
        verdict_ttl_s=max(settings.negative_ttl_s, _MIN_VERDICT_TTL_S),
        timeout_s=settings.timeout_s,
    )


def _open_store(settings: Settings) -> Store | None:
    """Open the disk store; without one, memory has to do."""
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


@asynccontextmanager
async def _unwrapped() -> AsyncIterator[None]:
    """Raise a user's mistake as it is, not in the group that nurseries make of it."""
    try:
        yield
    except ExceptionGroup as group:
        mistake = first_cause(group)
        if not isinstance(mistake, SetupError):
            raise
        raise mistake from mistake.__cause__
