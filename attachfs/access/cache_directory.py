"""The cache directory: made, and tried, before anything relies on it."""

import tempfile
from pathlib import Path
from typing import Final

from attachfs.errors import NO_ROOM, CacheUnusable

_TRIAL_BYTES: Final = 4096


def make_cache(directory: Path) -> None:
    """Make the cache directory; a full or read-only disk is no mistake.

    Raises `CacheUnusable` for one that is not ours to write.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try_cache(directory)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise unusable(directory, error) from error
        # It goes on in memory and says so.


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
