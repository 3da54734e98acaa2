"""What is asked of the tree for fsspec: what there is, in words of fsspec's, and bytes."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import trio

from attachfs.archive.models import Info
from attachfs.audit.look import kind_of
from attachfs.audit.reading import STEP_BYTES
from attachfs.audit.walking import below
from attachfs.errors import AttachfsError, Denied, IsADirectory, NotFound, Unauthenticated
from attachfs.tree.attrs import Attrs
from attachfs.tree.files import InfoFile
from attachfs.tree.filesystem import FileSystem
from attachfs.tree.nodes import Directory, Entry, File, Handle, Node
from attachfs.wording import NS_PER_S

T = TypeVar("T")
Details = dict[str, Any]
"""What fsspec calls info: name, size in bytes, type and more of one path."""

# Files, or directories, that are asked for at the same time.
_AT_ONCE: Final = 64


async def identity(fs: FileSystem) -> str:
    """Return which archive it is: its URL."""
    await trio.lowlevel.checkpoint()
    return fs.estate.catalog.server


async def refresh(fs: FileSystem, path: str) -> None:
    """Have what is at and below a path asked for again."""
    await fs.refresh(path)


async def describe(fs: FileSystem, path: str) -> Details:
    """Return the details of a path; of an attachment, with what `/info` says."""
    return await _described(path, await fs.find(path))


async def entries(
    fs: FileSystem, path: str, *, sizes: bool
) -> tuple[list[Details], AttachfsError | None]:
    """Return the details of everything in a directory; for a file, its own.

    The second value is why entries may be missing that the token may not see, None where none
    are. With `sizes`, entries that no longer exist are left out, and a size is None only where the
    token may not know it. Without, unknown sizes are None and cost no request. Raises where the
    directory or any of its entries cannot be known.
    """
    node = await fs.find(path)
    if not isinstance(node, Directory):
        return [await _described(path, node)], None
    await node.attrs()  # it may turn out not to exist
    inside, withheld = await _inside(path, node, sizes=sizes)
    return [details for _, details in inside], withheld


async def everything(
    fs: FileSystem, path: str, *, max_depth: int | None, sizes: bool
) -> list[Details]:
    """Return the details of everything below a directory, in no order; for a file, its own.

    `max_depth` is the number of levels to look into, None for all; `sizes` is as for `entries`.
    Directories that turn out not to exist are left out, with all below them. Raises `NotFound`
    where the path itself does not exist, and the error of any directory that cannot be known:
    the answer is complete, or it is an error.
    """
    node = await fs.find(path)
    if not isinstance(node, Directory):
        return [await _described(path, node)]
    await node.attrs()
    return await _Tree(sizes=sizes).below(path, node, max_depth)


class _Tree:
    """Collect what is below a directory, many directories at a time."""

    def __init__(self, *, sizes: bool) -> None:
        self._sizes = sizes
        self._limiter = trio.CapacityLimiter(_AT_ONCE)
        self._found: list[Details] = []
        self._gone: set[str] = set()

    async def below(self, path: str, directory: Directory, levels: int | None) -> list[Details]:
        """Return the details; raises `NotFound` where the directory itself is gone by now."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._visit, nursery, ((path, directory),), levels)
        if path in self._gone:
            raise NotFound(f"{path!r} is gone")
        if not self._gone:
            return self._found
        return [details for details in self._found if not self._is_gone(details["name"])]

    async def _visit(
        self, nursery: trio.Nursery, way: tuple[tuple[str, Directory], ...], levels: int | None
    ) -> None:
        """Look into the last directory of the way to it."""
        path, directory = way[-1]
        try:
            async with self._limiter:
                inside, withheld = await _inside(path, directory, sizes=self._sizes)
        except NotFound:
            self._gone.add(path)
            await self._look_again(way[:-1])
            return
        if withheld is not None:
            raise withheld
        self._found.extend(details for _, details in inside)
        levels = None if levels is None else levels - 1
        for entry, details in inside:
            if isinstance(entry.node, Directory) and levels != 0:
                further = (*way, (details["name"], entry.node))
                nursery.start_soon(self._visit, nursery, further, levels)

    async def _look_again(self, way: Sequence[tuple[str, Directory]]) -> None:
        """Leave out the directories around one that is gone where they are gone, too."""
        for path, directory in reversed(way):
            try:
                await directory.attrs()
            except NotFound:
                self._gone.add(path)
            else:
                return

    def _is_gone(self, path: str) -> bool:
        parts = path.split("/")
        return any("/".join(parts[:length]) in self._gone for length in range(1, len(parts) + 1))


