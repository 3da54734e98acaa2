"""The disk store: verified bodies by their SHA-256, shared by all mounts of a user."""

import fcntl
import hashlib
import itertools
import os
import secrets
import threading
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

import structlog
from cachetools import LRUCache

from attachfs.content.descriptor import Descriptor
from attachfs.content.piece_key import make_key
from attachfs.content.quota import Quota
from attachfs.content.sinks import write_all
from attachfs.content.stored import (
    PIECE_BYTES,
    Damaged,
    RunningDigest,
    Signature,
    StoredBody,
    is_of_another_size,
    is_of_older_format,
    signature_of,
    trailer_of,
    trailer_size,
)
from attachfs.content.stored_files import orphaned, take_lock
from attachfs.files import open_regular

_STEP_BYTES: Final = 64 * 1024 * 1024  # for which a draft asks for room at a time
_MAX_VERIFIED: Final = 100_000
# An object's time of last use is written at most this often: writing it costs the other mounts
# that share the store their verification.
_TOUCH_EVERY_NS: Final = 60 * 10**9
_DRAFT_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_log = structlog.get_logger(__name__)


class Draft:
    """Take the bytes of one body until it is known whether they are the right ones.

    Must be ended by `keep` or `drop`. All methods block. Room is made as the bytes come: a size
    that is declared and never comes evicts little.
    """

    def __init__(self, path: Path, descriptor: int, quota: Quota, max_bytes: int) -> None:
        """Take what the body and its trailer will have, `max_bytes`."""
        self._path = path
        self._quota = quota
        self._max_bytes = max_bytes
        self._reserved_bytes = 0
        self.descriptor = descriptor
        self._owner = Descriptor(descriptor)

    def begin(self) -> None:
        """Make room for the first bytes; raises `OSError` where there never is room for all."""
        self._quota.require(self._max_bytes)
        self._reserve(0)

    def write(self, chunk: bytes | memoryview, offset: int) -> None:
        """Write all of a chunk at `offset` bytes; raises `OSError`."""
        end_bytes = offset + len(chunk)
        if end_bytes > self._reserved_bytes:
            self._reserve(end_bytes)
        write_all(self.descriptor, chunk, offset)

    def _reserve(self, end_bytes: int) -> None:
        reserved_bytes = max(end_bytes, min(end_bytes + _STEP_BYTES, self._max_bytes))
        os.ftruncate(self.descriptor, reserved_bytes)
        self._quota.reserve(reserved_bytes - self._reserved_bytes)
        self._reserved_bytes = reserved_bytes

    def keep(self, path: Path) -> None:
        """Give it its name; raises `OSError`."""
        self._path.rename(path)
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def drop(self) -> None:
        """Remove it; its descriptor stays open."""
        with suppress(OSError):
            self._path.unlink()
            self._quota.give_back(self._reserved_bytes)


