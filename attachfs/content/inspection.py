"""Look at a disk store from outside, also while mounts use it: nothing is changed."""

import os
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from attachfs.content.piece_key import KEY_BYTES, read_key
from attachfs.content.stored import PIECE_BYTES, Damaged, StoredBody, body_size
from attachfs.content.stored_files import StoredFile, orphaned, stored_files
from attachfs.files import open_regular

_SAMPLE: Final = 64
_SAMPLE_BYTES: Final = 64 * PIECE_BYTES


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
    objects = objects_of(root)
    verified, damaged = 0, []
    left_bytes = _SAMPLE_BYTES
    for digest, file in random.sample(list(objects.items()), min(_SAMPLE, len(objects))):
        if left_bytes <= 0 or time.monotonic() > deadline_s:
            break
        try:
            left_bytes -= _verify(Path(file.path), digest, left_bytes, deadline_s)
        except FileNotFoundError:  # a mount has evicted it meanwhile
            continue
        except (Damaged, OSError):  # a disk that cannot read it has damaged it, too
            damaged.append(digest)
        verified += 1
    return Inspection(
        objects=len(objects),
        used_bytes=sum(file.size_bytes for file in objects.values()),
        verified=verified,
        damaged=tuple(damaged),
        orphans=sum(_is_orphan(draft) for draft in drafts_of(root)),
    )


def objects_of(root: Path) -> dict[str, StoredFile]:
    """Return the objects of a store by their SHA-256; raises `OSError`."""
    try:
        return {file.digest: file for file in stored_files(root / "sha256") if file.digest}
    except FileNotFoundError:
        return {}


def drafts_of(root: Path) -> list[Path]:
    """Return the drafts of a store; raises `OSError`."""
    try:
        return list((root / "drafts").iterdir())
    except FileNotFoundError:
        return []


def _verify(path: Path, digest: str, most_bytes: int, deadline_s: float) -> int:
    """Verify an object from its start on, as far as it may be; return how many bytes that was."""
    descriptor = open_regular(path)
    size_bytes = body_size(os.fstat(descriptor).st_size)
    key = _key(path.parents[2])
    body = StoredBody(descriptor, digest, size_bytes, key)
    end = min(size_bytes, most_bytes)
    at = min(PIECE_BYTES, end)
    body.verify(0, at)
    while at < end and time.monotonic() < deadline_s:
        at = min(at + PIECE_BYTES, end)
        body.verify(0, at)
    return at


def _key(root: Path) -> bytes:
    """Return the key of a store; without it, large objects are of no use, and small ones are."""
    try:
        return read_key(root)
    except OSError:
        return bytes(KEY_BYTES)


def _is_orphan(draft: Path) -> bool:
    with suppress(OSError), orphaned(draft) as is_orphan:
        return is_orphan
    return False
