"""Names in the tree that are always the same."""

from typing import Final

ASSETS: Final = "assets"
BY_NAME: Final = "by-name"
PUBLIC_ASSETS: Final = "publicassets"
AS_OF: Final = "as-of"
EVENTS: Final = "events"
ASSET_RECORD: Final = "asset.json"
EVENT_RECORD: Final = "event.json"
SUMS: Final = "SHA256SUMS"
SIDECAR_SUFFIX: Final = ".info.json"

VIEWS: Final = (ASSETS, BY_NAME, PUBLIC_ASSETS, AS_OF)
"""What may be in the root."""
