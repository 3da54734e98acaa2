"""Names in the tree, and which of them can exist at all."""

from typing import Final

from attachfs.archive.identities import is_uuid

ASSETS: Final = "assets"
BY_NAME: Final = "by-name"
PUBLIC_ASSETS: Final = "publicassets"
AS_OF: Final = "as-of"
EVENTS: Final = "events"
ASSET_RECORD: Final = "asset.json"
EVENT_RECORD: Final = "event.json"
SUMS: Final = "SHA256SUMS"
SIDECAR_SUFFIX: Final = ".info.json"


def attachment_of_sidecar(name: str) -> str | None:
    """Return the attachment's UUID in the name of a sidecar, None for any other name."""
    stem = name.removesuffix(SIDECAR_SUFFIX)
    return stem if stem != name and is_uuid(stem) else None
