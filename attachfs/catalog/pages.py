"""Pages of listings: asked for, and the whole records on them remembered."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from attachfs.archive import endpoints
from attachfs.archive.client import Archive
from attachfs.archive.identities import Holder
from attachfs.archive.models import PAGE_SIZE, Listed, Page, Record
from attachfs.catalog.keys import assets_prefix
from attachfs.catalog.memo import Basis, Memo, Update
from attachfs.catalog.newest import NewestEvents
from attachfs.errors import BadReply, NotFound

_Compare = Callable[[Sequence[tuple[Holder, bytes]]], list[Update[Holder, Record]]]


class Pages:
    """Ask for pages of assets and of events; `records` and `newest` learn what is on them.

    Methods take a page token, the empty one for the first page, and raise what the client raises.
    """

    def __init__(
        self,
        archive: Archive,
        basis: Basis,
        records: Memo[Holder, Record],
        newest: NewestEvents,
        *,
        untracked: bool,
    ) -> None:
        self._archive = archive
        self._basis = basis
        self._records = records
        self._newest = newest
        self._assets = endpoints.assets(untracked=untracked)
        known = basis.index.keys(assets_prefix("", public=False), 1)
        self._first_listing: bool | None = False if known else None

    def no_longer_first(self) -> None:
        """Take note that from now on there is something to compare a listing of assets with."""
        self._first_listing = False

    async def assets(self, token: str) -> Page:
        """Return a page of assets; one that is not found is `BadReply`: it says nothing of any."""
        if not token:
            # The first time, there is nothing to compare 100,000 records with.
            self._first_listing = self._first_listing is None
        compare = self._records.unknown if self._first_listing else self._records.compare
        try:
            return await self._page(self._assets, token, lambda entry: Holder(entry.id), compare)
        except NotFound as error:
            raise BadReply(f"the list of assets was not found: {error}") from error

    async def events(self, asset: Holder, token: str) -> Page:
        """Return a page of an asset's events."""

        def holder_of(entry: Listed) -> Holder:
            return Holder(asset.asset, entry.id, asset.public)

        source = endpoints.events(asset)
        return await self._page(source, token, holder_of, self._records.compare)

    async def all_events(self, token: str) -> Page:
        """Return a page of the events of all assets."""

        def holder_of(entry: Listed) -> Holder | None:
            return None if entry.asset is None else Holder(entry.asset, entry.id)

        source = endpoints.all_events()
        return await self._page(source, token, holder_of, self._records.compare)

    async def _page(
        self,
        source: endpoints.Listing,
        token: str,
        holder_of: Callable[[Listed], Holder | None],
        compare: _Compare,
    ) -> Page:
        at_s = self._basis.clock.now_s()
        updates: list[Update[Holder, Record]] = []
        taught: list[Update[Holder, Record]] = []

        def parse(raw: bytes, *, max_entries: int = PAGE_SIZE) -> Page:
            page = source.parse(raw, max_entries=max_entries)
            named = [(holder_of(entry), entry.raw) for entry in page.entries]
            found = [(holder, data) for holder, data in named if holder is not None]
            updates[:] = compare(found)
            taught[:] = self._records.taught(found)
            return page

        page = await self._archive.page(replace(source, parse=parse), token)
        self._records.update(updates, at_s)
        self._records.teach(taught, at_s)
        for entry in page.entries:
            holder = holder_of(entry)
            if holder is not None and holder.event is not None:
                self._newest.note(holder.owner, entry.accepted_ns)
        await self._records.room()
        return page
