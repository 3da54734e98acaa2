"""Hold a directory of objects, shared by processes, to a bound of bytes."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import Final

import structlog

from attachfs.content.stored_files import stored_files
from attachfs.files import lock, open_regular

# Evicting goes this far below the bound (a sixteenth), so that a full store does not look at all
# of its objects for each new one.
_SLACK_SHIFT: Final = 4
_USED_DIGITS: Final = 20
# Whoever evicts holds the lock for a second at most; one that holds it for longer is not waited for
# again for a while.
_LOCK_S: Final = 1.0
_IMPATIENT_S: Final = 10.0

_log = structlog.get_logger(__name__)


class Quota:
    """Count the bytes below `objects` and in `drafts`, and evict the least recently used objects.

    A draft has its full length from the start, so that what others are still writing counts.
    The count stands in the file `ledger`, locked (flock(2)) while it is changed, so that several
    processes share one bound; it is counted anew whenever something is evicted. A process that
    holds the lock may be stopped: after a second, the others go on without it. What is counted then
    may be wrong, until the lock can be had and all is counted anew. A file's mtime is when it was
    last used. All methods block and may be called from any thread.
    """

    def __init__(
        self, objects: Path, drafts: Path, ledger: Path, *, max_bytes: int, min_free_fraction: float
    ) -> None:
        self._objects = objects
        self._drafts = drafts
        self._ledger = ledger
        self.max_bytes = max_bytes
        self._min_free_fraction = min_free_fraction
        self._patient_from_s = -inf
        self._is_doubtful = False

    def used_bytes(self) -> int:
        """Return the bytes in use, by the last count; 0 where that cannot be read."""
        try:
            ledger = open_regular(self._ledger)
        except OSError:
            return 0
        try:
            return _read(ledger)
        finally:
            os.close(ledger)

    def recount(self) -> int:
        """Count the bytes in use and return them."""
        with self._locked() as ledger:
            used_bytes = self._counted_bytes()
            _write(ledger, used_bytes)
        return used_bytes

    def require(self, size_bytes: int) -> None:
        """Raise `OSError` (ENOSPC) where so much has no room even with everything evicted."""
        missing_bytes = self._missing_free_bytes(size_bytes)
        if missing_bytes > 0 and missing_bytes > self._counted_bytes():
            raise OSError(errno.ENOSPC, "the disk of the cache is almost full")

    def reserve(self, size_bytes: int) -> None:
        """Make room for `size_bytes` more of a draft, which are there already, evicting the oldest.

        An object larger than all of the bound evicts everything and is let in. Raises `OSError`
        (ENOSPC) where even then too little of the disk would be left free.
        """
        with self._locked() as ledger:
            used_bytes = _read(ledger) + size_bytes
            if used_bytes > self.max_bytes or self._missing_free_bytes(size_bytes) > 0:
                used_bytes = self._evict(self._missing_free_bytes(size_bytes))
                if self._missing_free_bytes(size_bytes) > 0:
                    _write(ledger, used_bytes - size_bytes)
                    raise OSError(errno.ENOSPC, "the disk of the cache is almost full")
            _write(ledger, used_bytes)

    def give_back(self, size_bytes: int) -> None:
        """Take back a reservation, or what an object used that is no more."""
        with self._locked() as ledger:
            _write(ledger, max(0, _read(ledger) - size_bytes))

    def remove(self, before_ns: int) -> tuple[int, int]:
        """Remove what was last used before a time, in nanoseconds since 1970.

        Returns how many files and bytes that was. Raises `OSError`.
        """
        files = removed_bytes = 0
        with self._locked() as ledger:
            for file in stored_files(self._objects):
                if file.used_ns < before_ns:
                    with suppress(FileNotFoundError):
                        os.unlink(file.path)  # noqa: PTH108 - a string, of up to 100,000
                        files += 1
                        removed_bytes += file.size_bytes
            _write(ledger, self._counted_bytes())
        return files, removed_bytes

    def _evict(self, missing_free_bytes: int) -> int:
        """Remove the oldest files down to the bound and some more; returns the bytes left."""
        files = sorted(stored_files(self._objects))
        used_bytes = sum(file.size_bytes for file in files) + self._drafted_bytes()
        excess_bytes = max(used_bytes - self.max_bytes, missing_free_bytes, 0)
        goal_bytes = used_bytes - excess_bytes - (self.max_bytes >> _SLACK_SHIFT)
        for file in files:
            if used_bytes <= goal_bytes:
                break
            with suppress(FileNotFoundError):  # another process was faster
                os.unlink(file.path)  # noqa: PTH108 - a string, of up to 100,000
            used_bytes -= file.size_bytes
        return used_bytes

    def _counted_bytes(self) -> int:
        return sum(file.size_bytes for file in stored_files(self._objects)) + self._drafted_bytes()

    def _drafted_bytes(self) -> int:
        """Return the length of all drafts."""
        drafted_bytes = 0
        with os.scandir(self._drafts) as drafts:
            for draft in drafts:
                with suppress(FileNotFoundError):
                    drafted_bytes += draft.stat(follow_symlinks=False).st_size
        return drafted_bytes

    def _missing_free_bytes(self, size_bytes: int) -> int:
        disk = os.statvfs(self._objects)
        wanted_bytes = int(disk.f_blocks * disk.f_frsize * self._min_free_fraction)
        return wanted_bytes + size_bytes - disk.f_bavail * disk.f_frsize

    @contextmanager
    def _locked(self) -> Iterator[int]:
        ledger = open_regular(self._ledger, os.O_RDWR | os.O_CREAT)
        try:
            is_patient = time.monotonic() >= self._patient_from_s
            if not lock(ledger, limit_s=_LOCK_S if is_patient else 0):
                if is_patient:
                    _log.warning(
                        "another process holds the lock of the cache; going on without it",
                        ledger=str(self._ledger),
                    )
                self._patient_from_s = time.monotonic() + _IMPATIENT_S
                self._is_doubtful = True
            elif self._is_doubtful:
                _write(ledger, self._counted_bytes())
                self._is_doubtful = False
            yield ledger
        finally:
            os.close(ledger)


def _read(ledger: int) -> int:
    text = os.pread(ledger, _USED_DIGITS, 0)
    return int(text) if text.isdigit() else 0


def _write(ledger: int, used_bytes: int) -> None:
    os.pwrite(ledger, b"%0*d" % (_USED_DIGITS, used_bytes), 0)
