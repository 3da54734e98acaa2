"""Hand out the bytes of files."""

import msgspec
import trio

from attachfs.audit.events import Bytes, Failed, Tell
from attachfs.audit.reading import read_all
from attachfs.errors import AttachfsError, IsADirectory
from attachfs.tree.filesystem import FileSystem
from attachfs.tree.nodes import File, Handle


class CopyOut(msgspec.Struct, frozen=True, tag="copy-out"):
    """Ask for all bytes of files, one after the other.

    `max_bytes` is the size up to which a file is wanted at all; None, whatever its size.
    """

    paths: tuple[str, ...]
    max_bytes: int | None = None

    async def run(self, fs: FileSystem, tell: Tell) -> None:
        """Tell the bytes of each path in order, and where not all can be had, why."""
        for path in self.paths:
            try:
                await self._copy(fs, path, tell)
            except AttachfsError as error:
                await tell(Failed(path, str(error)))

    async def _copy(self, fs: FileSystem, path: str, tell: Tell) -> None:
        node = await fs.find(path)
        if not isinstance(node, File):
            raise IsADirectory("a directory is not read as a file")
        handle = await node.open()
        try:
            if self.max_bytes is None or handle.size_bytes <= self.max_bytes:
                await _send_all(path, handle, tell)
        finally:
            handle.close()


async def _send_all(path: str, handle: Handle, tell: Tell) -> None:
    left_bytes = handle.size_bytes

    async def send(data: bytes | bytearray) -> None:
        nonlocal left_bytes
        left_bytes -= len(data)
        await trio.lowlevel.checkpoint()
        await tell(Bytes(path, bytes(data), last=left_bytes == 0))

    await read_all(handle, send)
