"""The view `assets/`: everything under its UUIDs."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from attachfs.archive.identities import Holder, is_uuid
from attachfs.catalog.listing import Listing
from attachfs.errors import Denied, NotFound
from attachfs.tree.attrs import Attrs
from attachfs.tree.files import holder_mtime_ns
from attachfs.tree.holders import HolderDirectory
from attachfs.tree.names import ASSETS, EVENTS
from attachfs.tree.nodes import Directory, Entries, Entry, Estate, Node

_VIEW: Final = ASSETS


class ListedEntries:
    """Name the entries of a listing by their UUIDs, in the server's order."""

    __slots__ = ("_known", "_listing", "_make")

    def __init__(self, listing: Listing, make: Callable[[str], Node]) -> None:
        self._listing = listing
        self._make = make
        self._known: list[str] = []

    def ready(self, index: int) -> Entry | None:
        """Return the entry at `index` if its page has come already."""
        if index >= len(self._known):
            return None
        return Entry(self._known[index], self._make(self._known[index]))

    async def wait(self, index: int) -> Entry | None:
        """Return the entry at `index`, or None at the end; raises where its page cannot be had."""
        self._known = await self._listing.upto(index + 1)
        return self.ready(index)


class AssetsDirectory(Directory):
    """List all assets; any other that the token may see is there by name."""

    __slots__ = ()

    def __init__(self, estate: Estate) -> None:
        super().__init__(estate, ("directory", _VIEW))

    async def attrs(self) -> Attrs:
        """Return the attributes."""
        return self.listed_attrs()

    def listed_attrs(self) -> Attrs:
        """Return the attributes."""
        return self._attrs()

    def child(self, name: str) -> Node:
        """Return the directory of the asset with that UUID."""
        if not is_uuid(name):
            raise NotFound(f"{name!r} is no asset's UUID")
        events = EventsDirectory(self.estate, name)
        return HolderDirectory(self.estate, Holder(name), view=_VIEW, extra={EVENTS: events})

    async def entries(self) -> Entries:
        """Return the assets; raises `Denied` where the token may not list them."""
        return ListedEntries(await self.estate.catalog.assets(), self.child)


class EventsDirectory(Directory):
    """List all events of one asset."""

    __slots__ = ("_asset",)

    def __init__(self, estate: Estate, asset: str) -> None:
        super().__init__(estate, ("directory", _VIEW, asset, EVENTS))
        self._asset = asset

    async def attrs(self) -> Attrs:
        """Return the attributes; exists where the asset's directory does."""
        with suppress(Denied):
            await self.estate.catalog.record(Holder(self._asset))
        return self.listed_attrs()

    def listed_attrs(self) -> Attrs:
        """Return the attributes as far as they are known."""
        return self._attrs(mtime_ns=holder_mtime_ns(self.estate, Holder(self._asset)))

    def child(self, name: str) -> Node:
        """Return the directory of the event with that UUID."""
        if not is_uuid(name):
            raise NotFound(f"{name!r} is no event's UUID")
        return HolderDirectory(self.estate, Holder(self._asset, name), view=_VIEW)

    async def entries(self) -> Entries:
        """Return the events; raises `Denied` where the token may not list them."""
        return ListedEntries(await self.estate.catalog.events(self._asset), self.child)
