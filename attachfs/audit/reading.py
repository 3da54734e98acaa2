"""Read an attachment from its start to its end."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from attachfs.tree.files import AttachmentHandle
from attachfs.tree.nodes import Handle

STEP_BYTES: Final = 1024 * 1024
# Hashing less takes less time than handing it to a thread.
_INLINE_BYTES: Final = 64 * 1024

Take = Callable[[bytes | bytearray], Awaitable[None]]
"""Take the next bytes."""


async def read_all(handle: Handle, take: Take) -> None:
    """Hand over all bytes in order, at most 1 MiB at a time; raises what reading raises."""
    at_bytes = 0
    while at_bytes < handle.size_bytes:
        data = await handle.read(at_bytes, STEP_BYTES)
        at_bytes += len(data)
        await take(data)


async def sha256_of(handle: AttachmentHandle, progress: Callable[[int], Awaitable[None]]) -> str:
    """Return the SHA-256 of all bytes; `progress` takes their number, bit by bit."""
    digest = hashlib.sha256()

    async def take(data: bytes | bytearray) -> None:
        if len(data) <= _INLINE_BYTES:
            digest.update(data)
        else:
            await trio.to_thread.run_sync(digest.update, data)
        await progress(len(data))

    await read_all(handle, take)
    return digest.hexdigest()
