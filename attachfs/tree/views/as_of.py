"""The view `as-of/<time>/assets/`: the estate as it stood then."""

from attachfs.errors import NotFound
from attachfs.tree.moments import parse_moment
from attachfs.tree.names import AS_OF, ASSETS
from attachfs.tree.nodes import Entries, Entry, FixedDirectory, FixedEntries, Node, ViewDirectory
from attachfs.tree.places import Kind, Place, View
from attachfs.tree.views.assets import AssetsDirectory


class AsOfDirectory(ViewDirectory):
    """Hold every time there is; lists none, for there is no end of them."""

    __slots__ = ()

    async def find(self, name: str) -> Node:
        """Return the directory of a time, RFC 3339, or of a date."""
        if parse_moment(name) is None:
            raise NotFound(f"{name!r} is no time like 2024-06-01T12:00:00Z, and no date")
        return MomentDirectory(self.estate, Place(View(AS_OF, name), self.place.holder))

    async def entries(self) -> Entries:
        """Return nothing."""
        return FixedEntries([])


class MomentDirectory(FixedDirectory):
    """Hold the estate as it stood at one time."""

    __slots__ = ()
    kind = Kind.MOMENT

    @property
    def key(self) -> str:
        """What the inode number is a hash of."""
        return f"moment\0{self.place.view.path}"

    async def find(self, name: str) -> Node:
        """Return `assets`."""
        if name != ASSETS:
            raise NotFound(f"there is {ASSETS}/ here, and no {name!r}")
        return AssetsDirectory(self.estate, self.place)

    async def entries(self) -> Entries:
        """Return `assets`."""
        return FixedEntries([Entry(ASSETS, AssetsDirectory(self.estate, self.place))])
