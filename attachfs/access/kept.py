"""What a cache directory keeps: seen, and removed, also while mounts use it."""

import errno
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from attachfs.access.cache_directory import require_own, unusable
from attachfs.access.settings import Settings
from attachfs.catalog.index_files import IndexFile, index_files, remove_entries
from attachfs.content.inspection import drafts_of, objects_of
from attachfs.content.store import Store
from attachfs.content.stored_files import StoredFile, orphaned, take_lock
from attachfs.errors import CacheUnusable
from attachfs.wording import NS_PER_S

_SCRATCH: Final = "refetch-"
# So much is kept of what is fetched again: more than the thumbnails of a report want.
_REFETCH_BYTES: Final = 1024 * 1024 * 1024


class Kept(NamedTuple):
    """Hold the objects of a cache by their SHA-256, its drafts, indexes, and what crashes left."""

    objects: Mapping[str, StoredFile]
    drafts: int
    indexes: list[IndexFile]
    leftovers: list[Path]


class Removed(NamedTuple):
    """Count what was removed: files and their bytes, entries of indexes."""

    files: int
    size_bytes: int
    entries: int


def kept(cache_dir: Path) -> Kept:
    """Return what a cache directory keeps; raises `CacheUnusable`."""
    try:
        if not _is_there(cache_dir):
            return Kept({}, 0, [], [])
        return Kept(
            objects_of(cache_dir / "objects"),
            len(drafts_of(cache_dir / "objects")),
            index_files(cache_dir / "index"),
            list(_abandoned(cache_dir)),
        )
    except OSError as error:
        raise unusable(cache_dir, error) from error


def remove(cache_dir: Path, before_s: float) -> Removed:
    """Remove what was last used before a time, in seconds since 1970, and what crashes left.

    Nothing needs to be unmounted: what is removed is a miss. Raises `CacheUnusable`.
    """
    try:
        if not _is_there(cache_dir):
            return Removed(0, 0, 0)
        files, size_bytes = _remove_files(cache_dir / "objects", int(before_s * NS_PER_S))
        for directory in _abandoned(cache_dir):
            shutil.rmtree(directory, ignore_errors=True)
        entries = sum(
            remove_entries(index.path, before_s) for index in index_files(cache_dir / "index")
        )
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise CacheUnusable(
                f"another process holds the lock of the index in {cache_dir}, and may be stopped; "
                "let it go on, or end it (fuser shows which it is), and try again"
            ) from error
        raise unusable(cache_dir, error) from error
    except sqlite3.Error as error:
        raise CacheUnusable(
            f"the index in {cache_dir} cannot be emptied: {error}; try again, or unmount first"
        ) from error
    return Removed(files, size_bytes, entries)


@contextmanager
def scratch(cache_dir: Path) -> Iterator[Path]:
    """Offer an empty cache directory beside what is kept, which goes with the block.

    Raises `CacheUnusable`.
    """
    with ExitStack() as stack:
        try:
            directory = _new_directory(cache_dir, stack)
        except OSError as error:
            raise unusable(cache_dir, error) from error
        yield directory


@contextmanager
def anew(settings: Settings) -> Iterator[Settings]:
    """Offer settings by which nothing is known yet, and nothing is left after the block.

    Raises `CacheUnusable`.
    """
    with scratch(settings.cache_dir) as directory:
        yield replace(
            settings,
            cache_dir=directory,
            shared_store=None,
            cache_size_bytes=min(settings.cache_size_bytes, _REFETCH_BYTES),
        )


def _new_directory(cache_dir: Path, stack: ExitStack) -> Path:
    """Return an empty directory, locked until the stack is closed: it goes with that."""
    while True:
        made = tempfile.TemporaryDirectory(
            prefix=_SCRATCH, dir=cache_dir, ignore_cleanup_errors=True
        )
        directory = Path(stack.enter_context(made))
        with suppress(FileNotFoundError):  # somebody took it for abandoned
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            if take_lock(directory, descriptor):
                return directory


def _is_there(cache_dir: Path) -> bool:
    """Return whether a cache directory exists.

    Raises `CacheUnusable` for another user's, and `OSError` for what cannot be looked into.
    """
    try:
        os.close(os.open(cache_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except FileNotFoundError:
        return False
    require_own(cache_dir)
    return True


def _remove_files(root: Path, before_ns: int) -> tuple[int, int]:
    if not (root / "sha256").is_dir():
        return 0, 0
    return Store(root, max_bytes=0, min_free_fraction=0).remove(before_ns)


def _abandoned(cache_dir: Path) -> Iterator[Path]:
    for directory in cache_dir.glob(f"{_SCRATCH}*"):
        with suppress(OSError), orphaned(directory) as is_orphan:
            # Not anything else: rmtree would open a FIFO.
            if is_orphan and stat.S_ISDIR(directory.lstat().st_mode):
                yield directory
