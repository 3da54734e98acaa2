"""Look at a disk store from outside, also while mounts use it: nothing is changed."""

import fcntl
import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from attachfs.content.stored import PIECE_BYTES, Damaged, StoredBody, body_size

_SAMPLE: Final = 64
_SAMPLE_BYTES: Final = 64 * PIECE_BYTES
_DIGEST: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Inspection:
    """Hold what a store is like: its objects, those verified, those damaged, drafts of nobody."""

    objects: int
    used_bytes: int
    verified: int
    damaged: tuple[str, ...]
    orphans: int


def inspect(root: Path, *, most_s: float) -> Inspection:
    """Count a store's objects and verify a sample of them, for `most_s` seconds about.

    Raises `OSError` where the directory cannot be read.
    """
    deadline_s = time.monotonic() + most_s
    objects = list(_objects(root / "sha256"))
    verified, damaged = 0, []
    left_bytes = _SAMPLE_BYTES
    for digest, _, path in random.sample(objects, min(_SAMPLE, len(objects))):
        if left_bytes <= 0 or time.monotonic() > deadline_s:
            break
        try:
            left_bytes -= _verify(path, digest, left_bytes, deadline_s)
        except FileNotFoundError:  # a mount has evicted it meanwhile
            continue
        except (Damaged, OSError):  # a disk that cannot read it has damaged it, too
            damaged.append(digest)
        verified += 1
    return Inspection(
        objects=len(objects),
        used_bytes=sum(size_bytes for _, size_bytes, _ in objects),
        verified=verified,
        damaged=tuple(damaged),
        orphans=sum(_is_orphan(draft) for draft in _entries(root / "drafts")),
    )


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []


def _objects(directory: Path) -> Iterator[tuple[str, int, Path]]:
    """Yield digest, size of the file in bytes and path of every object."""
    for folder in _entries(directory):
        with suppress(NotADirectoryError):
            for path in _entries(folder):
                digest = folder.name + path.name
                with suppress(FileNotFoundError):
                    if _DIGEST.fullmatch(digest):
                        yield digest, path.lstat().st_size, path


def _verify(path: Path, digest: str, most_bytes: int, deadline_s: float) -> int:
    """Verify an object from its start on, as far as it may be; return how many bytes that was."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    size_bytes = body_size(os.fstat(descriptor).st_size)
    body = StoredBody(descriptor, digest, size_bytes)
    end = min(size_bytes, most_bytes)
    at = min(PIECE_BYTES, end)
    body.verify(at)
    while at < end and time.monotonic() < deadline_s:
        at = min(at + PIECE_BYTES, end)
        body.verify(at)
    return at


def _is_orphan(draft: Path) -> bool:
    """Tell whether nobody holds a draft's lock: its process has ended."""
    try:
        descriptor = os.open(draft, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
