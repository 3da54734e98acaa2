"""Attachments of a test's own in an archive of the same process."""

import hashlib
import os
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random

from attachfs.demo.launch import RunningArchive
from tests.support.archives import declared, uuid_in

_serial = count()


@dataclass(frozen=True)
class Evidence:
    """An asset with attachments: their UUIDs, and the seeds, sizes and digests of their bytes.

    The bytes are made again whenever a test asks for them: many are larger than all else in memory.
    """

    asset: str
    attachments: tuple[str, ...]
    seeds: tuple[int, ...]
    sizes_bytes: tuple[int, ...]
    sha256s: tuple[str, ...]

    @property
    def contents(self) -> tuple[bytes, ...]:
        """The bytes of all attachments."""
        return tuple(map(_bytes_of, self.seeds, self.sizes_bytes))

    @property
    def directory(self) -> str:
        """Where it is in a mount."""
        return f"assets/{self.asset}"

    @property
    def path(self) -> str:
        """Where its first attachment is in a mount."""
        return f"{self.directory}/{self.attachments[0]}"

    @property
    def content(self) -> bytes:
        """The bytes of its first attachment."""
        return _bytes_of(self.seeds[0], self.sizes_bytes[0])


def attach(running: RunningArchive, *sizes_bytes: int) -> Evidence:
    """Attach bytes that nobody saw before, of these sizes, to a new asset."""
    demo = running.archive
    seeds = tuple(next(_serial) for _ in sizes_bytes)
    blobs, sha256s = [], []
    for seed, size_bytes in zip(seeds, sizes_bytes, strict=True):
        content = _bytes_of(seed, size_bytes)
        blobs.append(demo.create_blob(content))
        sha256s.append(hashlib.sha256(content).hexdigest())
    attributes = {f"proof {number}": declared(blob) for number, blob in enumerate(blobs)}
    asset = uuid_in(demo.create_asset({"attributes": attributes}))
    uuids = tuple(map(uuid_in, blobs))
    return Evidence(asset, uuids, seeds, sizes_bytes, tuple(sha256s))


def attach_twins(running: RunningArchive, assets: int) -> tuple[Evidence, Evidence]:
    """Attach something to new assets, the same bytes to the first and the last.

    They are marked SCANNED_BAD on the first, which is returned first, and is listed last.
    """
    bad = attach(running, 1000)
    for _ in range(assets - 2):
        attach(running, 1000)
    blob = running.archive.create_blob(bad.content)
    asset = uuid_in(running.archive.create_asset({"attributes": {"proof": declared(blob)}}))
    twin = Evidence(asset, (uuid_in(blob),), bad.seeds, bad.sizes_bytes, bad.sha256s)
    running.archive.edit_blob(
        bad.attachments[0], scanned_status="SCANNED_BAD", scanned_bad_reason="worm"
    )
    return bad, twin


def wrong_in(root: Path, *pieces: Evidence, past_pages: bool = False) -> list[str]:
    """Read evidence to its end; return which attachments fail or differ, and why.

    With `past_pages`, the kernel drops the pages that it has of a file before the file is read.
    """
    found: list[str] = []
    for piece in pieces:
        for attachment, sha256 in zip(piece.attachments, piece.sha256s, strict=True):
            try:
                with (root / piece.directory / attachment).open("rb", buffering=0) as file:
                    if past_pages:
                        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                        found.append(f"{attachment}: other bytes")
            except OSError as error:
                found.append(f"{attachment}: {error}")
    return found


def _bytes_of(seed: int, size_bytes: int) -> bytes:
    return Random(seed).randbytes(size_bytes)  # noqa: S311 - no secret


def record_event(running: RunningArchive, evidence: Evidence) -> str:
    """Record an event on an asset; return its UUID."""
    body = {
        "operation": "Record",
        "behaviour": "RecordEvidence",
        "event_attributes": {"arc_display_type": "Check"},
        "asset_attributes": {},
    }
    return uuid_in(running.archive.create_event(evidence.asset, body))
