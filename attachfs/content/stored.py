"""A body in the disk store, verified piece by piece before it is believed."""

import hashlib
import os
import threading
from collections.abc import Callable
from typing import Final

from attachfs.content.descriptor import Descriptor

PIECE_BYTES: Final = 1024 * 1024
_DIGEST_BYTES: Final = 32
# Each block takes the interpreter's lock twice, from an event loop that wants it as well: 256 MiB
# took 0.41 s with this, 0.52 s with 128 KiB, 0.44 s with 1 MiB, which no processor's cache holds.
_BLOCK_BYTES: Final = 512 * 1024
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

    It is the running SHA-256 at the end of each 1 MiB, nothing where there is but one.
    """
    pieces = -(-size_bytes // PIECE_BYTES)
    return pieces * _DIGEST_BYTES if pieces > 1 else 0


def body_size(file_bytes: int) -> int:
    """Return the length of the body in a file of that length with its trailer."""
    pieces = -(-file_bytes // (PIECE_BYTES + _DIGEST_BYTES))
    return file_bytes if file_bytes <= PIECE_BYTES else file_bytes - pieces * _DIGEST_BYTES


def is_of_another_size(descriptor: int, digest: str, size_bytes: int) -> bool:
    """Return whether an object is whole, for all that its trailer tells, and not of `size_bytes`.

    Small ones have none, and are read to know. Raises `OSError`.
    """
    file_bytes = os.fstat(descriptor).st_size
    own_bytes = body_size(file_bytes)
    if own_bytes == size_bytes or own_bytes + trailer_size(own_bytes) != file_bytes:
        return False
    whole = bytes.fromhex(digest)
    if own_bytes > PIECE_BYTES:
        return os.pread(descriptor, _DIGEST_BYTES, file_bytes - _DIGEST_BYTES) == whole
    return hashlib.sha256(os.pread(descriptor, own_bytes, 0)).digest() == whole


class RunningDigest:
    """Hash a body as it comes and keep what its trailer is made of."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._trailer = bytearray()
        self.size_bytes = 0

    def update(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes, of any number."""
        view = memoryview(chunk)
        while view:
            part = view[: PIECE_BYTES - self.size_bytes % PIECE_BYTES]
            self._sha256.update(part)
            self.size_bytes += len(part)
            if self.size_bytes % PIECE_BYTES == 0:
                self._trailer += self._sha256.digest()
            view = view[len(part) :]

    def hexdigest(self) -> str:
        """Return the SHA-256 of all bytes so far."""
        return self._sha256.hexdigest()

    def trailer(self) -> bytes:
        """Return what stands behind the body in the store."""
        if self.size_bytes <= PIECE_BYTES:
            return b""
        if self.size_bytes % PIECE_BYTES:
            return bytes(self._trailer) + self._sha256.digest()
        return bytes(self._trailer)


class Damaged(Exception):
    """Say that an object of the store is not what was put there: it is a miss, and no error."""


class StoredBody:
    """Read one object of the store; every byte is verified in this process before it is returned.

    Sequential reading verifies as it goes, against the running SHA-256 at the end of each piece
    that stand behind the body (`trailer`). Whatever changes the file's inode, size, mtime or ctime
    begins the verification anew. All methods may be called from any thread.
    """

    def __init__(
        self,
        descriptor: int,
        digest: str,
        size_bytes: int,
        *,
        on_verified: Callable[["StoredBody"], None] = lambda _: None,
    ) -> None:
        """Take over an open descriptor; raises `Damaged` where size or trailer do not fit.

        `on_verified` is called in whatever thread verifies the last piece.
        """
        self._on_verified = on_verified
        self._descriptor = descriptor
        self._owner = Descriptor(descriptor)
        self.digest = digest
        self.size_bytes = size_bytes
        self._checkpoints = self._read_trailer()
        self._lock = threading.Lock()
        self._verified_bytes = 0
        self._sha256 = hashlib.sha256()
        self._signature = self._stat()

    @property
    def signature(self) -> Signature:
        """What the file looked like when its verification began."""
        return self._signature

    def trust(self) -> None:
        """Take the object as verified: this process has just written it, or verified it before."""
        self._verified_bytes = self.size_bytes

    @property
    def verified_bytes(self) -> int:
        """How much of the object has been verified, from its start."""
        return self._verified_bytes

    @property
    def verified(self) -> bool:
        """Tell whether all of the object has been verified."""
        return self._verified_bytes == self.size_bytes

    def read_now(self, offset: int, size_bytes: int) -> bytes | bytearray | None:
        """Return the bytes if they are verified and in the page cache, else None; never waits."""
        end = min(offset + size_bytes, self.size_bytes)
        if end > self._verified_bytes or self._stat() != self._signature:
            return None
        wanted = max(0, end - offset)
        buffer = bytearray(wanted)
        try:
            got = os.preadv(self._descriptor, [buffer], offset, os.RWF_NOWAIT)
        except OSError:  # not in the page cache, or a file system that cannot tell
            return None
        return buffer if got == wanted else None

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return the bytes, verified first as far as need be; waits for the disk.

        Raises `Damaged` where the object is not what it was, and `OSError`.
        """
        end = min(offset + size_bytes, self.size_bytes)
        self.verify(end)
        data = os.pread(self._descriptor, max(0, end - offset), offset)
        if len(data) != max(0, end - offset):
            raise Damaged(f"the object {self.digest} has been cut short")
        return data

    def verify(self, end: int, *, on_piece: Callable[[], object] = lambda: None) -> None:
        """Verify the first `end` bytes at least; waits for the disk; raises as `read`.

        `on_piece` is called in the same thread whenever some more have been verified.
        """
        end = min(end, self.size_bytes)
        while True:
            with self._lock:  # let go of after each piece: others may wait for just that one
                signature = self._stat()
                if signature != self._signature:
                    self._signature = signature
                    self._verified_bytes = 0
                    self._sha256 = hashlib.sha256()
                if self._verified_bytes >= end:
                    return
                self._verify_piece()
            on_piece()

    def _read_trailer(self) -> bytes:
        trailer_bytes = trailer_size(self.size_bytes)
        if os.fstat(self._descriptor).st_size != self.size_bytes + trailer_bytes:
            raise Damaged(f"the object {self.digest} has another size")
        trailer = os.pread(self._descriptor, trailer_bytes, self.size_bytes)
        whole = bytes.fromhex(self.digest)
        if trailer_bytes and trailer[-_DIGEST_BYTES:] != whole:
            raise Damaged(f"the trailer of the object {self.digest} is damaged")
        return trailer or whole

    def _verify_piece(self) -> None:
        number = self._verified_bytes // PIECE_BYTES
        end = min(self._verified_bytes + PIECE_BYTES, self.size_bytes)
        os.posix_fadvise(self._descriptor, end, _DISK_AHEAD_BYTES, os.POSIX_FADV_WILLNEED)
        buffer = memoryview(bytearray(_BLOCK_BYTES))
        at = self._verified_bytes
        while at < end:
            got = os.preadv(self._descriptor, [buffer[: end - at]], at)
            if not got:
                break
            self._sha256.update(buffer[:got])
            at += got
        begin = number * _DIGEST_BYTES
        if at != end or (self._sha256.digest() != self._checkpoints[begin : begin + _DIGEST_BYTES]):
            raise Damaged(f"the object {self.digest} is damaged at {self._verified_bytes}")
        self._verified_bytes = end
        if self._verified_bytes == self.size_bytes:
            self._on_verified(self)

    def _stat(self) -> Signature:
        return signature_of(self._descriptor)
