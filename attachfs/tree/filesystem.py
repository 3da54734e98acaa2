"""The file system, by inode number: what the kernel's side, and any other front, is built on."""

from itertools import count
from typing import Final, NamedTuple

import trio

from attachfs.archive.endpoints import ScanPolicy
from attachfs.catalog.catalog import Catalog
from attachfs.content.content import Content
from attachfs.errors import (
    AttachfsError,
    IsADirectory,
    NoSuchXattr,
    NotADirectory,
    NotFound,
    Stale,
    XattrUnsupported,
)
from attachfs.tree.attrs import FOREVER_S, Attrs
from attachfs.tree.inodes import ROOT_INO, Inode, InodeNumbers, InodeTable
from attachfs.tree.names import ASSETS
from attachfs.tree.nodes import (
    Directory,
    Entries,
    Entry,
    Estate,
    File,
    Handle,
    Node,
    StaticDirectory,
)
from attachfs.tree.readahead import ReadAhead
from attachfs.tree.views.assets import AssetsDirectory

_XATTR_NAMESPACE: Final = "user."


class Opened(NamedTuple):
    """Say how a file was opened: may the kernel keep its pages, must it forget the size."""

    fh: int
    keep_cache: bool
    size_changed: bool


class FileSystem:
    """Answer file-system operations by inode number; one instance a mount.

    Every method raises errors of `attachfs.errors` alone. Waiting methods may be cancelled.
    Handles (`fh`) are positive integers, never used twice.
    """

    def __init__(
        self,
        catalog: Catalog,
        content: Content,
        nursery: trio.Nursery,
        *,
        policy: ScanPolicy,
        read_ahead_files: int = 64,
    ) -> None:
        """Take a nursery for what is fetched ahead: up to `read_ahead_files` at a time."""
        numbers = InodeNumbers(catalog.server)
        estate = Estate(catalog, content, numbers, policy)
        self._ahead = ReadAhead(estate, nursery, max_files=read_ahead_files)
        views: dict[str, Node] = {ASSETS: AssetsDirectory(estate)}
        root = StaticDirectory(estate, ("root",), views, ino=ROOT_INO)
        self._inodes: InodeTable[Node] = InodeTable(numbers, root)
        self._files: dict[int, tuple[Inode[Node], Handle]] = {}
        self._directories: dict[int, Entries] = {}
        self._next_fh = count(1)
        self.negative_ttl_s = catalog.negative_ttl_s

    async def lookup(self, parent: int, name: bytes) -> Attrs:
        """Return the attributes of a name, its lookup counted; raises `NotFound`."""
        node = self._directory(parent).child(_text(name))
        self._ahead.looked_at(node)
        attrs = await node.attrs()
        self._settle(node)
        if attrs.ino != node.ino:
            attrs = attrs._replace(ino=node.ino)
        self.looked_up(node, attrs)
        return attrs

    async def getattr(self, ino: int) -> Attrs:
        """Return the attributes of an inode."""
        inode = self._inode(ino)
        attrs = inode.node.listed_attrs()
        if attrs.size_bytes is None or attrs.attr_ttl_s != FOREVER_S:
            attrs = await inode.node.attrs()
        inode.told_size_bytes = attrs.size_bytes
        return attrs

    def forget(self, ino: int, lookups: int) -> None:
        """Take back lookups that the kernel has forgotten."""
        self._inodes.forget(ino, lookups)

    async def opendir(self, ino: int) -> int:
        """Open a directory for reading and return its handle."""
        entries = await self._directory(ino).entries()
        fh = next(self._next_fh)
        self._directories[fh] = entries
        return fh

    def entries(self, fh: int) -> Entries:
        """Return the snapshot behind an open directory."""
        return self._directories[fh]

    def listed_attrs(self, entry: Entry) -> Attrs:
        """Return what a listing may tell of an entry; a size once told is told again.

        Taking it back would cut the file short under a reader's feet (design section 5).
        """
        self._settle(entry.node)
        attrs = entry.node.listed_attrs()
        inode = self._inodes.get(entry.node.ino)
        if attrs.size_bytes is None and inode is not None and inode.told_size_bytes is not None:
            return Attrs(
                ino=attrs.ino,
                is_directory=attrs.is_directory,
                size_bytes=inode.told_size_bytes,
                mtime_ns=attrs.mtime_ns,
                entry_ttl_s=attrs.entry_ttl_s,
                attr_ttl_s=attrs.entry_ttl_s,
            )
        return attrs

    def looked_up(self, node: Node, attrs: Attrs) -> None:
        """Count a lookup of a node that the kernel has been, or is about to be, told of."""
        inode = self._inodes.looked_up(node)
        if attrs.size_bytes is not None:
            inode.told_size_bytes = attrs.size_bytes

    def releasedir(self, fh: int) -> None:
        """Close a directory."""
        self._directories.pop(fh, None)

    async def open(self, ino: int) -> Opened:
        """Open a file for reading; raises where this path and token may not read it now."""
        inode = self._inode(ino)
        if not isinstance(inode.node, File):
            raise IsADirectory("a directory is not read as a file")
        self._ahead.opened(inode.node)
        handle = await inode.node.open()
        fh = next(self._next_fh)
        self._files[fh] = (inode, handle)
        opened = Opened(
            fh=fh,
            keep_cache=inode.content_tag in (None, handle.tag) and not inode.doubtful,
            size_changed=inode.told_size_bytes not in (None, handle.size_bytes),
        )
        inode.content_tag = handle.tag
        inode.doubtful = False
        inode.told_size_bytes = handle.size_bytes
        return opened

    def read_now(self, fh: int, offset: int, size_bytes: int) -> bytes | bytearray | None:
        """Return what `read` would if that needs no waiting, else None."""
        inode, handle = self._files[fh]
        if inode.told_size_bytes != handle.size_bytes or inode.content_tag != handle.tag:
            return None
        return handle.read_now(offset, size_bytes)

    async def read(self, fh: int, offset: int, size_bytes: int) -> bytes | bytearray:
        """Return all bytes asked for, fewer only at the end of the file, else raise.

        Raises `Stale` once another size or content than this handle's was told to the kernel:
        size and pages are the inode's, so old bytes would be cut to the new size, or cached as new.
        """
        inode, handle = self._files[fh]
        try:
            data = await handle.read(offset, size_bytes)
        except AttachfsError:
            inode.doubtful = True  # what was read before may be of bytes that were never verified
            raise
        if (inode.told_size_bytes, inode.content_tag) != (handle.size_bytes, handle.tag):
            raise Stale("the file has changed since it was opened")
        return data

    def release(self, fh: int) -> None:
        """Close a file."""
        inode_and_handle = self._files.pop(fh, None)
        if inode_and_handle is not None:
            inode_and_handle[1].close()

    def ino_of(self, fh: int) -> int:
        """Return the inode number behind an open file."""
        return self._files[fh][0].node.ino

    async def getxattr(self, ino: int, name: bytes) -> bytes:
        """Return an extended attribute's value; other namespaces than `user` cost nothing."""
        text = _text(name)
        if not text.startswith(_XATTR_NAMESPACE):
            raise XattrUnsupported(f"no attributes of the namespace of {text!r}")
        node = self._inode(ino).node
        if isinstance(node, File):
            value = (await node.xattrs()).get(text)
            if value is not None:
                return value
        raise NoSuchXattr(f"no extended attribute {text!r}")

    async def listxattr(self, ino: int) -> list[bytes]:
        """Return the names of all extended attributes."""
        node = self._inode(ino).node
        return [name.encode() for name in await node.xattrs()] if isinstance(node, File) else []

    def _inode(self, ino: int) -> Inode[Node]:
        inode = self._inodes.get(ino)
        if inode is None:
            raise Stale(f"inode {ino} has been forgotten")
        return inode

    def _settle(self, node: Node) -> None:
        """Give a node another number where one that collides with it was looked up meanwhile."""
        inode = self._inodes.get(node.ino)
        if inode is not None and inode.node.key != node.key:
            node.renumber()

    def _directory(self, ino: int) -> Directory:
        node = self._inode(ino).node
        if not isinstance(node, Directory):
            raise NotADirectory("a file has no names in it")
        return node


def _text(name: bytes) -> str:
    """Decode a name of the kernel's; what is not ASCII cannot exist in any view so far."""
    try:
        return name.decode("ascii")
    except UnicodeDecodeError:
        raise NotFound("no name has other characters than ASCII") from None
