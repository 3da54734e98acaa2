"""What every file and directory of the tree can be asked."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar, Final, NamedTuple, Protocol

from cachetools import LRUCache

from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.identities import AttachmentPath
from attachfs.archive.models import Record
from attachfs.catalog.catalog import Catalog
from attachfs.content.content import Content
from attachfs.errors import AttachfsError, NotFound
from attachfs.tree.attrs import EPOCH_NS, Attrs
from attachfs.tree.inodes import InodeTable
from attachfs.tree.places import Kind, Place, pack

_MAX_NAMED: Final = 64


@dataclass(frozen=True, slots=True)
class Estate:
    """Hold what all nodes of one mount share.

    `public_assets` are the public assets to list, by UUID: those asked for, and those met. `named`
    has the attachments of the directories looked into last by their names, and of which record
    these are: what one is called depends on all others, so that a thousand take 5 ms.
    """

    catalog: Catalog
    content: Content
    inodes: InodeTable
    policy: ScanPolicy
    public_assets: dict[str, None] = field(default_factory=dict)
    named: LRUCache[Place, tuple[Record, Mapping[str, str]]] = field(
        default_factory=lambda: LRUCache(_MAX_NAMED)
    )

    @property
    def ttl_s(self) -> float:
        """How long names, and attributes that may change, are believed, in seconds."""
        return self.catalog.metadata_ttl_s


class Answer(NamedTuple):
    """Hold attributes, good until `until_s` by the catalog's clock in one revision of it."""

    revision: int
    until_s: float
    attrs: Attrs


class Node:
    """Stand for one inode. Nodes are light, and what they answer is in the catalog.

    They are made when they are needed, from `packed`, which is all that the table of inodes holds.
    Those looked up last are kept, with their last `answer`, while that is good.
    """

    __slots__ = ("answer", "attachment", "estate", "ino", "packed", "path", "place")
    kind: ClassVar[Kind]
    is_directory: ClassVar[bool] = False

    def __init__(
        self,
        estate: Estate,
        place: Place,
        attachment: str = "",
        *,
        packed: bytes | None = None,
        ino: int | None = None,
    ) -> None:
        """Take the inode and its number from whoever knows them already."""
        self.estate = estate
        self.place = place
        self.attachment = attachment
        if attachment:
            self.path = AttachmentPath(place.holder, attachment)
        self.packed = packed or pack(self.kind, place.view, place.holder, attachment)
        self.ino = ino or estate.inodes.number(self.key, self.packed)
        self.answer: Answer | None = None

    def renumber(self) -> None:
        """Take the inode number that is free for this node now."""
        self.ino = self.estate.inodes.number(self.key, self.packed)

    @property
    @abstractmethod
    def key(self) -> str:
        """What the inode number is a hash of."""

    def left_s(self) -> float:
        """Return for how many seconds the kernel may believe the node's name."""
        return self.estate.catalog.record_left_s(self.place.holder)

    def good_until_s(self) -> float:
        """Return until when `attrs` answers the same without asking, as the catalog tells it.

        `-inf` where that cannot be told.
        """
        return -inf

    @abstractmethod
    async def attrs(self) -> Attrs:
        """Return the attributes, asked for if need be; raises `NotFound` where nothing exists."""

    @abstractmethod
    def listed_attrs(self) -> Attrs:
        """Return the attributes as far as they are known, for a directory's listing."""

    def _attrs(
        self,
        *,
        size_bytes: int | None = 0,
        mtime_ns: int = EPOCH_NS,
        attr_ttl_s: float | None = None,
    ) -> Attrs:
        ttl_s = self.estate.ttl_s
        return Attrs(
            self.ino,
            self.is_directory,
            size_bytes,
            mtime_ns,
            ttl_s,
            ttl_s if attr_ttl_s is None else attr_ttl_s,
        )


class Handle(Protocol):
    """Stand for one open file, whose bytes and size stay what they were at open."""

    @property
    def size_bytes(self) -> int:
        """The size of what can be read."""

    @property
    def tag(self) -> int:
        """A hash, equal for equal bytes: tells whether the kernel may keep its pages."""

    def read_now(self, offset: int, size_bytes: int) -> bytes | bytearray | None:
        """Return what `read` would if that needs no waiting, else None."""

    async def read(self, offset: int, size_bytes: int) -> bytes | bytearray:
        """Return all bytes asked for, fewer only at the end of the file."""

    def close(self) -> None:
        """Let go of the file."""


