"""A body in the disk store: each piece of it is verified before it is believed, in any order."""

import hashlib
import os
import threading
from collections.abc import Callable
from typing import Final

from blake3 import blake3

from attachfs.content.descriptor import Descriptor

PIECE_BYTES: Final = 1024 * 1024
_DIGEST_BYTES: Final = 32
# While one piece is hashed the disk reads the next ones.
_DISK_AHEAD_BYTES: Final = 4 * PIECE_BYTES

# Inode, size, mtime and ctime of a file: what changes when somebody changes it.
Signature = tuple[int, int, int, int]


def signature_of(descriptor: int) -> Signature:
    """Return what an open file looks like now."""
    status = os.fstat(descriptor)
    # Evicting the file changes its ctime, and after that nobody can find it to change it.
    ctime_ns = status.st_ctime_ns if status.st_nlink else 0
    return (status.st_ino, status.st_size, status.st_mtime_ns, ctime_ns)


def trailer_size(size_bytes: int) -> int:
    """Return the length in bytes of what stands behind a body of `size_bytes`.

    It is the keyed BLAKE3 digest of each piece of 1 MiB and a seal on all of them, nothing where
    there is but one: that is verified by the SHA-256 itself.
    """
    pieces = -(-size_bytes // PIECE_BYTES)
    return (pieces + 1) * _DIGEST_BYTES if pieces > 1 else 0


def body_size(file_bytes: int) -> int:
    """Return the length of the body in a file of that length with its trailer."""
    if file_bytes <= PIECE_BYTES:
        return file_bytes
    pieces = -(-(file_bytes - _DIGEST_BYTES) // (PIECE_BYTES + _DIGEST_BYTES))
    return file_bytes - (pieces + 1) * _DIGEST_BYTES


def is_of_another_size(descriptor: int, digest: str, size_bytes: int, key: bytes) -> bool:
    """Return whether an object is whole, for all that its trailer tells, and not of `size_bytes`.

    Small ones have none, and are read to know. Raises `OSError`.
    """
    file_bytes = os.fstat(descriptor).st_size
    own_bytes = body_size(file_bytes)
    if own_bytes == size_bytes or own_bytes + trailer_size(own_bytes) != file_bytes:
        return False
    if own_bytes > PIECE_BYTES:
        trailer = os.pread(descriptor, file_bytes - own_bytes, own_bytes)
        return trailer[-_DIGEST_BYTES:] == _seal(trailer[:-_DIGEST_BYTES], digest, own_bytes, key)
    return hashlib.sha256(os.pread(descriptor, own_bytes, 0)).hexdigest() == digest


def is_of_older_format(descriptor: int, size_bytes: int) -> bool:
    """Return whether an object has the trailer of attachfs before 1.0: running SHA-256 digests."""
    pieces = -(-size_bytes // PIECE_BYTES)
    file_bytes = os.fstat(descriptor).st_size
    return pieces > 1 and file_bytes == size_bytes + pieces * _DIGEST_BYTES


def trailer_of(descriptor: int, size_bytes: int, digest: str, key: bytes) -> bytes:
    """Return what is to stand behind a body that was verified; blocks; raises `OSError`.

    Hashing its pieces takes a tenth to a half of the time of its SHA-256, and nobody waits for it.
    """
    if size_bytes <= PIECE_BYTES:
        return b""
    pieces = bytearray()
    for begin in range(0, size_bytes, PIECE_BYTES):
        data = os.pread(descriptor, min(PIECE_BYTES, size_bytes - begin), begin)
        pieces += blake3(data, key=key).digest()
    return bytes(pieces) + _seal(bytes(pieces), digest, size_bytes, key)


class RunningDigest:
    """Hash a body as it comes, by SHA-256."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size_bytes = 0

    def update(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes, of any number."""
        self._sha256.update(chunk)
        self.size_bytes += len(chunk)

    def hexdigest(self) -> str:
        """Return the SHA-256 of all bytes so far."""
        return self._sha256.hexdigest()


class Damaged(Exception):
    """Say that an object of the store is not what was put there: it is a miss, and no error."""


class StoredBody:
    """Read one object of the store; every byte is verified in this process before it is returned.

    Pieces are verified in any order, against the keyed BLAKE3 digests that were written behind the
    body when its SHA-256 had been verified. Whatever changes the file's inode, size, mtime or ctime
    begins the verification anew. All methods may be called from any thread.
    """

    def __init__(
        self,
        descriptor: int,
        digest: str,
        size_bytes: int,
        key: bytes,
        *,
        on_verified: Callable[["StoredBody"], None] = lambda _: None,
    ) -> None:
        """Take over an open descriptor; raises `Damaged` where size or trailer do not fit.

        `on_verified` is called in whatever thread verifies the last piece.
        """
        self._on_verified = on_verified
        self._descriptor = descriptor
        self._owner = Descriptor(descriptor)
        self._key = key
        self.digest = digest
        self.size_bytes = size_bytes
        self._pieces = max(1, -(-size_bytes // PIECE_BYTES))
        self._digests = self._read_trailer()
        self._lock = threading.Lock()
        self._verified = bytearray(self._pieces)
        self._left = self._pieces
        self._signature = self._stat()

    @property
    def signature(self) -> Signature:
        """What the file looked like when its verification began."""
        return self._signature

    def trust(self) -> None:
        """Take the object as verified: this process has just written it, or verified it before."""
        self._verified = bytearray(b"\1" * self._pieces)
        self._left = 0

    @property
    def verified(self) -> bool:
        """Whether all of the object has been verified."""
        return not self._left

    def is_verified(self, offset: int, end: int) -> bool:
        """Return whether these bytes have been verified."""
        return not self._left or self._first_unverified(offset, end) is None

    def read_now(self, offset: int, size_bytes: int) -> bytes | bytearray | None:
        """Return the bytes if they are verified and in the page cache, else None; never waits."""
        end = min(offset + size_bytes, self.size_bytes)
        if not self.is_verified(offset, end):
            return None
        wanted = max(0, end - offset)
        buffer = bytearray(wanted)
        try:
            got = os.preadv(self._descriptor, [buffer], offset, os.RWF_NOWAIT)
        except OSError:  # not in the page cache, or a file system that cannot tell
            return None
        # After it: what was written before or meanwhile shows.
        return buffer if got == wanted and self._stat() == self._signature else None

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return the bytes, verified first as far as need be; waits for the disk.

        Raises `Damaged` where the object is not what it was, and `OSError`.
        """
        end = min(offset + size_bytes, self.size_bytes)
        while True:
            self.verify(offset, end)
            data = os.pread(self._descriptor, max(0, end - offset), offset)
            if self._stat() == self._signature:
                break
        if len(data) != max(0, end - offset):
            raise Damaged(f"the object {self.digest} has been cut short")
        return data

    def verify(
        self, offset: int, end: int, *, on_piece: Callable[[], object] = lambda: None
    ) -> None:
        """Verify the pieces that hold these bytes; waits for the disk; raises as `read`.

        `on_piece` is called in the same thread whenever one more has been verified.
        """
        while True:
            signature = self._stat()
            with self._lock:
                if signature != self._signature:
                    self._signature = signature
                    self._verified = bytearray(self._pieces)
                    self._left = self._pieces
                number = self._first_unverified(offset, min(end, self.size_bytes))
            if number is None:
                return
            self._verify_piece(number, signature)
            on_piece()

    def _first_unverified(self, offset: int, end: int) -> int | None:
        first, last = offset // PIECE_BYTES, -(-end // PIECE_BYTES)
        found = self._verified.find(0, first, last) if end > offset else -1
        return None if found < 0 else found

    def _read_trailer(self) -> bytes:
        trailer_bytes = trailer_size(self.size_bytes)
        if os.fstat(self._descriptor).st_size != self.size_bytes + trailer_bytes:
            raise Damaged(f"the object {self.digest} has another size")
        if not trailer_bytes:
            return b""
        trailer = os.pread(self._descriptor, trailer_bytes, self.size_bytes)
        pieces, seal = trailer[:-_DIGEST_BYTES], trailer[-_DIGEST_BYTES:]
        if seal != _seal(pieces, self.digest, self.size_bytes, self._key):
            raise Damaged(f"the trailer of the object {self.digest} is damaged")
        return pieces

    def _verify_piece(self, number: int, signature: Signature) -> None:
        begin = number * PIECE_BYTES
        end = min(begin + PIECE_BYTES, self.size_bytes)
        os.posix_fadvise(self._descriptor, end, _DISK_AHEAD_BYTES, os.POSIX_FADV_WILLNEED)
        data = os.pread(self._descriptor, end - begin, begin)
        if len(data) != end - begin or not self._is_right(number, data):
            raise Damaged(f"the object {self.digest} is damaged at {begin}")
        with self._lock:
            # What was written meanwhile shows in the signature: it is verified anew then.
            if signature != self._signature or self._verified[number]:
                return
            self._verified[number] = 1
            self._left -= 1
            is_whole = not self._left
        if is_whole:
            self._on_verified(self)

    def _is_right(self, number: int, data: bytes) -> bool:
        if not self._digests:
            return hashlib.sha256(data).hexdigest() == self.digest
        at = number * _DIGEST_BYTES
        return blake3(data, key=self._key).digest() == self._digests[at : at + _DIGEST_BYTES]

    def _stat(self) -> Signature:
        return signature_of(self._descriptor)


def _seal(pieces: bytes, digest: str, size_bytes: int, key: bytes) -> bytes:
    """Return what binds the digests of pieces to the SHA-256 of the whole, and to its length."""
    sealed = bytes.fromhex(digest) + size_bytes.to_bytes(8, "big") + pieces
    return blake3(sealed, key=key).digest()
