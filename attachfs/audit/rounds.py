"""Go through every attachment below paths, several at a time."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from attachfs.audit.events import Tell, Total
from attachfs.audit.walking import Found, OnTrouble, walk
from attachfs.errors import AttachfsError
from attachfs.tree.files import AttachmentFile
from attachfs.tree.filesystem import FileSystem

# As many as the client has small requests under way at once.
_SIZERS: Final = 32
# Sizes are known that far ahead of the bytes, so that the time left can be told.
_MAX_AHEAD: Final = 10_000
_TOTAL_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Sized:
    """Hold an attachment that was found, and its size in bytes, None where nobody can tell."""

    path: str
    file: AttachmentFile
    size_bytes: int | None


async def go_round(
    fs: FileSystem,
    paths: Sequence[str],
    work: Callable[[Sized], Awaitable[None]],
    *,
    tell: Tell,
    on_trouble: OnTrouble,
    at_once: int,
    listed: bool,
    slots: trio.CapacityLimiter | None = None,
) -> None:
    """Have `work` done on every attachment at and below paths, `at_once` at a time.

    What there is in all is told as far as it is known. `listed` is as for `walk`. Where
    several go round at the same time, `slots` bound the work of all of them. Raises as `walk`, and
    what `work` raises.
    """
    slots = slots or trio.CapacityLimiter(at_once)
    async with trio.open_nursery() as nursery:
        walking = partial(walk, fs, paths, on_trouble=on_trouble, listed=listed)
        found = await nursery.start(walking)
        send, receive = trio.open_memory_channel[Sized](_MAX_AHEAD)
        nursery.start_soon(_size_up, found, send, tell)
        for _ in range(at_once):
            nursery.start_soon(_each, receive, work, slots)


async def _each(
    receive: trio.MemoryReceiveChannel[Sized],
    work: Callable[[Sized], Awaitable[None]],
    slots: trio.CapacityLimiter,
) -> None:
    async for sized in receive:
        async with slots:
            await work(sized)


async def _size_up(
    found: trio.MemoryReceiveChannel[Found], send: trio.MemorySendChannel[Sized], tell: Tell
) -> None:
    """Ask for the size of everything found and pass it on; tell the totals."""
    files = size_bytes = 0
    told_s = trio.current_time()

    async def size() -> None:
        nonlocal files, size_bytes, told_s
        async for path, file in found:
            try:
                file_bytes = (await file.attrs()).size_bytes
            except AttachfsError:  # who works on it will meet it
                file_bytes = None
            files += 1
            size_bytes += file_bytes or 0
            if trio.current_time() - told_s >= _TOTAL_EVERY_S:
                told_s = trio.current_time()
                await tell(Total(files, size_bytes, final=False))
            await send.send(Sized(path, file, file_bytes))

    async with send:
        async with trio.open_nursery() as nursery:
            for _ in range(_SIZERS):
                nursery.start_soon(size)
        await tell(Total(files, size_bytes, final=True))
