"""The view `assets/`: everything under its UUIDs."""

from attachfs.archive.identities import Holder, is_uuid
from attachfs.errors import Denied, NotFound, Unauthenticated
from attachfs.tree.holders import HolderDirectory
from attachfs.tree.listed import ChosenEntries, ListedEntries
from attachfs.tree.nodes import Entries, Entry, Node, ViewDirectory
from attachfs.tree.places import Place


class AssetsDirectory(ViewDirectory):
    """List all assets; any other that the token may see is there by name.

    The archive's list knows no time. As-of a time, each asset of today's list is asked for as of
    then, and those that did not exist are left out.
    """

    __slots__ = ()

    def find_now(self, name: str) -> Node | None:
        """Return the directory of the asset with that UUID."""
        return self.asset(name) if is_uuid(name) else None

    async def find(self, name: str) -> Node:
        """Return the same; raises `NotFound`."""
        found = self.find_now(name)
        if found is None:
            raise NotFound(f"{name!r} is no asset's UUID")
        return found

    async def entries(self) -> Entries:
        """Return the assets; raises `Denied` where the token may not list them."""
        listing = await self.estate.catalog.assets()
        if self.place.view.time is not None:
            return ChosenEntries(listing, self._choose)
        return ListedEntries(listing, self._make, self._fetch)

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

    async def _choose(self, uuid: str) -> Entry | None:
        """Return an asset that existed then; one that may not be seen is there, and refused."""
        asset = self.asset(uuid)
        try:
            await asset.place.record(self.estate.catalog)
        except NotFound:
            return None
        except Unauthenticated:
            raise
        except Denied:
            pass
        return Entry(uuid, asset)

    async def _fetch(self, uuid: str) -> Entry:
        return Entry(uuid, self.asset(uuid))
