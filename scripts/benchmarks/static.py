"""A read-only file system of names known from the start: what a walk through pyfuse3 has to cost.

    python -m benchmarks.static DESCRIPTION MOUNTPOINT LIFETIME_S

DESCRIPTION is a msgpack list of [kind, path], parents before what is in them: the kinds are those
of `find -printf %y`, the paths have no leading slash.
"""

import errno
import os
import signal
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
        root = pyfuse3.ROOT_INODE
        self._inodes = {root: _attributes(root, "d", lifetime_s)}
        names: dict[int, dict[bytes, pyfuse3.EntryAttributes]] = {root: {}}
        directories = {"": root}
        for ino, (kind, path) in enumerate(description, start=root + 1):
            parent, _, name = path.rpartition("/")
            self._inodes[ino] = attributes = _attributes(ino, kind, lifetime_s)
            names[directories[parent]][os.fsencode(name)] = attributes
            if kind == "d":
                directories[path] = ino
                names[ino] = {}
        self._names = names
        self._listings = {ino: list(children.items()) for ino, children in names.items()}

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


def _attributes(ino: int, kind: str, lifetime_s: float) -> pyfuse3.EntryAttributes:
    attributes = pyfuse3.EntryAttributes()
    attributes.st_ino = ino
    attributes.st_mode = _MODES[kind]
    attributes.st_nlink = 1
    attributes.st_uid = os.getuid()
    attributes.st_gid = os.getgid()
    attributes.entry_timeout = attributes.attr_timeout = lifetime_s
    return attributes


async def _serve(operations: Static, mountpoint: str) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        pyfuse3.init(operations, mountpoint, {*pyfuse3.default_options, "ro", "fsname=static"})
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pyfuse3.main)
                async for _ in signals:
                    nursery.cancel_scope.cancel()
        finally:
            pyfuse3.close()


def main() -> None:
    """Mount what a description says, until SIGTERM."""
    description, mountpoint, lifetime_s = sys.argv[1:]
    entries = msgspec.msgpack.decode(Path(description).read_bytes(), type=list[tuple[str, str]])
    trio.run(_serve, Static(entries, float(lifetime_s)), mountpoint)


if __name__ == "__main__":
    main()
