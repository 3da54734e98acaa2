"""Where a body goes while it comes: a draft of the store, or memory where there is no store."""

import os
from typing import Final, Protocol

from attachfs.content.descriptor import Descriptor

# The kernel takes page-cache memory in pieces as large as what is written. In pieces of 1 MiB a
# virtual machine gave it memory that was never touched: 256 MiB took 0.45 s, and 0.07 s so.
_WRITE_BYTES: Final = 256 * 1024


class Sink(Protocol):
    """Take the bytes of a body, to be read by position from its descriptor meanwhile."""

    descriptor: int

    def write(self, chunk: bytes | memoryview, offset: int) -> None:
        """Write all of a chunk at `offset` bytes; blocks; raises `OSError`."""

    def drop(self) -> None:
        """Forget the bytes; who reads by the descriptor may go on."""


class MemorySink:
    """Hold a body in memory that no file system knows of (memfd_create(2))."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("attachfs", os.MFD_CLOEXEC)
        self._owner = Descriptor(self.descriptor)

    def write(self, chunk: bytes | memoryview, offset: int) -> None:
        """Write all of a chunk; raises `OSError` where there is no memory."""
        write_all(self.descriptor, chunk, offset)

    def drop(self) -> None:
        """Do nothing: the memory goes with the descriptor."""


def write_all(descriptor: int, chunk: bytes | memoryview, offset: int) -> None:
    """Write all of a chunk at `offset` bytes of a file; raises `OSError`."""
    view = memoryview(chunk)
    while view:
        written = os.pwrite(descriptor, view[:_WRITE_BYTES], offset)
        view = view[written:]
        offset += written


def copy(source: int, target: int, size_bytes: int) -> None:
    """Copy the first `size_bytes` of one open file to another; raises `OSError`."""
    os.lseek(target, 0, os.SEEK_SET)
    offset = 0
    while offset < size_bytes:
        copied = os.sendfile(target, source, offset, size_bytes - offset)
        if not copied:
            raise OSError(f"only {offset} of {size_bytes} bytes are there to copy")
        offset += copied
