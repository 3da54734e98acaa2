"""Attachments of a test's own in an archive of the same process."""

from dataclasses import dataclass
from itertools import count
from random import Random

from attachfs.demo.launch import RunningArchive
from tests.support.archives import declared, uuid_in

_serial = count()


@dataclass(frozen=True)
class Evidence:
    """An asset with attachments, by their UUIDs, and what their bytes are."""

    asset: str
    attachments: tuple[str, ...]
    contents: tuple[bytes, ...]

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
        return self.contents[0]


def attach(running: RunningArchive, *sizes_bytes: int) -> Evidence:
    """Attach bytes that nobody saw before, of these sizes, to a new asset."""
    demo = running.archive
    contents = tuple(Random(next(_serial)).randbytes(size) for size in sizes_bytes)  # noqa: S311 - no secret
    blobs = [demo.create_blob(content) for content in contents]
    attributes = {f"proof {number}": declared(blob) for number, blob in enumerate(blobs)}
    asset = uuid_in(demo.create_asset({"attributes": attributes}))
    return Evidence(asset, tuple(map(uuid_in, blobs)), contents)


def record_event(running: RunningArchive, evidence: Evidence) -> str:
    """Record an event on an asset; return its UUID."""
    body = {
        "operation": "Record",
        "behaviour": "RecordEvidence",
        "event_attributes": {"arc_display_type": "Check"},
        "asset_attributes": {},
    }
    return uuid_in(running.archive.create_event(evidence.asset, body))
