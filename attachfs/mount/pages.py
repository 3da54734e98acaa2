"""Pages in the kernel's cache that nobody could verify: forgotten once nobody reads them."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pyfuse3

from attachfs.errors import AttachfsError


class Pages:
    """Count the reads under way of each inode, and drop its pages after one of them failed.

    A large body is read while it comes: what was handed out before its hash disagreed, or before
    it broke off, is in the page cache, and a second `cat` would return a megabyte of it.
    """

    def __init__(self) -> None:
        self._reading: Counter[int] = Counter()
        self._doubtful: set[int] = set()

    @contextmanager
    def reading(self, ino: int) -> Iterator[None]:
        """Stand around one read of an inode."""
        self._reading[ino] += 1
        try:
            yield
        except AttachfsError:
            self._doubtful.add(ino)
            raise
        finally:
            self._reading[ino] -= 1
            if not self._reading[ino]:
                del self._reading[ino]
                if ino in self._doubtful:
                    self._doubtful.discard(ino)
                    # From a thread: the kernel waits for pages whose read we have yet to answer.
                    threading.Thread(target=_forget, args=(ino,), daemon=True).start()


def _forget(ino: int) -> None:
    with suppress(OSError):  # the kernel has forgotten the inode, and with it the pages
        pyfuse3.invalidate_inode(ino)
