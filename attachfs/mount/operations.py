"""pyfuse3's operations, each a call of the file system and a translation of its answer."""

import os
import stat
from collections.abc import Sequence
from math import inf
from typing import Any, Final

import pyfuse3
import trio

from attachfs.errors import NotFound, ReadOnly, Stale, Unsupported
from attachfs.mount.callers import Callers
from attachfs.mount.guard import guarded
from attachfs.mount.ownership import Presentation
from attachfs.mount.pages import Pages
from attachfs.tree.attrs import Attrs
from attachfs.tree.filesystem import FileSystem

_WRITE_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_CREAT | os.O_APPEND
_BLOCK_BYTES: Final = 128 * 1024  # what cp and cat read at a time, as hinted by st_blksize
_LONGEST_S: Final = 86400.0  # what never changes is told for a day
_SECTOR_BYTES: Final = 512  # st_blocks counts these (stat(2))


class Operations(pyfuse3.Operations):
    """Serve one file system to the kernel; every handler is guarded."""

    # Forgotten inodes cannot be found again by number, which NFS re-export would need.
    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    def __init__(
        self, filesystem: FileSystem, callers: Callers, presentation: Presentation
    ) -> None:
        super().__init__()
        self._fs = filesystem
        self._callers = callers
        self._listers: dict[int, int] = {}  # by handle: readdir does not tell who asks
        self._pages = Pages()
        # pyfuse3 copies an answer before anybody else runs, so that two objects serve them all:
        # setting all their fields each time took 8 us.
        self._file_entry = _entry_of(stat.S_IFREG | presentation.file_mode, presentation)
        self._directory_entry = _entry_of(stat.S_IFDIR | presentation.directory_mode, presentation)

    @guarded
    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Find a name; a name that is not there is answered with a lifetime of its own."""
        try:
            known = self._fs.lookup_now(parent_inode, name)
            if known is not None:
                return self._entry(*known)
            with self._callers.waiting(ctx.pid):
                attrs = await self._fs.lookup(parent_inode, name)
        except NotFound:
            missing = pyfuse3.EntryAttributes()
            missing.st_ino = 0
            missing.entry_timeout = self._fs.negative_ttl_s
            return missing
        return self._entry(attrs)

    @guarded
    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Return an inode's attributes."""
        attrs = self._fs.getattr_now(inode)
        if attrs is None:
            with self._callers.waiting(ctx.pid):
                attrs = await self._fs.getattr(inode)
        return self._entry(attrs)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Take back lookups; has no answer, so nothing can go wrong for anybody."""
        for inode, lookups in inode_list:
            self._fs.forget(inode, lookups)

    @guarded
    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """Open a directory."""
        with self._callers.waiting(ctx.pid):
            fh = await self._fs.opendir(inode)
        self._listers[fh] = ctx.pid
        return fh

    @guarded
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """List entries from `start_id` on, as many as fit or as are there without waiting."""
        index = start_id
        try:
            with self._callers.waiting(self._listers[fh]):
                if start_id == 0:
                    await self._fs.rewind(fh)
                entries, left_s = self._fs.entries(fh), self._fs.entries_left_s(fh)
                entry = await entries.wait(index)
        except NotFound as error:
            # The C library takes ENOENT for the end: a short listing, and nobody would be told.
            raise Stale(f"the directory is no longer what it was: {error}") from error
        while entry is not None:
            attrs = self._fs.listed_attrs(entry)
            if not pyfuse3.readdir_reply(
                token, entry.name.encode(), self._entry(attrs, left_s), index + 1
            ):
                return
            self._fs.looked_up(entry.node, attrs)
            index += 1
            entry = entries.ready(index)

    @guarded
    async def releasedir(self, fh: int) -> None:
        """Close a directory."""
        self._listers.pop(fh, None)
        self._fs.releasedir(fh)

    @guarded
    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file for reading."""
        if flags & _WRITE_FLAGS:
            raise ReadOnly("this file system is read-only")
        opened = self._fs.open_now(inode)
        if opened is None:
            with self._callers.waiting(ctx.pid):
                opened = await self._fs.open(inode)
        if opened.size_changed:
            # From a thread: the kernel may want answers from us before it is done. No read of
            # this handle can be pending, it has not been handed out yet.
            await trio.to_thread.run_sync(_forget_size, inode)
        return pyfuse3.FileInfo(fh=opened.fh, keep_cache=opened.keep_cache)

    @guarded
    async def read(  # type: ignore[override] # any buffer will do, and a copy costs 10 us
        self, fh: int, off: int, size: int
    ) -> bytes | bytearray:
        """Return the bytes asked for: all of them, or an error, never fewer."""
        data = self._fs.read_now(fh, off, size)
        if data is not None:
            return data
        with self._pages.reading(self._fs.ino_of(fh)):
            return await self._fs.read(fh, off, size)

    @guarded
    async def flush(self, fh: int) -> None:
        """Refuse once: the kernel then asks no more on close(2)."""
        raise Unsupported("there is nothing to flush")

    @guarded
    async def release(self, fh: int) -> None:
        """Close a file."""
        self._fs.release(fh)

    @guarded
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """Return constants: `df` must never wait for a network."""
        constants = pyfuse3.StatvfsData()
        constants.f_bsize = constants.f_frsize = 4096
        constants.f_blocks = constants.f_bfree = constants.f_bavail = 0
        constants.f_files = constants.f_ffree = constants.f_favail = 0
        constants.f_namemax = 255
        return constants

    @guarded
    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        """Return an extended attribute."""
        with self._callers.waiting(ctx.pid):
            return await self._fs.getxattr(inode, name)

    @guarded
    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> list[bytes]:
        """Return the names of the extended attributes."""
        with self._callers.waiting(ctx.pid):
            return await self._fs.listxattr(inode)

    @guarded
    async def _refuse_change(self, *_args: object) -> None:
        raise ReadOnly("this file system is read-only")

    # Each has a signature of its own and none is used; the kernel refuses before us, at `ro`.
    _refuse: Any = _refuse_change
    create = link = mkdir = mknod = removexattr = rename = _refuse
    rmdir = setattr = setxattr = symlink = unlink = write = _refuse

    def _entry(self, attrs: Attrs, most_s: float = inf) -> pyfuse3.EntryAttributes:
        """Return an answer that is good until the next one is asked for.

        Its name is believed for `most_s` seconds at most.
        """
        entry = self._directory_entry if attrs.is_directory else self._file_entry
        entry.st_ino = attrs.ino
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = attrs.mtime_ns
        entry.entry_timeout = min(attrs.entry_ttl_s, most_s, _LONGEST_S)
        size_bytes = attrs.size_bytes
        if size_bytes is None:
            # The name is believed and its size is not: stat(2) asks for the attributes, which the
            # kernel does for many at once, where it looks up the names of a directory one by one.
            entry.st_size = entry.st_blocks = 0
            entry.attr_timeout = 0
        else:
            entry.st_size = size_bytes
            entry.st_blocks = -(-size_bytes // _SECTOR_BYTES)
            entry.attr_timeout = min(attrs.attr_ttl_s, _LONGEST_S)
        return entry


def _entry_of(mode: int, presentation: Presentation) -> pyfuse3.EntryAttributes:
    entry = pyfuse3.EntryAttributes()
    entry.generation = 0
    entry.st_mode = mode
    entry.st_nlink = 1
    entry.st_uid = presentation.uid
    entry.st_gid = presentation.gid
    entry.st_rdev = 0
    entry.st_blksize = _BLOCK_BYTES
    return entry


def _forget_size(inode: int) -> None:
    pyfuse3.invalidate_inode(inode, attr_only=True)
