"""The file system, by inode number: what the kernel's side, and any other front, is built on."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple

import trio

from attachfs.archive.endpoints import ScanPolicy
from attachfs.catalog.catalog import Catalog
from attachfs.catalog.index import Index
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
from attachfs.recent import Recent
from attachfs.tree.attrs import FOREVER_S, Attrs
from attachfs.tree.changes import Changes, Kernel
from attachfs.tree.inodes import ROOT_INO, Inode, InodeTable
from attachfs.tree.nodes import Answer, Directory, Entries, Entry, Estate, File, Handle, Node
from attachfs.tree.paths import locate
from attachfs.tree.readahead import ReadAhead
from attachfs.tree.views.root import restored, root_directory

_XATTR_NAMESPACE: Final = "user."
_MAX_NODES: Final = 8_192


class Opened(NamedTuple):
    """Say how a file was opened: may the kernel keep its pages, must it forget the size."""

    fh: int
    keep_cache: bool
    size_changed: bool


class _Forgetful:
    """Stand for a kernel that remembers nothing."""

    def forget_name(self, parent: int, name: str) -> None:
        """Do nothing."""

    def forget_inode(self, ino: int) -> None:
        """Do nothing."""


class _OpenFile(NamedTuple):
    ino: int
    inode: Inode
    handle: Handle

    @property
    def is_stale(self) -> bool:
        """Tell whether another size or content than this handle's was told to the kernel."""
        inode, handle = self.inode, self.handle
        return inode.told_size_bytes != handle.size_bytes or inode.content_hash != handle.tag


