"""Fetch every attachment below paths into the store, for when it is wanted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import trio

from attachfs.audit.events import Begun, Failed, Fetched, Progress, Skipped, Tell
from attachfs.audit.rounds import Sized, go_round
from attachfs.errors import AttachfsError, BlockedByScan, CacheUnusable
from attachfs.tree.files import AttachmentHandle
from attachfs.tree.filesystem import FileSystem
from attachfs.tree.nodes import Node

# A download is followed in steps of this.
_STEP_BYTES: Final = 8 * 1024 * 1024


class Prefetch(msgspec.Struct, frozen=True, tag="prefetch"):
    """Ask for every attachment at and below paths to be fetched, `at_once` at a time.

    With `dry_run`, only to be told of each whether it is held. What is held is not fetched again:
    so a run that was broken off is gone on with. `listed` is as for `Verify`.
    """

    paths: tuple[str, ...]
    dry_run: bool = False
    at_once: int = 16
    listed: bool = False

    @asynccontextmanager
    async def seen(self, fs: FileSystem) -> AsyncIterator[FileSystem]:
        """Offer the file system to look at: the one that there is."""
        yield fs

    def begun(self, fs: FileSystem) -> Begun:
        """Return what is told first; raises `CacheUnusable`."""
        estate = fs.estate
        if not estate.content.max_stored_bytes:
            raise CacheUnusable("there is no cache directory to fetch to; see the log for why")
        return Begun(estate.catalog.server, estate.policy.value, estate.content.max_stored_bytes)

    def trouble(self, path: str, _: Node | None, error: AttachfsError) -> Failed:
        """Return what is told of a directory that cannot be looked into."""
        return Failed(path, str(error))

    async def run(
        self, fs: FileSystem, tell: Tell, slots: trio.CapacityLimiter | None = None
    ) -> None:
        """Do it and tell of everything; raises as `walk`. `slots` are as for `go_round`."""

        async def on_trouble(path: str, node: Node | None, error: AttachfsError) -> None:
            await tell(self.trouble(path, node, error))

        async def work(sized: Sized) -> None:
            await self._fetch(sized, tell)

        await tell(self.begun(fs))
        await go_round(
            fs,
            self.paths,
            work,
            tell=tell,
            on_trouble=on_trouble,
            at_once=self.at_once,
            listed=self.listed,
            slots=slots,
        )

    async def _fetch(self, sized: Sized, tell: Tell) -> None:
        try:
            handle = await sized.file.open()
            try:
                content = sized.file.estate.content
                held = not handle.size_bytes or await content.holds(
                    handle.digest, handle.size_bytes
                )
                if not held and not self.dry_run:
                    await _await_body(handle, tell)
                    await content.settle(handle.digest)
                else:
                    await tell(Progress(handle.size_bytes))
            finally:
                handle.close()
        except BlockedByScan as error:
            reason = str(error).removeprefix(f"{sized.file.path.path}: ")
            await tell(Skipped(sized.path, reason))
        except AttachfsError as error:
            await tell(Failed(sized.path, str(error)))
        else:
            await tell(Fetched(sized.path, handle.size_bytes, held))


async def _await_body(handle: AttachmentHandle, tell: Tell) -> None:
    """Wait until all of a body is there: a byte can be read when all before it have come."""
    done_bytes = 0
    while done_bytes < handle.size_bytes:
        next_bytes = min(done_bytes + _STEP_BYTES, handle.size_bytes)
        await handle.read(next_bytes - 1, 1)
        await tell(Progress(next_bytes - done_bytes))
        done_bytes = next_bytes
