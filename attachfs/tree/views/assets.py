"""The view `assets/`: everything under its UUIDs."""

from attachfs.archive.identities import Holder, is_uuid
from attachfs.errors import NotFound
from attachfs.tree.holders import HolderDirectory
from attachfs.tree.listed import ListedEntries
from attachfs.tree.nodes import Entries, Entry, Node, ViewDirectory
from attachfs.tree.places import Place


class AssetsDirectory(ViewDirectory):
    """List all assets; any other that the token may see is there by name.

    As-of a time, today's are listed: the archive's list knows no time. Who was not there shows on
    lookup.
    """

    __slots__ = ()

    async def find(self, name: str) -> Node:
        """Return the directory of the asset with that UUID."""
        if not is_uuid(name):
            raise NotFound(f"{name!r} is no asset's UUID")
        return self.asset(name)

    async def entries(self) -> Entries:
        """Return the assets; raises `Denied` where the token may not list them."""
        return ListedEntries(await self.estate.catalog.assets(), self._make, self._fetch)

    def entries_left_s(self) -> float:
        """Return for how many seconds the kernel may believe the names of assets."""
        return self.estate.catalog.listing_left_s(None)

    def asset(self, uuid: str) -> HolderDirectory:
        """Return the directory of an asset in this view."""
        holder = Holder(uuid, public=self.place.view.public)
        return HolderDirectory(self.estate, Place(self.place.view, holder))

    def name_of(self, uuid: str) -> str | None:
        """Return the name of an asset here, None where something must be asked first."""
        return uuid

    def _make(self, uuid: str) -> Entry | None:
        name = self.name_of(uuid)
        return None if name is None else Entry(name, self.asset(uuid))

    async def _fetch(self, uuid: str) -> Entry:
        return Entry(uuid, self.asset(uuid))