async def opened(fs: FileSystem, path: str) -> Handle:
    """Return an open file; raises where it may not be read."""
    node = await fs.find(path)
    if not isinstance(node, File):
        await node.attrs()  # it may turn out not to exist
        raise IsADirectory("a directory is not read as a file")
    return await node.open()


async def read(handle: Handle, start: int, end: int) -> bytes:
    """Return the bytes of an open file from `start` up to `end`."""
    pieces: list[bytes | bytearray] = []
    while start < end:
        piece = await handle.read(start, min(end - start, STEP_BYTES))
        if not piece:
            break
        pieces.append(piece)
        start += len(piece)
    return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)


async def part(fs: FileSystem, path: str, start: int | None, end: int | None) -> bytes:
    """Return the bytes of a file from `start` to `end`, as a slice of them has it."""
    handle = await opened(fs, path)
    try:
        begin, stop, _ = slice(start, end).indices(handle.size_bytes)
        return await read(handle, begin, stop)
    finally:
        handle.close()


async def parts(
    fs: FileSystem, wanted: Sequence[tuple[str, int | None, int | None]]
) -> list[bytes | AttachfsError]:
    """Return what `part` does of many at a time, in their order; its error where one fails."""

    async def one(path: str, start: int | None, end: int | None) -> bytes | AttachfsError:
        try:
            return await part(fs, path, start, end)
        except AttachfsError as error:
            return error

    return await _each([partial(one, *args) for args in wanted])


async def _inside(
    path: str, directory: Directory, *, sizes: bool
) -> tuple[list[tuple[Entry, Details]], AttachfsError | None]:
    """Return the entries of a directory with their details, in its order; as `entries` does."""
    listing = await directory.entries()
    found: list[Entry] = []
    while (entry := await listing.wait(len(found))) is not None:
        found.append(entry)

    async def look(entry: Entry) -> Details | None:
        attrs = entry.attrs or entry.node.listed_attrs()
        if sizes and (attrs.size_bytes is None or attrs.attr_ttl_s == 0):
            try:
                attrs = await entry.node.attrs()
            except NotFound:
                return None
            except Unauthenticated:
                raise
            except Denied:  # it exists: the record names it
                attrs = attrs._replace(size_bytes=None)
        return _details(below(path, entry.name), entry.node, attrs)

    details = await _each([partial(look, entry) for entry in found])
    inside = [(entry, one) for entry, one in zip(found, details, strict=True) if one is not None]
    return inside, listing.withheld


async def _each(asks: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Return what each function returns, in their order, so many at a time."""
    limiter = trio.CapacityLimiter(_AT_ONCE)
    results: dict[int, T] = {}

    async def ask(number: int) -> None:
        async with limiter:
            results[number] = await asks[number]()

    async with trio.open_nursery() as nursery:
        for number in range(len(asks)):
            nursery.start_soon(ask, number)
    return [results[number] for number in range(len(asks))]


async def _described(path: str, node: Node) -> Details:
    attrs = await node.attrs()
    details = _details(path, node, attrs)
    if isinstance(node, InfoFile):
        details |= _of_info(await node.estate.catalog.confirmed_info(node.path))
        details["identity"] = node.path.path
    return details


def _details(path: str, node: Node, attrs: Attrs) -> Details:
    return {
        "name": path,
        "size": 0 if attrs.is_directory else attrs.size_bytes,
        "type": "directory" if attrs.is_directory else "file",
        "kind": kind_of(node),
        "mtime": datetime.fromtimestamp(attrs.mtime_ns / NS_PER_S, UTC),
        "ino": attrs.ino,
    }


def _of_info(info: Info) -> Details:
    return {
        "sha256": info.sha256,
        "mime_type": info.mime_type,
        "scanned_status": info.scanned_status,
        "info": dict(info.fields),
    }
