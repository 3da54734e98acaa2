"""What the kernel holds of our file system, forgotten when it is no longer so."""

import threading
from contextlib import suppress
from queue import SimpleQueue

import pyfuse3


class KernelCaches:
    """Forget names, attributes and pages, in a thread.

    The kernel waits for pages whose read we have yet to answer: the event loop must not wait for
    the kernel. What it does not hold any more is forgotten already.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[int, str | None]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def forget_name(self, parent: int, name: str) -> None:
        """Forget a name in a directory, that it is there or that it is not."""
        self._later(parent, name)

    def forget_inode(self, ino: int) -> None:
        """Forget the attributes and pages of an inode."""
        self._later(ino, None)

    def _later(self, ino: int, name: str | None) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="kernel caches", daemon=True)
            self._thread.start()
        self._waiting.put((ino, name))

    def _run(self) -> None:
        while True:
            ino, name = self._waiting.get()
            with suppress(OSError):
                if name is None:
                    pyfuse3.invalidate_inode(ino)
                else:
                    pyfuse3.invalidate_entry(ino, name.encode())
