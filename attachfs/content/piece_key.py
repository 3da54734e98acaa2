"""The key of the digests of pieces: beside the objects of a store, one for all who share it."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from attachfs.content.sinks import write_all
from attachfs.files import open_regular

KEY_BYTES: Final = 32
_NAME: Final = "key"
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def read_key(root: Path) -> bytes:
    """Return the key of the store at `root`; raises `OSError` where there is none."""
    descriptor = open_regular(root / _NAME)
    try:
        key = os.pread(descriptor, KEY_BYTES + 1, 0)
    finally:
        os.close(descriptor)
    if len(key) != KEY_BYTES:
        raise OSError(f"{root / _NAME} is not a key")
    return key


def make_key(root: Path) -> bytes:
    """Return the key of the store at `root`, made where there is none; blocks, raises nothing.

    Where it cannot be kept, this process has one of its own: what it stores is a miss to others.
    """
    path, key = root / _NAME, secrets.token_bytes(KEY_BYTES)
    draft = root / f"{_NAME}-{secrets.token_hex(8)}"
    for _ in range(2):  # once more where there is something else in its place
        with suppress(OSError):
            return read_key(root)
        try:
            descriptor = os.open(draft, _FLAGS, 0o600)
            try:
                write_all(descriptor, key, 0)
            finally:
                os.close(descriptor)
            with suppress(FileExistsError):  # another process was faster
                path.hardlink_to(draft)
                return key
            with suppress(OSError):
                return read_key(root)
            path.unlink()
        except OSError:
            break
        finally:
            with suppress(OSError):
                draft.unlink()
    return key
