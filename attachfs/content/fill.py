"""Take a body from the network into memory or an anonymous file, hashed on the way."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

import trio

from attachfs.archive.client import Body as IncomingBody
from attachfs.content.body import Body, FileBody, MemoryBody
from attachfs.content.verification import Expected

# Written and hashed in a worker thread by this much: a thread's round trip costs 80 us, writing
# and hashing 1 MiB about 1 ms.
_BLOCK_BYTES: Final = 1024 * 1024


async def into_memory(incoming: IncomingBody, expected: Expected) -> MemoryBody:
    """Return the whole body, verified; raises `Mismatch`, and what reading raises."""
    _check_announced(incoming, expected)
    data = bytearray()
    async for chunk in incoming.chunks:
        data += chunk
        _check_length_so_far(len(data), expected)
    expected.check(len(data), hashlib.sha256(data).hexdigest())
    return MemoryBody(bytes(data))


async def into_file(incoming: IncomingBody, expected: Expected, directory: Path) -> Body:
    """Return the whole body, verified, in an anonymous file below `directory`.

    Raises `Mismatch`, what reading raises, and `OSError` where the disk fails.
    """
    _check_announced(incoming, expected)
    with _anonymous_file(directory) as file:
        sha256 = hashlib.sha256()
        received_bytes = 0
        block = bytearray()

        def store(data: bytes) -> None:
            sha256.update(data)
            view = memoryview(data)
            while view:
                view = view[os.write(file.fileno(), view) :]

        async for chunk in incoming.chunks:
            received_bytes += len(chunk)
            _check_length_so_far(received_bytes, expected)
            block += chunk
            if len(block) >= _BLOCK_BYTES:
                await trio.to_thread.run_sync(store, bytes(block))
                block.clear()
        await trio.to_thread.run_sync(store, bytes(block))
        expected.check(received_bytes, sha256.hexdigest())
        return FileBody(os.dup(file.fileno()), received_bytes)


def _anonymous_file(directory: Path) -> "tempfile._TemporaryFileWrapper[bytes]":
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=directory, buffering=0)  # type: ignore[return-value] # a FileIO


def _check_announced(incoming: IncomingBody, expected: Expected) -> None:
    if incoming.length_bytes not in (None, expected.size_bytes):
        raise expected.mismatch(
            f"{incoming.length_bytes} bytes are offered, {expected.size_bytes} were recorded", None
        )


def _check_length_so_far(received_bytes: int, expected: Expected) -> None:
    if received_bytes > expected.size_bytes:
        raise expected.mismatch(f"more than the {expected.size_bytes} bytes recorded came", None)
