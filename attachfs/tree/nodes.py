"""What every file and directory of the tree can be asked."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from attachfs.archive.endpoints import ScanPolicy
from attachfs.catalog.catalog import Catalog
from attachfs.content.content import Content
from attachfs.errors import NotFound
from attachfs.tree.attrs import EPOCH_NS, Attrs
from attachfs.tree.inodes import InodeNumbers, Key


@dataclass(frozen=True, slots=True)
class Estate:
    """Hold what all nodes of one mount share."""

    catalog: Catalog
    content: Content
    numbers: InodeNumbers
    policy: ScanPolicy


class Node(ABC):
    """Stand for one inode. Nodes are light and hold no answers: those live in the catalog."""

    __slots__ = ("estate", "ino", "key")
    is_directory = False

    def __init__(self, estate: Estate, key: Key, *, ino: int | None = None) -> None:
        self.estate = estate
        self.key = key
        self.ino = estate.numbers.number(key) if ino is None else ino

    def renumber(self) -> None:
        """Take the inode number that is free for this node now."""
        self.ino = self.estate.numbers.number(self.key)

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
        ttl_s = self.estate.catalog.metadata_ttl_s
        return Attrs(
            ino=self.ino,
            is_directory=self.is_directory,
            size_bytes=size_bytes,
            mtime_ns=mtime_ns,
            entry_ttl_s=ttl_s,
            attr_ttl_s=ttl_s if attr_ttl_s is None else attr_ttl_s,
        )


class Handle(Protocol):
    """Stand for one open file, whose bytes and size stay what they were at open."""

    @property
    def size_bytes(self) -> int:
        """The size of what can be read."""

    @property
    def tag(self) -> object:
        """Whatever is equal for equal bytes: tells whether the kernel may keep its pages."""

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
        self.tag: object = hash(data)

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

    async def xattrs(self) -> Mapping[str, bytes]:
        """Return the extended attributes by their full names."""
        return {}


class Entry(NamedTuple):
    """Name a node in a directory."""

    name: str
    node: Node


class Entries(Protocol):
    """Hold an open directory's entries: a snapshot whose tail may still be under way."""

    def ready(self, index: int) -> Entry | None:
        """Return the entry at `index` if that costs no waiting."""

    async def wait(self, index: int) -> Entry | None:
        """Return the entry at `index`, or None at the end; raises where it cannot be had."""


class FixedEntries:
    """Hold entries that are all known."""

    __slots__ = ("_entries",)

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

    @abstractmethod
    def child(self, name: str) -> Node:
        """Return the node of that name without asking anybody; it may yet turn out not to exist.

        Raises `NotFound` for names that are impossible here.
        """

    @abstractmethod
    async def entries(self) -> Entries:
        """Return a snapshot of the entries, for one reader from start to end."""


class StaticDirectory(Directory):
    """Hold a fixed set of nodes."""

    __slots__ = ("_children",)

    def __init__(
        self, estate: Estate, key: Key, children: Mapping[str, Node], *, ino: int | None = None
    ) -> None:
        super().__init__(estate, key, ino=ino)
        self._children = children

    async def attrs(self) -> Attrs:
        """Return the attributes."""
        return self.listed_attrs()

    def listed_attrs(self) -> Attrs:
        """Return the attributes."""
        return self._attrs()

    def child(self, name: str) -> Node:
        """Return the child of that name."""
        try:
            return self._children[name]
        except KeyError:
            raise NotFound(f"no view is called {name!r}") from None

    async def entries(self) -> Entries:
        """Return all children."""
        return FixedEntries([Entry(name, node) for name, node in self._children.items()])
