"""Inode numbers: hashes that stay the same across mounts, and the table of those in use."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Generic, Protocol, TypeVar

ROOT_INO: Final = 1
_FIRST_INO: Final = 2
_MASK: Final = 2**63 - 1  # some programs hold st_ino in a signed 64-bit integer

# What an inode stands for: its kind and UUIDs. Directories have their view in it, files have not.
Key = tuple[str, ...]


class Numbered(Protocol):
    """Anything that has an inode number."""

    @property
    def ino(self) -> int:
        """The inode number."""

    @property
    def key(self) -> Key:
        """What the number stands for."""


N = TypeVar("N", bound=Numbered)


class InodeNumbers:
    """Give every key a number: a hash of the server and the key, unless that number is taken.

    The same key has the same number in every mount of the same server. Only of two live keys
    whose 63-bit hashes collide does the second get another one.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._keys: dict[int, Key] = {}
        self._displaced: dict[Key, int] = {}

    def number(self, key: Key) -> int:
        """Return the inode number of `key`; remains free for others until `claim`."""
        displaced = self._displaced.get(key)
        if displaced is not None:
            return displaced
        salt = 0
        while True:
            ino = self._hash(key, salt)
            if self._keys.get(ino, key) == key:
                return ino
            salt += 1

    def claim(self, ino: int, key: Key) -> None:
        """Keep `ino` for `key` until `free`."""
        self._keys[ino] = key
        if ino != self._hash(key, 0):
            self._displaced[key] = ino

    def free(self, ino: int) -> None:
        """Let go of a number that the kernel has forgotten."""
        key = self._keys.pop(ino, None)
        if key is not None:
            self._displaced.pop(key, None)

    def _hash(self, key: Key, salt: int) -> int:
        digest = blake2b("\0".join((self._server, *key)).encode(), digest_size=8)
        if salt:
            digest.update(salt.to_bytes(4, "big"))
        return max(int.from_bytes(digest.digest(), "big") & _MASK, _FIRST_INO)


@dataclass(slots=True)
class Inode(Generic[N]):
    """Hold what the kernel knows of a node.

    Its lookup count, the size last told in bytes, which content its page cache may hold, and
    whether that is in doubt, because a read failed.
    """

    node: N
    lookups: int = 0
    told_size_bytes: int | None = None
    content_tag: object = None
    doubtful: bool = False


class InodeTable(Generic[N]):
    """Hold the inodes that the kernel knows, by number, until it has forgotten each lookup."""

    def __init__(self, numbers: InodeNumbers, root: N) -> None:
        self._numbers = numbers
        self._inodes: dict[int, Inode[N]] = {root.ino: Inode(root, lookups=1)}

    def __len__(self) -> int:
        return len(self._inodes)

    def __getitem__(self, ino: int) -> Inode[N]:
        return self._inodes[ino]

    def get(self, ino: int) -> Inode[N] | None:
        """Return the inode if the kernel knows it."""
        return self._inodes.get(ino)

    def looked_up(self, node: N) -> Inode[N]:
        """Count a lookup of `node` and return its inode."""
        inode = self._inodes.get(node.ino)
        if inode is None:
            inode = self._inodes[node.ino] = Inode(node)
            self._numbers.claim(node.ino, node.key)
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
            self._numbers.free(ino)
