"""A view of a test's own: attachments under whatever paths it likes, directories as deep."""

from functools import partial
from typing import Any

from attachfs.archive.identities import Holder
from attachfs.errors import NotFound
from attachfs.fsspec import ArchivistFileSystem
from attachfs.tree.files import AttachmentFile
from attachfs.tree.nodes import Entries, Entry, Estate, FixedDirectory, FixedEntries, Node
from attachfs.tree.paths import parts_of
from attachfs.tree.places import Kind, Place, View
from tests.support.estates import Estate as Filled

VIEW = "folders"


class Folder(FixedDirectory):
    """Hold nodes by name."""

    __slots__ = ("inside", "where")
    kind = Kind.VIEW

    def __init__(self, estate: Estate, where: str) -> None:
        self.where = where
        self.inside: dict[str, Node] = {}
        super().__init__(estate, Place(View(), Holder("")), packed=self.key.encode())

    @property
    def key(self) -> str:
        """What the inode number is a hash of."""
        return f"folder\0{self.where}"

    async def find(self, name: str) -> Node:
        """Return the node of that name."""
        try:
            return self.inside[name]
        except KeyError:
            raise NotFound(f"{self.where} holds no {name!r}") from None

    async def entries(self) -> Entries:
        """Return all nodes, as they came."""
        return FixedEntries([Entry(name, node) for name, node in self.inside.items()])


class StagedFileSystem(ArchivistFileSystem):
    """Let a suite put its scenario into an archive, in `folders/`, by the calls that it makes.

    What it reads by is not touched, nor is what it would change something by: `open`, `put`,
    `copy`, `pipe_file` and their like.
    """

    filled: Filled

    @classmethod
    def of(cls, filled: Filled, **options: Any) -> "StagedFileSystem":
        """Return the file system of an archive, with a view more than it has."""
        fs = cls(**options)
        fs.filled = filled
        root: Any = fs.portal.call(partial(fs.portal.fs.find, ""))
        root.views[VIEW] = Folder(root.estate, VIEW)
        return fs

    def mkdir(self, path: str, **_: Any) -> None:  # type: ignore[override]
        """Make a directory, and those above it."""
        self._folder(path)

    def makedirs(self, path: str, **_: Any) -> None:  # type: ignore[override]
        """Make a directory, and those above it."""
        self._folder(path)

    def touch(self, path: str, **_: Any) -> None:  # type: ignore[override]
        """Attach a file without bytes."""
        self.pipe(path, b"")

    def pipe(self, path: str, value: bytes) -> None:  # type: ignore[override]
        """Attach a file."""
        parent, _, name = path.rpartition("/")
        folder = self._folder(parent)
        folder.inside[name] = AttachmentFile.of(folder.estate, self.filled.one(value))

    def rm(self, path: str, *, recursive: bool) -> None:  # type: ignore[override]
        """Have a directory shown no longer."""
        assert recursive
        parent, _, name = path.rpartition("/")
        del self._folder(parent).inside[name]

    def _folder(self, path: str) -> Folder:
        found: Any = self.portal.call(partial(self.portal.fs.find, VIEW))
        for part in parts_of(path)[1:]:
            found = found.inside.setdefault(part, Folder(found.estate, f"{found.where}/{part}"))
        assert isinstance(found, Folder)
        return found
