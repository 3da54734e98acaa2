"""Collections that are served page by page, and change."""

from collections.abc import Iterable

import trio

from attachfs.archive.models import Listed, Page


def uuid(number: int, kind: str = "0") -> str:
    """Return the UUID that stands for a number; `kind` is its first digit."""
    return f"{kind}{number:07d}-0000-4000-8000-000000000000"


def uuids(*numbers: int) -> list[str]:
    """Return the UUIDs that stand for numbers."""
    return [uuid(number) for number in numbers]


class Collection:
    """Serve entries newest first, `page_size` to a page; a token is how many are behind it.

    `go` holds up pages until it is set; `error` is raised instead of pages; with `fails_at` only
    instead of those with that token. `shielded` pages come whether their reader has left or not.
    """

    def __init__(self, entries: Iterable[Listed], *, page_size: int = 2) -> None:
        self.entries = list(entries)
        self.page_size = page_size
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.fails_at: str | None = None
        self.shielded = False
        self.go = trio.Event()
        self.go.set()

    @classmethod
    def of(cls, *numbers: int, page_size: int = 2) -> "Collection":
        """Return a collection of records without a content."""
        return cls((entry(number) for number in numbers), page_size=page_size)

    def set(self, *numbers: int) -> None:
        """Change what there is."""
        self.entries = [entry(number) for number in numbers]

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return max(-(-len(self.entries) // self.page_size), 1)

    async def fetch(self, token: str) -> Page:
        """Answer with a page."""
        self.asked.append(token)
        begun = list(self.entries)
        with trio.CancelScope(shield=self.shielded):
            await self.go.wait()
        if not self.shielded:
            await trio.lowlevel.checkpoint()
        if self.error is not None and self.fails_at in (None, token):
            raise self.error
        # Counted from the end: what is new shifts nothing.
        place = len(begun) - int(token) if token else 0
        page = begun[place : place + self.page_size]
        rest = len(begun) - place - len(page)
        return Page(tuple(page), str(rest) if rest > 0 else "")


def entry(number: int) -> Listed:
    """Return an entry of which nothing is said."""
    return Listed(uuid(number), b"{}")
