"""The cache directory: made, and tried, before anything relies on it."""

import os
import stat
import tempfile
from pathlib import Path
from shlex import quote
from typing import Final

from attachfs.errors import NO_ROOM, CacheUnusable

_TRIAL_BYTES: Final = 4096
# The directories that attachfs makes in a cache directory, the first of each path first.
_DIRECTORIES: Final = ("objects", "objects/sha256", "objects/drafts", "index")
_ROOT_UID: Final = 0


def make_cache(directory: Path) -> None:
    """Make the cache directory; a full or read-only disk is not an error.

    Raises `CacheUnusable` for one that belongs to another user or cannot be written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_own(directory)
        try_cache(directory)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise unusable(directory, error) from error
        # It goes on in memory and says so.


def require_own(directory: Path) -> None:
    """Check who owns a cache directory and the directories in it, as far as they exist.

    Another user could put links or objects into a directory of theirs at any time. The cache
    directory itself may be root's, such as the volume of a container; attachfs makes the ones in
    it. Raises `CacheUnusable` for what belongs to another user and for a link or a file in place
    of a directory, and `OSError`.
    """
    try:
        status = directory.stat()
    except FileNotFoundError:
        return
    own_uid = os.geteuid()
    if status.st_uid not in (own_uid, _ROOT_UID):
        raise _of_another_user(directory, status.st_uid)
    _refuse_writable(directory, status)
    for name in _DIRECTORIES:
        path = directory / name
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if status.st_uid != own_uid:
            raise _of_another_user(path, status.st_uid)
        if not stat.S_ISDIR(status.st_mode):
            raise CacheUnusable(
                f"{path} is not a directory that attachfs made; run rm {quote(str(path))}"
            )
        _refuse_writable(path, status)


def _refuse_writable(path: Path, status: os.stat_result) -> None:
    """Raise where others may put something else in place of what is in a directory.

    They may not where it is sticky, as /tmp is; the group of this process may be its user's own.
    """
    others = stat.S_IWOTH | (0 if status.st_gid == os.getegid() else stat.S_IWGRP)
    if status.st_mode & others and not status.st_mode & stat.S_ISVTX:
        raise CacheUnusable(
            f"other users can change what is in {path}: mode {stat.S_IMODE(status.st_mode):04o}; "
            f"run: chmod go-w {quote(str(path))}"
        )


def _of_another_user(path: Path, uid: int) -> CacheUnusable:
    return CacheUnusable(
        f"{path} belongs to the user with id {uid}, who could change what is cached; "
        "give one of yours with --cache-dir"
    )


def try_cache(directory: Path) -> None:
    """Write a little, which nobody ever sees; raises `OSError`."""
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        file.write(bytes(_TRIAL_BYTES))


def unusable(directory: Path, error: OSError) -> CacheUnusable:
    """Return what to say of a directory that cannot be written."""
    return CacheUnusable(
        f"cannot write to the cache directory {directory}: {error.strerror}; "
        "give one of yours with --cache-dir"
    )