class BytesHandle:
    """Read a small file that is in memory."""

    __slots__ = ("_data", "tag")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.tag = hash(data)

    @property
    def size_bytes(self) -> int:
        """The size of the file."""
        return len(self._data)

    def read_now(self, offset: int, size_bytes: int) -> bytes:
        """Return all bytes asked for, fewer only at the end."""
        return self._data[offset : offset + size_bytes]

    async def read(self, offset: int, size_bytes: int) -> bytes:
        """Return all bytes asked for, fewer only at the end."""
        return self.read_now(offset, size_bytes)

    def close(self) -> None:
        """Do nothing."""


class File(Node):
    """Stand for a file."""

    __slots__ = ()

    @abstractmethod
    async def open(self) -> Handle:
        """Return a handle; raises where this path and token may not read it now."""

    @property
    def was_opened(self) -> bool:
        """Whether this node has been opened already."""
        return False

    def open_now(self) -> Handle | None:
        """Return what `open` would if that needs no waiting and no error, else None."""
        return None

    async def xattrs(self) -> Mapping[str, bytes]:
        """Return the extended attributes by their full names; raises as `open` does."""
        return {}


class Entry(NamedTuple):
    """Name a node in a directory; `attrs` are its attributes where they were looked up already."""

    name: str
    node: Node
    attrs: Attrs | None = None


class Entries(Protocol):
    """Hold an open directory's entries: a snapshot whose tail may still be under way."""

    @property
    def withheld(self) -> AttachfsError | None:
        """Why the entries up to here may lack some that cannot be known; None if they lack none."""

    def ready(self, index: int) -> Entry | None:
        """Return the entry at `index` if that costs no waiting."""

    async def wait(self, index: int) -> Entry | None:
        """Return the entry at `index`, or None at the end; raises where it cannot be had."""


class FixedEntries:
    """Hold entries that are all known."""

    __slots__ = ("_entries",)
    withheld = None

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries

    def ready(self, index: int) -> Entry | None:
        """Return the entry at `index`, or None at the end."""
        return self._entries[index] if index < len(self._entries) else None

    async def wait(self, index: int) -> Entry | None:
        """Return the entry at `index`, or None at the end."""
        return self.ready(index)


class Directory(Node):
    """Stand for a directory."""

    __slots__ = ()
    is_directory = True

    def names_kept(self, revision: int) -> int | None:
        """Return in which revision of the catalog alone a name found here stands for its node.

        0 for all of them, None where that cannot be told.
        """
        view = self.place.view
        return None if view.moment else revision if view.by_name else 0

    def find_now(self, _name: str) -> Node | None:
        """Return what `find` would if the name alone tells it, else None."""
        return None

    @abstractmethod
    async def find(self, name: str) -> Node:
        """Return the node of that name, which may yet turn out not to exist.

        Asks only where a name alone does not tell what it names. Raises `NotFound` for names that
        are impossible here.
        """

    @abstractmethod
    async def entries(self) -> Entries:
        """Return a snapshot of the entries, for one reader from start to end."""

    def entries_left_s(self) -> float:
        """Return for how many seconds the kernel may believe the names in it."""
        return self.left_s()


class FixedDirectory(Directory):
    """Stand for a directory that is always there."""

    __slots__ = ()

    def left_s(self) -> float:
        """Return the whole lifetime of names."""
        return self.estate.ttl_s

    def good_until_s(self) -> float:
        """Return the end of time."""
        return inf

    async def attrs(self) -> Attrs:
        """Return the attributes."""
        return self.listed_attrs()

    def listed_attrs(self) -> Attrs:
        """Return the attributes."""
        return self._attrs()


class ViewDirectory(FixedDirectory):
    """Stand for the directory of a whole view."""

    __slots__ = ()
    kind = Kind.VIEW

    @property
    def key(self) -> str:
        """What the inode number is a hash of."""
        return f"directory\0{self.place.view.path}"


class RootDirectory(FixedDirectory):
    """Hold the views, by name."""

    __slots__ = ("views",)
    kind = Kind.VIEW
    key = "root"

    def __init__(
        self, estate: Estate, place: Place, views: Mapping[str, Node], *, ino: int
    ) -> None:
        super().__init__(estate, place, packed=b"root", ino=ino)
        self.views = views

    async def find(self, name: str) -> Node:
        """Return the view of that name."""
        try:
            return self.views[name]
        except KeyError:
            raise NotFound(f"no view is called {name!r}") from None

    async def entries(self) -> Entries:
        """Return all views."""
        return FixedEntries([Entry(name, node) for name, node in self.views.items()])
