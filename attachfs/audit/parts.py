"""Do a job in parts, each of which is told of when it is done: what was told is whole."""

import time
from collections.abc import Container, Iterator, Sequence
from contextlib import aclosing
from typing import Final

import msgspec
import trio

from attachfs.audit.events import Begun, Covered, Event, Progress, Tell, Total
from attachfs.audit.prefetch import Prefetch
from attachfs.audit.splitting import Trouble, pieces
from attachfs.audit.verify import Verify
from attachfs.audit.walking import starts_of
from attachfs.tree.filesystem import FileSystem

PartialJob = Verify | Prefetch
"""What can be done in parts: what comes of each is told by its path."""

# Handing out a part to a cluster takes some 10 ms; results are written down when one ends.
_PART_S: Final = 2.0
_MAX_PIECES: Final = 100
# While the last attachments of a part come, others are under way.
_AT_ONCE: Final = 4


class Tally:
    """Count what parts have told, and say how large the next one should be."""

    def __init__(self) -> None:
        self._pieces = self._files = self._bytes = 0
        self._piece_s: float | None = None

    def take(self, pieces: int, events: Sequence[Event], elapsed_s: float) -> None:
        """Take what a part of so many pieces told, and how long it took."""
        self._pieces += pieces
        for event in events:
            if isinstance(event, Total):
                self._files += event.files
                self._bytes += event.size_bytes
        piece_s = elapsed_s / pieces
        self._piece_s = piece_s if self._piece_s is None else (self._piece_s + piece_s) / 2

    def part_size(self) -> int:
        """Return of how many pieces a part should be, by how long those before took."""
        if self._piece_s is None:
            return 1
        return max(1, min(_MAX_PIECES, round(_PART_S / max(self._piece_s, 1e-3))))

    def total(self, pieces: int | None) -> Total:
        """Return what there is in all, as far as it can be told by how many pieces there are."""
        if pieces is None:
            return Total(self._files, self._bytes, final=False)
        factor = pieces / self._pieces
        return Total(
            round(self._files * factor), round(self._bytes * factor), final=False, estimated=True
        )

    def end(self) -> Total:
        """Return what there was in all."""
        return Total(self._files, self._bytes, final=True)


class Pieces:
    """Take the pieces of a job, but those that are `done`, as they are listed."""

    def __init__(self, fs: FileSystem, job: PartialJob, done: Container[str]) -> None:
        self._found = pieces(fs, job.paths)
        self._job = job
        self._done = done
        self._exhausted = False
        self._taken = 0
        self.trouble: list[Event] = []

    @property
    def count(self) -> int | None:
        """How many there are; None while that is not known."""
        return self._taken if self._exhausted else None

    async def take(self, most: int) -> tuple[str, ...]:
        """Return some, none once there are no more; one task at a time. Raises as `pieces`."""
        paths: list[str] = []
        while not self._exhausted and len(paths) < most:
            piece = await anext(self._found, None)
            if piece is None:
                self._exhausted = True
            elif isinstance(piece, Trouble):
                self.trouble.append(self._job.trouble(*piece))
            elif piece not in self._done:
                paths.append(piece)
        self._taken += len(paths)
        return tuple(paths)

    async def aclose(self) -> None:
        """Take no more."""
        await self._found.aclose()


async def told(
    job: PartialJob, fs: FileSystem, slots: trio.CapacityLimiter, on_progress: Tell
) -> list[Event]:
    """Do a part of a job, and return what it tells of its outcome; progress as it comes."""
    events: list[Event] = []

    async def tell(event: Event) -> None:
        match event:
            case Progress():
                await on_progress(event)
            case Begun() | Total(final=False):
                pass
            case _:
                events.append(event)

    await job.run(fs, tell, slots)
    return events


async def in_parts(job: PartialJob, fs: FileSystem, tell: Tell, done: Container[str]) -> None:
    """Do a job to its end, and tell of everything as it does by itself, but in parts.

    Each part's outcome comes together, `Covered` last; what is in `done` was covered before, and
    is left out. Cancelled, what was covered is whole. Raises as `starts_of`, before anything else.
    """
    async with job.seen(fs) as seen:
        await _in_parts(job, seen, tell, done)


async def _in_parts(job: PartialJob, fs: FileSystem, tell: Tell, done: Container[str]) -> None:
    await starts_of(fs, job.paths)
    await tell(job.begun(fs))
    found, tally = Pieces(fs, job, done), Tally()
    slots = trio.CapacityLimiter(job.at_once)
    taking, telling = trio.Lock(), trio.Lock()

    async def work() -> None:
        while True:
            async with taking:
                paths = await found.take(tally.part_size())
            if not paths:
                return
            begun_s = time.monotonic()
            part = msgspec.structs.replace(job, paths=paths, listed=True)
            events = await told(part, fs, slots, tell)
            tally.take(len(paths), events, time.monotonic() - begun_s)
            async with telling:
                await tell(tally.total(found.count))
                for event in outcome(events):
                    await tell(event)
                await tell(Covered(paths))

    async with aclosing(found), trio.open_nursery() as nursery:
        for _ in range(_AT_ONCE):
            nursery.start_soon(work)
    for event in found.trouble:
        await tell(event)
    await tell(tally.end())


def outcome(events: Sequence[Event]) -> Iterator[Event]:
    """Yield what a part told but its total, which is none of the whole."""
    return (event for event in events if not isinstance(event, Total))
