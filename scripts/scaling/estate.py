"""How many assets, events and attachments there are, and what is in each."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from attachfs.demo.archive import Archive
from tests.support.archives import declared, uuid_in

ATTACHMENTS_AN_ASSET: Final = 10
# So many come with the asset, and are in the event that made it as well; the others are in an
# event of their own.
WITH_THE_ASSET: Final = 5
EVENTS_AN_ASSET: Final = 2
_MIN_BYTES: Final = 64
_SPAN_BYTES: Final = 961  # to 1 KiB
# A transaction of so many assets: each of its own takes three times as long.
_BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Size:
    """The size of an estate, counted in assets."""

    assets: int

    @property
    def attachments(self) -> int:
        """How many bodies, no two of them equal."""
        return self.assets * ATTACHMENTS_AN_ASSET

    @property
    def places(self) -> int:
        """How many files that makes in the tree."""
        return self.attachments + self.assets * WITH_THE_ASSET

    @property
    def events(self) -> int:
        """How many events."""
        return self.assets * EVENTS_AN_ASSET


def of_attachments(attachments: int) -> Size:
    """Return the estate that has at least that many attachments."""
    return Size(-(-attachments // ATTACHMENTS_AN_ASSET))


def content(number: int) -> bytes:
    """Return the bytes of an attachment: 64 B to 1 KiB, different from every other's."""
    seed = sha256(str(number).encode()).digest()
    size_bytes = _MIN_BYTES + number * 389 % _SPAN_BYTES
    return (seed * (size_bytes // len(seed) + 1))[:size_bytes]


def fill(size: Size, archive: Archive) -> str:
    """Make the estate; return the UUID of one of its assets."""
    asset = ""
    for begin in range(0, size.assets, _BATCH):
        with archive.storage.transaction():
            for number in range(begin, min(begin + _BATCH, size.assets)):
                asset = _add(archive, number)
    return asset


def _add(archive: Archive, number: int) -> str:
    """Make an asset with half of its attachments, and an event with the others; return its UUID."""
    first = number * ATTACHMENTS_AN_ASSET
    blobs = [archive.create_blob(content(first + offset)) for offset in range(ATTACHMENTS_AN_ASSET)]
    attributes = [(f"proof {place}", declared(blob)) for place, blob in enumerate(blobs)]
    named = {"arc_display_name": f"Asset {number}", "arc_display_type": "Scale"}
    own, later = attributes[:WITH_THE_ASSET], attributes[WITH_THE_ASSET:]
    asset = uuid_in(archive.create_asset({"attributes": {**named, **dict(own)}}))
    event = {"operation": "Record", "behaviour": "RecordEvidence", "event_attributes": dict(later)}
    archive.create_event(asset, event)
    return asset