class Store:
    """Keep verified bodies below `root`, one file each, at most `max_bytes` together.

    `min_free_fraction` of the disk is left free. Nothing is synced: what a crash damages is found
    by verification and is a miss. Files have mode 0600, directories 0700. All methods block and
    may be called from any thread; several processes may share a root.
    """

    def __init__(self, root: Path, *, max_bytes: int, min_free_fraction: float) -> None:
        self._root = root
        self._objects = root / "sha256"
        self._drafts = root / "drafts"
        self._quota = Quota(
            self._objects,
            self._drafts,
            root / "ledger",
            max_bytes=max_bytes,
            min_free_fraction=min_free_fraction,
        )
        self._prefix = f"{secrets.token_hex(8)}-"
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._live: WeakValueDictionary[str, StoredBody] = WeakValueDictionary()
        self._verified: LRUCache[str, Signature] = LRUCache(_MAX_VERIFIED)
        self._refused: set[str] = set()

    @property
    def max_bytes(self) -> int:
        """The most bytes that may be in use."""
        return self._quota.max_bytes

    def used_bytes(self) -> int:
        """Return how many bytes are in use, by the last count; 0 where that cannot be read."""
        return self._quota.used_bytes()

    def prepare(self) -> None:
        """Make the directories, remove what crashes left, count; raises `OSError`."""
        self._make_directories()
        for draft in self._drafts.iterdir():
            _remove_orphan(draft)
        self._quota.recount()

    def remove(self, before_ns: int) -> tuple[int, int]:
        """Remove the objects last used before a time, in nanoseconds since 1970, and orphans.

        Returns how many files and bytes that was. What processes have open they keep until they
        close it. Raises `OSError`.
        """
        files = removed_bytes = 0
        for draft in self._drafts.iterdir():
            with suppress(FileNotFoundError):  # it has been kept, or dropped, meanwhile
                size_bytes = draft.stat().st_size
                if _remove_orphan(draft):
                    files += 1
                    removed_bytes += size_bytes
        objects, objects_bytes = self._quota.remove(before_ns)
        return files + objects, removed_bytes + objects_bytes

    def create(self, size_bytes: int) -> Draft:
        """Return a draft for a body of `size_bytes`, others evicted for it; raises `OSError`."""
        path, descriptor = self._new_file()
        max_bytes = size_bytes + trailer_size(size_bytes)
        draft = Draft(path, descriptor, self._quota, max_bytes)
        try:
            draft.begin()
        except OSError:
            draft.drop()
            raise
        return draft

    def keep(self, draft: Draft, digest: RunningDigest) -> StoredBody:
        """Make a verified draft an object; returns its body. Raises `OSError`."""
        size_bytes = digest.size_bytes
        trailer = trailer_of(draft.descriptor, size_bytes, digest.hexdigest(), self.key)
        draft.write(trailer, size_bytes)
        self._name(draft, digest.hexdigest())
        body = StoredBody(os.dup(draft.descriptor), digest.hexdigest(), digest.size_bytes, self.key)
        body.trust()
        with self._lock:
            self._refused.discard(body.digest)
            self._live[body.digest] = body
            self._verified[body.digest] = body.signature
        return body

    @cached_property
    def key(self) -> bytes:
        """The key of the digests of pieces, the same for all who share the store; made once.

        In a file beside the objects: what damages those does not make digests that fit.
        """
        return make_key(self._root)

    def put(self, data: bytes, digest: str) -> None:
        """Store a small verified body, of one piece at most; raises `OSError`."""
        draft = self.create(len(data))
        try:
            draft.write(data, 0)
            self._name(draft, digest)
        except OSError:
            draft.drop()
            raise
        with self._lock:
            self._refused.discard(digest)

    def get(self, digest: str, size_bytes: int) -> bytes | None:
        """Return a small object whole, verified now; None where there is no good one."""
        with self._lock:
            if digest in self._refused:
                return None
        try:
            with open(open_regular(self._path(digest)), "rb", buffering=0) as file:  # noqa: PTH123
                data = file.read(PIECE_BYTES + 1)
                _touch(file.fileno())
        except OSError:
            return None
        if len(data) > PIECE_BYTES:  # what is declared is another size
            return None
        if hashlib.sha256(data).hexdigest() == digest:
            return data if len(data) == size_bytes else None
        self.discard(digest, f"the object {digest} is damaged")
        return None

    def find(self, digest: str, size_bytes: int) -> StoredBody | None:
        """Return the object with that digest, None where there is no whole one of that size.

        One that is whole and of another size is left alone: it is the declared size that is wrong.
        """
        with self._lock:
            body = self._live.get(digest)
            if digest in self._refused:
                return None
        if body is not None and body.size_bytes == size_bytes:
            return body
        path = self._path(digest)
        try:
            descriptor = open_regular(path)
        except OSError:
            return None
        try:
            before = signature_of(descriptor)
            _touch(descriptor)
            body = self._opened(descriptor, digest, size_bytes)
        except (Damaged, OSError) as error:
            self.discard(digest, str(error))
            return None
        if body is None:
            return None
        with self._lock:
            if self._verified.get(digest) == before:
                body.trust()
                self._verified[digest] = body.signature
            return self._live.setdefault(digest, body)

    def _opened(self, descriptor: int, digest: str, size_bytes: int) -> StoredBody | None:
        """Return the body in a file, whose descriptor is taken over; raises `Damaged`."""
        is_other = is_of_another_size(descriptor, digest, size_bytes, self.key)
        is_old = is_of_older_format(descriptor, size_bytes)
        if not is_other and not is_old:
            return StoredBody(descriptor, digest, size_bytes, self.key, on_verified=self._learn)
        os.close(descriptor)
        if is_old and not is_other:
            self._remove(digest)
        return None

    def _learn(self, body: StoredBody) -> None:
        """Remember that a body has been verified to its end."""
        with self._lock:
            self._verified[body.digest] = body.signature

    def discard(self, digest: str, reason: str) -> None:
        """Remove a damaged object; it is a miss, also where the disk lets nothing be removed."""
        _log.warning("an object of the store is damaged, it is fetched again", reason=reason)
        self._remove(digest)

    def _remove(self, digest: str) -> None:
        path = self._path(digest)
        with self._lock:
            self._live.pop(digest, None)
            self._verified.pop(digest, None)
        try:
            size_bytes = path.lstat().st_size
            path.unlink()
        except FileNotFoundError:
            return
        except OSError:
            with self._lock:
                self._refused.add(digest)
            return
        with suppress(OSError):
            self._quota.give_back(size_bytes)

    def _new_file(self) -> tuple[Path, int]:
        """Return an empty file for a draft, locked as long as its descriptor is open."""
        while True:
            # Names of our own: mkstemp's took 0.1 ms each.
            path = self._drafts / f"{self._prefix}{next(self._numbers)}"
            try:
                descriptor = os.open(path, _DRAFT_FLAGS, 0o600)
            except FileNotFoundError:  # somebody has removed the directories
                self._make_directories()
                descriptor = os.open(path, _DRAFT_FLAGS, 0o600)
            try:
                if take_lock(path, descriptor):
                    return path, descriptor
            except OSError:
                os.close(descriptor)
                path.unlink(missing_ok=True)
                raise
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def _make_directories(self) -> None:
        for directory in (self._root, self._objects, self._drafts):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _name(self, draft: Draft, digest: str) -> None:
        path = self._path(digest)
        try:
            draft.keep(path)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            draft.keep(path)

    def _path(self, digest: str) -> Path:
        return self._objects / digest[:2] / digest[2:]


def _remove_orphan(draft: Path) -> bool:
    """Remove a draft of a process that has ended; tell whether it was one."""
    with suppress(OSError), orphaned(draft) as is_orphan:
        if is_orphan:
            draft.unlink()
        return is_orphan
    return False


def _touch(descriptor: int) -> None:
    """Note that an object is used now, where that can be noted."""
    if time.time_ns() - os.fstat(descriptor).st_mtime_ns > _TOUCH_EVERY_NS:
        with suppress(OSError):  # a disk that has become read-only still has what it has
            os.utime(descriptor)
