"""A listing that is read page by page, as far as somebody wants to know."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from attachfs.archive.models import Page, Record
from attachfs.errors import BadReply
from attachfs.flights import Flights

_MAX_PAGES: Final = 200_000  # a listing without end ends here; 500 records a page

_log = structlog.get_logger(__name__)


class Listing:
    """Hold the UUIDs of a paged collection in the server's order, each once.

    `fetch(token)` asks for a page, `learn(record)` is told of every record met. A page is asked
    for when its entries are, and by one reader at a time.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        fetch: Callable[[str], Awaitable[Page]],
        learn: Callable[[Record], None],
        *,
        name: str,
    ) -> None:
        self._flights: Flights[str, None] = Flights(nursery)
        self._fetch = fetch
        self._learn = learn
        self._name = name
        self._ids: list[str] = []
        self._known: set[str] = set()
        self._token: str | None = ""
        self._tokens: set[str] = set()

    async def upto(self, count: int) -> list[str]:
        """Return the entries known once there are `count`, or fewer where the listing ends.

        The list grows in place as pages come in. Raises where a page cannot be had: a listing that
        fails half-way is an error, never a short listing. Asking again resumes at that page.
        """
        while len(self._ids) < count and self._token is not None:
            await self._flights.join(self._token, self._next_page)
        return self._ids

    async def _next_page(self) -> None:
        token = self._token
        assert token is not None  # noqa: S101 - a page is asked for before the end only
        page = await self._fetch(token)
        if page.skipped:
            _log.warning(
                "entries without identity left out", listing=self._name, count=page.skipped
            )
        following = page.next_token
        if following in self._tokens or len(self._tokens) >= _MAX_PAGES:
            raise BadReply(f"{self._name}: the listing repeats itself")
        for record in page.records:
            self._learn(record)
            if record.id not in self._known:
                self._known.add(record.id)
                self._ids.append(record.id)
        if following:
            self._tokens.add(following)
        self._token = following or None
