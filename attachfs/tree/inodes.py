"""Inode numbers: hashes that stay the same across mounts, and the table of those in use."""

from hashlib import blake2b
from typing import Final, Protocol

import msgspec

ROOT_INO: Final = 1
_FIRST_INO: Final = 2
_MASK: Final = 2**63 - 1  # some programs hold st_ino in a signed 64-bit integer


class Inode(msgspec.Struct, gc=False):
    """Hold what the kernel knows of a node, which `packed` says as bytes.

    Its lookup count, the size last told in bytes, and which content its page cache may hold, as a
    hash. The garbage collector does not look at it: a million took it 250 ms.
    """

    packed: bytes
    lookups: int = 0
    told_size_bytes: int | None = None
    content_hash: int | None = None


class Numbered(Protocol):
    """Anything that has an inode number."""

    @property
    def ino(self) -> int:
        """The inode number."""

    @property
    def key(self) -> str:
        """What the number is a hash of."""

    @property
    def packed(self) -> bytes:
        """The same in a few bytes."""


class InodeTable:
    """Give every key a number, and hold the inodes that the kernel knows.

    A number is a hash of the server and the key, which says what an inode stands for: its kind and
    UUIDs, of directories the view as well. It is the same in every mount of that server, unless a
    live inode has it already: of two keys that collide the second gets another one. An inode stays
    until the kernel has forgotten each lookup of it; the root stays for good. At a million inodes,
    one takes up to 270 bytes.
    """

    def __init__(self, server: str, root: bytes) -> None:
        self._server = server
        self._inodes: dict[int, Inode] = {ROOT_INO: Inode(root, lookups=1)}
        self._collided = False
        self._displaced: dict[bytes, int] = {}
        # Inodes whose pages may be of bytes that were never verified: a read of them failed.
        self._doubtful: set[int] = set()

    def __len__(self) -> int:
        return len(self._inodes)

    def number(self, key: str, packed: bytes) -> int:
        """Return the inode number of a key; it remains free for others until `looked_up`."""
        ino = self._displaced.get(packed) if self._displaced else None
        if ino is not None and self._is_free(ino, packed):
            return ino
        ino = self._hash(key, 0)
        if self._is_free(ino, packed):
            return ino
        self._collided = True
        salt = 1
        while not self._is_free(ino := self._hash(key, salt), packed):
            salt += 1
        return ino

    def get(self, ino: int) -> Inode | None:
        """Return the inode if the kernel knows it."""
        return self._inodes.get(ino)

    def looked_up(self, node: Numbered) -> Inode:
        """Count a lookup of a node and return its inode."""
        ino = node.ino
        inode = self._inodes.get(ino)
        if inode is None:
            inode = self._inodes[ino] = Inode(node.packed)
            if self._collided and ino != self._hash(node.key, 0):
                self._displaced[node.packed] = ino
        inode.lookups += 1
        return inode

    def forget(self, ino: int, lookups: int) -> None:
        """Take back lookups; the inode goes with the last. The root stays."""
        inode = self._inodes.get(ino)
        if inode is None or ino == ROOT_INO:
            return
        inode.lookups -= lookups
        if inode.lookups <= 0:
            del self._inodes[ino]
            if self._displaced:
                self._displaced.pop(inode.packed, None)
            if self._doubtful:
                self._doubtful.discard(ino)

    def doubt(self, ino: int) -> None:
        """Take note that the pages of an inode may be wrong."""
        self._doubtful.add(ino)

    def trust(self, ino: int) -> bool:
        """Tell whether the pages of an inode were not in doubt; from now on they are not."""
        doubtful = ino in self._doubtful
        self._doubtful.discard(ino)
        return not doubtful

    def _is_free(self, ino: int, packed: bytes) -> bool:
        inode = self._inodes.get(ino)
        return inode is None or inode.packed == packed

    def _hash(self, key: str, salt: int) -> int:
        digest = blake2b(f"{self._server}\0{key}".encode(), digest_size=8)
        if salt:
            digest.update(salt.to_bytes(4, "big"))
        ino = int.from_bytes(digest.digest(), "big") & _MASK
        return max(ino, _FIRST_INO)
