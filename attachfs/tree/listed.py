"""The entries of a directory that a paged listing fills."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from attachfs.catalog.listing import Listing
from attachfs.errors import AttachfsError, Denied, Unauthenticated
from attachfs.tree.nodes import Entry

# Entries that are chosen at the same time: each may take a request.
_AT_ONCE: Final = 64


class ListedEntries:
    """Name the entries of a listing, in the server's order.

    `make(uuid)` returns the entry, None where that needs something that is not known; then
    `fetch(uuid)` does.
    """

    __slots__ = ("_fetch", "_known", "_listing", "_make")
    withheld = None

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
    """Name those entries of a listing for which `choose(uuid)` returns one, in its order.

    An entry for which it raises `Denied` is left out, and `withheld` says why.
    """

    __slots__ = ("_choose", "_chosen", "_listing", "_seen", "withheld")

    def __init__(self, listing: Listing, choose: Callable[[str], Awaitable[Entry | None]]) -> None:
        self._listing = listing
        self._choose = choose
        self._chosen: list[Entry] = []
        self._seen = 0
        self.withheld: AttachfsError | None = None

    def ready(self, index: int) -> Entry | None:
        """Return the entry at `index` if it has been chosen already."""
        return self._chosen[index] if index < len(self._chosen) else None

    async def wait(self, index: int) -> Entry | None:
        """Return the entry at `index`, or None at the end; raises as `choose` and the listing."""
        while index >= len(self._chosen):
            known = await self._listing.upto(self._seen + 1)
            if self._seen >= len(known):
                return None
            error = await self._choose_all(known[self._seen : self._seen + _AT_ONCE])
            if error is not None and index >= len(self._chosen):
                raise error
        return self._chosen[index]

    async def _choose_all(self, uuids: list[str]) -> AttachfsError | None:
        """Choose among the next entries, up to the first that cannot be known; return its error."""
        choices: list[Entry | AttachfsError | None] = [None] * len(uuids)

        async def choose(number: int) -> None:
            try:
                choices[number] = await self._choose(uuids[number])
            except AttachfsError as error:
                choices[number] = error

        async with trio.open_nursery() as nursery:
            for number in range(len(uuids)):
                nursery.start_soon(choose, number)
        for choice in choices:
            if isinstance(choice, AttachfsError):
                if isinstance(choice, Unauthenticated) or not isinstance(choice, Denied):
                    return choice
                self.withheld = self.withheld or choice
            elif choice is not None:
                self._chosen.append(choice)
            self._seen += 1
        return None