@dataclass(slots=True)
class _OpenDirectory:
    directory: Directory
    entries: Entries
    left_s: float
    begun: bool = False


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
        public_assets: Sequence[str] = (),
        public_only: bool = False,
        kernel: Kernel | None = None,
    ) -> None:
        """Take a nursery for what is fetched ahead: up to `read_ahead_files` at a time.

        `public_assets` are listed in publicassets/, by UUID; `public_only` leaves out every view
        that needs a token. `kernel` is told what to forget.
        """
        self._inodes = InodeTable(catalog.server, b"root")
        estate = Estate(catalog, content, self._inodes, policy, dict.fromkeys(public_assets))
        self.estate = estate
        # Whether it was offered by `anew` or `offline`.
        self.is_apart = False
        self._public_only = public_only
        self._ahead = ReadAhead(estate, nursery, max_files=read_ahead_files)
        self._root = root_directory(estate, public_only=public_only)
        self._changes = Changes(estate, self._root, kernel or _Forgetful())
        # The nodes used last, by inode number, and by directory and name, with `names_kept`: to
        # make them from their bytes took most of a lookup.
        self._nodes: Recent[int, Node] = Recent(_MAX_NODES)
        self._children: Recent[tuple[int, bytes], tuple[Node, int]] = Recent(_MAX_NODES)
        self._files: dict[int, _OpenFile] = {}
        self._directories: dict[int, _OpenDirectory] = {}
        self._next_fh = count(1)
        self.negative_ttl_s = catalog.negative_ttl_s

    @asynccontextmanager
    async def anew(self) -> AsyncIterator["FileSystem"]:
        """Offer one of the same archive that has asked for nothing yet, and believes nothing older.

        What it is told, this one learns. Bytes that are on this machine are shared. All that works
        for it ends with the block; raises what the block raises.
        """
        with closing(Index.open(None)) as index:
            async with _alone() as nursery:
                index.start(nursery)
                catalog = self.estate.catalog.anew(nursery, index)
                yield self._beside(catalog, nursery, offline=False)

    @asynccontextmanager
    async def offline(self) -> AsyncIterator["FileSystem"]:
        """Offer one that knows what this machine does, however old, and never asks the server.

        As `anew`. What is not known, or not here, is `Unreachable`.
        """
        async with _alone() as nursery:
            catalog = self.estate.catalog.offline(nursery)
            yield self._beside(catalog, nursery, offline=True)

    def _beside(self, catalog: Catalog, nursery: trio.Nursery, *, offline: bool) -> "FileSystem":
        fs = FileSystem(
            catalog,
            self.estate.content.beside(nursery, offline=offline),
            nursery,
            policy=self.estate.policy,
            read_ahead_files=0,
            public_assets=tuple(self.estate.public_assets),
            public_only=self._public_only,
        )
        fs.is_apart = True
        return fs

    async def find(self, path: str) -> Node:
        """Return the node that a path below the root names, for who asks it without a kernel.

        It may turn out not to exist: its `attrs` tell. Raises `NotFound` where nothing can be
        called that, and what asking for a name raises.
        """
        return (await locate(self._root, path)).node

    def lookup_now(self, parent: int, name: bytes) -> tuple[Attrs, float] | None:
        """Return what `lookup` would if that needs no waiting, and for how long it is good.

        In seconds; None where it may need to wait.
        """
        child = self._children.get((parent, name))
        if child is None:
            return self._look_up_now(parent, name)
        node, kept = child
        answer, catalog = node.answer, self.estate.catalog
        revision = catalog.revision.number
        if answer is None or answer.revision != revision or kept not in (0, revision):
            return None
        attrs, left_s = answer.attrs, answer.until_s - catalog.now_s()
        if left_s <= 0:
            return None
        inode = self._inodes.looked_up(node)
        if inode.packed != node.packed:  # a number that two have, which is rare
            inode.lookups -= 1
            return None
        inode.told_size_bytes = attrs.size_bytes
        catalog.lookups.known += 1
        return attrs, left_s

    def _look_up_now(self, parent: int, name: bytes) -> tuple[Attrs, float] | None:
        """Do the same for a name that is looked up for the first time."""
        directory = self._nodes.get(parent)
        if not isinstance(directory, Directory):
            return None
        node = directory.find_now(_text(name))
        if node is None:
            return None
        left_s = node.good_until_s() - self.estate.catalog.now_s()
        attrs = node.listed_attrs() if left_s > 0 else None
        inode = self._inodes.get(node.ino)
        if (
            attrs is None
            or attrs.size_bytes is None
            or (inode is not None and inode.packed != node.packed)
        ):
            return None
        self._ahead.looked_at(node)
        self._children[parent, name] = self._keep(node, attrs), 0
        self.looked_up(node, attrs)
        self.estate.catalog.lookups.known += 1
        return attrs, left_s

    async def lookup(self, parent: int, name: bytes) -> Attrs:
        """Return the attributes of a name, its lookup counted; raises `NotFound`."""
        directory = self._directory(parent)
        node = await directory.find(_text(name))
        self._ahead.looked_at(node)
        attrs = await node.attrs()
        self._settle(node)
        left_s = node.left_s()
        node = self._keep(node, attrs)
        names_kept = directory.names_kept(self.estate.catalog.revision.number)
        if names_kept is not None:
            self._children[parent, name] = node, names_kept
        if attrs.ino != node.ino or left_s < attrs.entry_ttl_s:
            attrs = attrs._replace(ino=node.ino, entry_ttl_s=min(left_s, attrs.entry_ttl_s))
        self.looked_up(node, attrs)
        return attrs

    def getattr_now(self, ino: int) -> Attrs | None:
        """Return what `getattr` would if that needs no waiting, else None."""
        inode = self._inode(ino)
        node = self._node(ino, inode)
        answer, catalog = node.answer, self.estate.catalog
        if (
            answer is not None
            and answer.revision == catalog.revision.number
            and catalog.now_s() < answer.until_s
        ):
            attrs = answer.attrs
        else:
            attrs = node.listed_attrs()
            if attrs.size_bytes is None or attrs.attr_ttl_s != FOREVER_S:
                return None
        inode.told_size_bytes = attrs.size_bytes
        return attrs

    async def getattr(self, ino: int) -> Attrs:
        """Return the attributes of an inode."""
        attrs = self.getattr_now(ino)
        if attrs is None:
            inode = self._inode(ino)
            node = self._node(ino, inode)
            self._ahead.looked_at(node)  # a listing may have told its name
            attrs = await node.attrs()
            self._keep(node, attrs)
            inode.told_size_bytes = attrs.size_bytes
        return attrs

    def forget(self, ino: int, lookups: int) -> None:
        """Take back lookups that the kernel has forgotten."""
        self._inodes.forget(ino, lookups)

    async def opendir(self, ino: int) -> int:
        """Open a directory for reading and return its handle."""
        directory = self._directory(ino)
        opened = _OpenDirectory(directory, await directory.entries(), directory.entries_left_s())
        fh = next(self._next_fh)
        self._directories[fh] = opened
        return fh

    def entries(self, fh: int) -> Entries:
        """Return the snapshot behind an open directory."""
        return self._directories[fh].entries

    def entries_left_s(self, fh: int) -> float:
        """Return for how many seconds, from the snapshot on, the names in it may be believed."""
        return self._directories[fh].left_s

    async def rewind(self, fh: int) -> None:
        """Begin an open directory at its start: the second time with a new snapshot.

        So rewinddir(3) has it. Raises as `opendir`.
        """
        opened = self._directories[fh]
        if opened.begun:
            opened.entries = await opened.directory.entries()
            opened.left_s = opened.directory.entries_left_s()
        opened.begun = True

    def listed_attrs(self, entry: Entry) -> Attrs:
        """Return what a listing may tell of an entry; a size once told is told again.

        Taking it back would cut the file short under a reader's feet (design section 5). As it may
        be no longer so, who wants to know asks again.
        """
        _, node, attrs = entry
        inode = self._inodes.get(node.ino)
        if inode is None:
            return attrs or node.listed_attrs()
        if inode.packed != node.packed:
            node.renumber()
            return node.listed_attrs()
        attrs = attrs or node.listed_attrs()
        if attrs.size_bytes is None and inode.told_size_bytes is not None:
            return Attrs(
                ino=attrs.ino,
                is_directory=attrs.is_directory,
                size_bytes=inode.told_size_bytes,
                mtime_ns=attrs.mtime_ns,
                entry_ttl_s=attrs.entry_ttl_s,
                attr_ttl_s=0,
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
        node = self._node(ino, inode)
        if not isinstance(node, File):
            raise IsADirectory("a directory is not read as a file")
        self._ahead.opened(node)
        handle = await node.open()
        self._nodes[ino] = node
        return self._opened(ino, inode, handle)

    def open_now(self, ino: int) -> Opened | None:
        """Return what `open` would if that needs no waiting, else None; raises `Stale`."""
        inode = self._inode(ino)
        node = self._node(ino, inode)
        if not isinstance(node, File):
            return None
        was_opened, handle = node.was_opened, node.open_now()
        if handle is None:
            return None
        if not was_opened:
            self._nodes[ino] = node
            self._ahead.opened(node)
        return self._opened(ino, inode, handle)

    def _opened(self, ino: int, inode: Inode, handle: Handle) -> Opened:
        fh = next(self._next_fh)
        self._files[fh] = _OpenFile(ino, inode, handle)
        opened = Opened(
            fh=fh,
            keep_cache=self._inodes.trust(ino) and inode.content_hash in (None, handle.tag),
            size_changed=inode.told_size_bytes not in (None, handle.size_bytes),
        )
        inode.content_hash = handle.tag
        inode.told_size_bytes = handle.size_bytes
        return opened

    def read_now(self, fh: int, offset: int, size_bytes: int) -> bytes | bytearray | None:
        """Return what `read` would if that needs no waiting, else None."""
        file = self._files[fh]
        return None if file.is_stale else file.handle.read_now(offset, size_bytes)

    async def read(self, fh: int, offset: int, size_bytes: int) -> bytes | bytearray:
        """Return all bytes asked for, fewer only at the end of the file, else raise.

        Raises `Stale` once another size or content than this handle's was told to the kernel:
        size and pages are the inode's, so old bytes would be cut to the new size, or cached as new.
        """
        file = self._files[fh]
        try:
            data = await file.handle.read(offset, size_bytes)
        except AttachfsError:
            self._inodes.doubt(file.ino)  # what was read before may never have been verified
            raise
        if file.is_stale:
            raise Stale("the file has changed since it was opened")
        return data

    def release(self, fh: int) -> None:
        """Close a file."""
        file = self._files.pop(fh, None)
        if file is not None:
            file.handle.close()

    def ino_of(self, fh: int) -> int:
        """Return the inode number behind an open file."""
        return self._files[fh].ino

    async def refresh(self, path: str) -> None:
        """Ask for what can change again before it is believed, at a path, or everywhere at "".

        Raises `NotFound` where nothing can be called that, and what asking for its name raises.
        """
        await self._changes.refresh(path)

    async def getxattr(self, ino: int, name: bytes) -> bytes:
        """Return an extended attribute's value; other namespaces than `user` cost nothing."""
        text = _text(name)
        if not text.startswith(_XATTR_NAMESPACE):
            raise XattrUnsupported(f"no attributes of the namespace of {text!r}")
        node = self._node(ino)
        if isinstance(node, File):
            value = (await node.xattrs()).get(text)
            if value is not None:
                return value
        raise NoSuchXattr(f"no extended attribute {text!r}")

    async def listxattr(self, ino: int) -> list[bytes]:
        """Return the names of all extended attributes."""
        node = self._node(ino)
        return [name.encode() for name in await node.xattrs()] if isinstance(node, File) else []

    def _inode(self, ino: int) -> Inode:
        inode = self._inodes.get(ino)
        if inode is None:
            raise Stale(f"inode {ino} has been forgotten")
        return inode

    def _node(self, ino: int, inode: Inode | None = None) -> Node:
        """Make the node of an inode that the kernel knows."""
        if ino == ROOT_INO:
            return self._root
        packed = (inode or self._inode(ino)).packed
        node = self._nodes.get(ino)
        return node if node and node.packed == packed else restored(self.estate, ino, packed)

    def _keep(self, node: Node, attrs: Attrs) -> Node:
        """Keep a node whose attributes have just been had; return the one that is kept."""
        kept = self._nodes.get(node.ino)
        if kept is None or kept.packed != node.packed:
            kept = node
            self._nodes[node.ino] = node
        good = attrs.size_bytes is not None and attrs.ino == node.ino
        revision, until_s = self.estate.catalog.revision.number, node.good_until_s()
        kept.answer = Answer(revision, until_s, attrs) if good else None
        return kept

    def _settle(self, node: Node) -> None:
        """Give a node another number where one that collides with it was looked up meanwhile."""
        inode = self._inodes.get(node.ino)
        if inode is not None and inode.packed != node.packed:
            node.renumber()

    def _directory(self, ino: int) -> Directory:
        node = self._node(ino)
        if not isinstance(node, Directory):
            raise NotADirectory("a file has no names in it")
        return node


@asynccontextmanager
async def _alone() -> AsyncIterator[trio.Nursery]:
    """Offer a nursery that ends with the block; a lone error is raised without its group."""
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        error = group.exceptions[0]
    else:
        return
    raise error


def _text(name: bytes) -> str:
    """Decode a name of the kernel's; what is not UTF-8 cannot exist in any view."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise NotFound("no name is other than UTF-8") from None
