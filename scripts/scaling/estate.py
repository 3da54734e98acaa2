"""How many assets, events and attachments there are, and what is in each."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

ATTACHMENTS_AN_ASSET: Final = 10
# So many come with the asset, and are in the event that made it as well; the others are in an
# event of their own.
WITH_THE_ASSET: Final = 5
EVENTS_AN_ASSET: Final = 2
_MIN_BYTES: Final = 64
_SPAN_BYTES: Final = 961  # to 1 KiB


@dataclass(frozen=True, slots=True)
class Size:
    """Count an estate by its assets."""

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
    """Return the estate that has at least so many attachments."""
    return Size(-(-attachments // ATTACHMENTS_AN_ASSET))


def content(number: int) -> bytes:
    """Return the bytes of an attachment: 64 B to 1 KiB, of no other."""
    seed = sha256(str(number).encode()).digest()
    size_bytes = _MIN_BYTES + number * 389 % _SPAN_BYTES
    return (seed * (size_bytes // len(seed) + 1))[:size_bytes]
