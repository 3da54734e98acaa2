"""The view `publicassets/`: public assets, asked for without a token."""

from attachfs.tree.nodes import Entries, Entry, FixedEntries
from attachfs.tree.views.assets import AssetsDirectory


class PublicAssetsDirectory(AssetsDirectory):
    """List the public assets that were asked for: the archive has no list of them."""

    __slots__ = ()

    def entries_left_s(self) -> float:
        """Return the whole lifetime of names."""
        return self.estate.ttl_s

    async def entries(self) -> Entries:
        """Return those named at the start, and those that were looked up since."""
        return FixedEntries([Entry(uuid, self.asset(uuid)) for uuid in self.estate.public_assets])
