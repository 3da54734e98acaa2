"""An archive in memory for tests whose clock is not the wall's."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import trio

from attachfs.archive.identities import Holder
from tests.catalog.collections import uuid
from tests.support.archives import said

_V2 = "/archivist/v2/"
Trouble = Callable[[str], httpx.Response | Exception | None]


def asset(number: int) -> Holder:
    """Return the asset that stands for a number."""
    return Holder(uuid(number, "a"))


class Service:
    """Answer what the Assets API answers, the newest first; `asked` has paths below `v2/`.

    `trouble(path)` may return another answer or an error to raise; `delay_s` goes before each.
    """

    def __init__(self, *, page_size: int = 10) -> None:
        self.page_size = page_size
        self.asked: list[str] = []
        self.delay_s = 0.0
        self.trouble: Trouble = lambda _path: None
        self.assets: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self._numbers = count(1)

    def create(self, number: int, *, at_s: float, **attributes: Any) -> Holder:
        """Create an asset."""
        holder = asset(number)
        record = {"identity": holder.path, "attributes": attributes}
        self.assets = {holder.asset: record, **self.assets}
        self.happen(holder, at_s=at_s, operation="NewAsset")
        return holder

    def happen(self, holder: Holder, *, at_s: float, **changes: Any) -> Holder:
        """Record an event of an asset, changed as asked for."""
        event = Holder(holder.asset, uuid(next(self._numbers), "e"))
        record = {
            "identity": event.path,
            "asset_identity": holder.path,
            "operation": "Record",
            "timestamp_accepted": datetime.fromtimestamp(at_s, UTC).isoformat(),
            "confirmation_status": "COMMITTED",
            **changes,
        }
        self.events.insert(0, record)
        return event

    def remove(self, event: Holder) -> None:
        """Take an event away."""
        self.events = [record for record in self.events if record["identity"] != event.path]

    def took(self) -> list[str]:
        """Return what has been asked since the last time."""
        asked, self.asked = self.asked, []
        return asked

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        path = request.url.path.removeprefix(_V2)
        self.asked.append(path)
        await trio.sleep(self.delay_s)
        trouble = self.trouble(path)
        if isinstance(trouble, Exception):
            raise trouble
        return trouble or self._answer(path, request.url.params)

    def _answer(self, path: str, query: Mapping[str, str]) -> httpx.Response:
        if path == "assets":
            return self._page("assets", list(self.assets.values()), query)
        if path == "assets/-/events":
            return self._page("events", self.events, query)
        if path.endswith("/events"):
            of = path.removesuffix("/events")
            found = [event for event in self.events if event["asset_identity"] == of]
            return self._page("events", found, query)
        records = [*self.assets.values(), *self.events]
        found = [record for record in records if record["identity"] == path]
        return said(200, found[0]) if found else said(404)

    def _page(
        self, name: str, records: Sequence[dict[str, Any]], query: Mapping[str, str]
    ) -> httpx.Response:
        token = query.get("page_token", "")
        begin = len(records) - int(token) if token else 0
        page = records[begin : begin + self.page_size]
        rest = len(records) - begin - len(page)
        return said(200, {name: page, "next_page_token": str(rest) if rest > 0 else ""})
