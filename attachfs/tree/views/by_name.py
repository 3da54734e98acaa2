"""The view `by-name/`: everything under the names that people gave it."""

from contextlib import suppress

from attachfs.archive.identities import Holder
from attachfs.errors import Denied, NotFound
from attachfs.tree.naming import directory_name, short_id_of
from attachfs.tree.nodes import Entry, Node
from attachfs.tree.views.assets import AssetsDirectory


class NamedAssetsDirectory(AssetsDirectory):
    """List all assets by their display names."""

    __slots__ = ()

    def find_now(self, _name: str) -> None:
        """Return None: the listing knows."""

    async def find(self, name: str) -> Node:
        """Return the directory of the asset of that name; reads the listing until it is met."""
        digits = short_id_of(name)
        if digits is None:
            raise NotFound(f"{name!r} has no short id at its end")
        uuid = await self._known(digits, name)
        if uuid is None:
            listing = await self.estate.catalog.assets()
            while uuid is None and not listing.complete:
                await listing.more()
                uuid = await self._known(digits, name)
            uuid = uuid or await self._known(digits, name)
        if uuid is None:
            raise NotFound(f"no asset is called {name!r}")
        return self.asset(uuid)

    def name_of(self, uuid: str) -> str | None:
        """Return the name of an asset here, None where its record is not known."""
        record = self.estate.catalog.known_record(Holder(uuid))
        return None if record is None else self.asset(uuid).place.name(record)

    async def _fetch(self, uuid: str) -> Entry:
        label = ""
        # One that has gone since it was listed is still in the listing; it is not found by name.
        with suppress(NotFound, Denied):
            label = (await self.estate.catalog.record(Holder(uuid))).label
        return Entry(directory_name(label, uuid), self.asset(uuid))

    async def _known(self, digits: str, name: str) -> str | None:
        """Return the asset of that name among those of which a record is known."""
        for uuid in self.estate.catalog.namesakes(digits):
            with suppress(NotFound, Denied):
                record = await self.estate.catalog.record(Holder(uuid))
                if directory_name(record.label, uuid) == name:
                    return uuid
        return None
