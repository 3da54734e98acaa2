"""The entries of a directory that a paged listing fills."""

from collections.abc import Awaitable, Callable

from attachfs.catalog.listing import Listing
from attachfs.tree.nodes import Entry


class ListedEntries:
    """Name the entries of a listing, in the server's order.

    `make(uuid)` returns the entry, None where that needs something that is not known; then
    `fetch(uuid)` does.
    """

    __slots__ = ("_fetch", "_known", "_listing", "_make")

    def __init__(
        self,
        listing: Listing,
        make: Callable[[str], Entry | None],
        fetch: Callable[[str], Awaitable[Entry]],
    ) -> None:
        self._listing = listing
        self._known = listing.ids
        self._make = make
        self._fetch = fetch

    def ready(self, index: int) -> Entry | None:
        """Return the entry at `index` if its page has come already and nothing else is needed."""
        return self._make(self._known[index]) if index < len(self._known) else None

    async def wait(self, index: int) -> Entry | None:
        """Return the entry at `index`, or None at the end; raises where its page cannot be had."""
        known = await self._listing.upto(index + 1)
        if index >= len(known):
            return None
        return self._make(known[index]) or await self._fetch(known[index])


class ChosenEntries:
    """Name those entries of a listing for which `choose(uuid)` returns one."""

    __slots__ = ("_choose", "_chosen", "_listing", "_seen")

    def __init__(self, listing: Listing, choose: Callable[[str], Awaitable[Entry | None]]) -> None:
        self._listing = listing
        self._choose = choose
        self._chosen: list[Entry] = []
        self._seen = 0

    def ready(self, index: int) -> Entry | None:
        """Return the entry at `index` if it has been chosen already."""
        return self._chosen[index] if index < len(self._chosen) else None

    async def wait(self, index: int) -> Entry | None:
        """Return the entry at `index`, or None at the end; raises as `choose` and the listing."""
        while index >= len(self._chosen):
            known = await self._listing.upto(self._seen + 1)
            if self._seen >= len(known):
                return None
            entry = await self._choose(known[self._seen])
            self._seen += 1
            if entry is not None:
                self._chosen.append(entry)
        return self._chosen[index]
