"""A read-only file system of names known from the start: what a walk through pyfuse3 has to cost.

    python -m benchmarks.static DESCRIPTION MOUNTPOINT LIFETIME_S

DESCRIPTION is a msgpack list of [kind, path], parents before what is in them: the kinds are those
of `find -printf %y`, the paths have no leading slash. It is mounted until SIGTERM.
"""

import errno
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import pyfuse3
import trio

_MODES: Final = {"d": stat.S_IFDIR | 0o555, "f": stat.S_IFREG | 0o444, "l": stat.S_IFLNK | 0o777}


class Static(pyfuse3.Operations):
    """Serve names from memory: dictionaries and listings made beforehand."""

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(self, description: Sequence[tuple[str, str]], lifetime_s: float) -> None:
        super().__init__()
        self._lifetime_s = lifetime_s
        root = pyfuse3.ROOT_INODE
        self._inodes = {root: self._attributes(root, "d")}
        self._names: dict[int, dict[bytes, pyfuse3.EntryAttributes]] = {root: {}}
        directories = {"": root}
        for ino, (kind, path) in enumerate(description, start=root + 1):
            parent, _, name = path.rpartition("/")
            self._inodes[ino] = attributes = self._attributes(ino, kind)
            self._names[directories[parent]][os.fsencode(name)] = attributes
            if kind == "d":
                directories[path] = ino
                self._names[ino] = {}
        self._listings = {ino: list(names.items()) for ino, names in self._names.items()}

    def _attributes(self, ino: int, kind: str) -> pyfuse3.EntryAttributes:
        attributes = pyfuse3.EntryAttributes()
        attributes.st_ino = ino
        attributes.st_mode = _MODES[kind]
        attributes.st_nlink = 1
        attributes.st_uid = os.getuid()
        attributes.st_gid = os.getgid()
        attributes.entry_timeout = attributes.attr_timeout = self._lifetime_s
        return attributes

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Find a name."""
        try:
            return self._names[parent_inode][name]
        except KeyError:
            raise pyfuse3.FUSEError(errno.ENOENT) from None

    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Return an inode's attributes."""
        return self._inodes[inode]

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Do nothing: everything stays."""

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """Open a directory: its handle is its inode."""
        return inode

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """List entries from `start_id` on, as many as fit."""
        listing = self._listings[fh]
        for index in range(start_id, len(listing)):
            if not pyfuse3.readdir_reply(token, *listing[index], index + 1):
                return

    async def releasedir(self, fh: int) -> None:
        """Do nothing: a handle is an inode."""


if __name__ == "__main__":
    description, mountpoint, lifetime_s = sys.argv[1:]
    entries = msgspec.msgpack.decode(Path(description).read_bytes(), type=list[tuple[str, str]])
    operations = Static(entries, float(lifetime_s))
    pyfuse3.init(operations, mountpoint, {*pyfuse3.default_options, "ro", "fsname=static"})
    trio.run(pyfuse3.main)  # SIGTERM ends it; the harness unmounts what a dead process leaves
