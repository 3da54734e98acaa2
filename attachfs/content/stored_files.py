"""The files of a disk store as they are found from outside, also while mounts use it."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from attachfs.files import lock

_LOCK_S: Final = 1.0
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_FOLDER_CHARS: Final = 2


class StoredFile(NamedTuple):
    """Hold when a file was last used, in nanoseconds since 1970, its length in bytes, its path."""

    used_ns: int
    size_bytes: int
    path: str  # no Path: there are up to 100,000

    @property
    def digest(self) -> str | None:
        """The SHA-256 that an object is named after; None where it is no object."""
        folder, _, name = self.path.rpartition("/")
        digest = folder[-_FOLDER_CHARS:] + name
        return digest if _DIGEST.fullmatch(digest) else None


def stored_files(objects: Path) -> Iterator[StoredFile]:
    """Yield every file of a directory of objects, in no order; raises `OSError`."""
    with os.scandir(objects) as folders:
        for folder in folders:
            if not folder.is_dir(follow_symlinks=False):
                continue
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as files:
                for file in files:
                    with suppress(FileNotFoundError):
                        status = file.stat(follow_symlinks=False)
                        if stat.S_ISDIR(status.st_mode):  # nothing of ours
                            continue
                        yield StoredFile(status.st_mtime_ns, status.st_size, file.path)


def take_lock(path: Path, descriptor: int) -> bool:
    """Lock a draft, or directory, that was just made; tell whether it is still there.

    Somebody who looks for orphans may have taken it for one meanwhile, and be stopped before he
    removes it. Raises `OSError`.
    """
    try:
        if not lock(descriptor, limit_s=_LOCK_S):
            return False
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


@contextmanager
def orphaned(path: Path) -> Iterator[bool]:
    """Tell whether nobody holds the lock of a draft, or directory: its process has ended.

    Nobody else finds so while the block runs. Raises `OSError` where it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        try:
            is_orphan = lock(descriptor, limit_s=0)
        except OSError:
            is_orphan = False
        yield is_orphan
    finally:
        os.close(descriptor)
