"""Find every attachment below paths of the tree."""

from collections.abc import Awaitable, Callable, Container, Sequence
from typing import Final, NamedTuple

import trio

from attachfs.errors import AttachfsError, UsageError
from attachfs.tree.files import AttachmentFile, SidecarFile
from attachfs.tree.filesystem import FileSystem
from attachfs.tree.names import AS_OF, BY_NAME, SIDECAR_SUFFIX
from attachfs.tree.nodes import Directory, Entry, Node, RootDirectory
from attachfs.tree.paths import parts_of

# Directories that are looked into at the same time, each for one or two round trips.
_WALKERS: Final = 16
# What is found ahead of those who work on it, so that totals are known early.
_MAX_AHEAD: Final = 10_000
# They show what other views show, under other names.
_REPEATING: Final = frozenset({BY_NAME, AS_OF})


class Found(NamedTuple):
    """Name an attachment that was found; `path` is where, below the root."""

    path: str
    file: AttachmentFile


OnTrouble = Callable[[str, Node | None, AttachfsError], Awaitable[None]]
"""Be told of a directory, by its path, that cannot be looked into, and of why.

The node is None where nothing is called that any more.
"""


async def walk(
    fs: FileSystem,
    paths: Sequence[str],
    *,
    on_trouble: OnTrouble,
    listed: bool = False,
    task_status: trio.TaskStatus[trio.MemoryReceiveChannel[Found]],
) -> None:
    """Send every attachment at and below paths, each path of it once; in no order.

    The channel is the value that starting this task gives. The root stands for all assets and
    public assets, not for the views that show them again. Raises as `starts_of`, before anything
    is sent; of paths that are `listed` already, one that is gone is trouble like any other.
    """
    starts = {} if listed else await starts_of(fs, paths)
    send, receive = trio.open_memory_channel[Found](_MAX_AHEAD)
    walk = _Walk(send, on_trouble)
    task_status.started(receive)
    async with send, trio.open_nursery() as nursery:
        for path, node in starts.items():
            await walk.visit(nursery, path, node)
        for path in paths if listed else ():
            try:
                node = await fs.find(path)
            except AttachfsError as error:
                await on_trouble(path, None, error)
            else:
                await walk.visit(nursery, path, node)


async def starts_of(fs: FileSystem, paths: Sequence[str]) -> dict[str, Node]:
    """Return what paths name, by path: an attachment for its sidecar, nothing that is in another.

    Raises `NotFound` for a path that names nothing, `UsageError` for one that names a file which
    is no attachment, and what asking for the name raises.
    """
    named = dict.fromkeys("/".join(parts_of(path)) for path in paths)
    starts = dict([await _start(fs, path) for path in named])
    return {path: node for path, node in starts.items() if not _is_below(path, starts)}


def below(path: str, name: str) -> str:
    """Return the path of a name in the directory at `path`."""
    return f"{path}/{name}" if path else name


def repeats(directory: Directory, entry: Entry) -> bool:
    """Tell whether an entry shows again what others in the directory show."""
    return isinstance(directory, RootDirectory) and entry.name in _REPEATING


def _is_below(path: str, others: Container[str]) -> bool:
    """Tell whether a path is in the directory that another one names."""
    parts = parts_of(path)
    return any("/".join(parts[:length]) in others for length in range(len(parts)))


async def _start(fs: FileSystem, path: str) -> tuple[str, Node]:
    """Return where to begin; a sidecar stands for its attachment."""
    node = await fs.find(path)
    if isinstance(node, SidecarFile):
        path = path.removesuffix(SIDECAR_SUFFIX)
        node = AttachmentFile.of(node.estate, node.path)
    if isinstance(node, AttachmentFile):
        return path, node  # where it does not exist, that is for who looks at it to say
    await node.attrs()
    if not isinstance(node, Directory):
        raise UsageError(f"{path} is no attachment; name one, or a directory")
    return path, node


class _Walk:
    def __init__(self, send: trio.MemorySendChannel[Found], on_trouble: OnTrouble) -> None:
        self._send = send
        self._on_trouble = on_trouble
        self._walkers = trio.CapacityLimiter(_WALKERS)

    async def visit(self, nursery: trio.Nursery, path: str, node: Node) -> None:
        """Visit a node and all below it, in tasks of their own as far as there may be more."""
        if isinstance(node, AttachmentFile):
            await self._send.send(Found(path, node))
        elif isinstance(node, Directory):
            try:
                await self._visit_entries(nursery, path, node)
            except AttachfsError as error:
                await self._on_trouble(path, node, error)

    async def _visit_entries(self, nursery: trio.Nursery, path: str, directory: Directory) -> None:
        entries = await directory.entries()
        index = 0
        while (entry := await entries.wait(index)) is not None:
            index += 1
            if repeats(directory, entry):
                continue
            if not entry.node.is_directory:
                await self.visit(nursery, below(path, entry.name), entry.node)
                continue
            token = object()
            try:
                self._walkers.acquire_on_behalf_of_nowait(token)
            except trio.WouldBlock:
                await self.visit(nursery, below(path, entry.name), entry.node)
            else:
                nursery.start_soon(self._visit_beside, nursery, token, path, entry)
        if entries.withheld is not None:
            await self._on_trouble(path, directory, entries.withheld)

    async def _visit_beside(
        self, nursery: trio.Nursery, token: object, path: str, entry: Entry
    ) -> None:
        try:
            await self.visit(nursery, below(path, entry.name), entry.node)
        finally:
            self._walkers.release_on_behalf_of(token)
