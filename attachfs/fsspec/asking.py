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
from attachfs.errors import AttachfsError, IsADirectory
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


async def entries(fs: FileSystem, path: str, *, sizes: bool) -> list[Details]:
    """Return the details of all that is in a directory, of a file its own.

    Without `sizes`, those that are not known are None, and nobody is asked for them.
    """
    node = await fs.find(path)
    if not isinstance(node, Directory):
        return [await _described(path, node)]
    await node.attrs()  # it may turn out not to exist
    return [details for _, details in await _inside(path, node, sizes=sizes)]


async def everything(
    fs: FileSystem, path: str, *, max_depth: int | None, sizes: bool
) -> list[Details]:
    """Return the details of all that is below a directory, in no order; of a file its own.

    `max_depth` is the number of levels to look into, None for all; `sizes` is as for `entries`.
    """
    node = await fs.find(path)
    if not isinstance(node, Directory):
        return [await _described(path, node)]
    await node.attrs()
    found: list[Details] = []
    limiter = trio.CapacityLimiter(_AT_ONCE)

    async def visit(path: str, directory: Directory, levels: int | None) -> None:
        async with limiter:
            inside = await _inside(path, directory, sizes=sizes)
        found.extend(details for _, details in inside)
        levels = None if levels is None else levels - 1
        for entry, details in inside:
            if isinstance(entry.node, Directory) and levels != 0:
                nursery.start_soon(visit, details["name"], entry.node, levels)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(visit, path, node, max_depth)
    return found


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


async def _inside(path: str, directory: Directory, *, sizes: bool) -> list[tuple[Entry, Details]]:
    """Return the entries of a directory with their details, in its order."""
    listing = await directory.entries()
    found: list[Entry] = []
    while (entry := await listing.wait(len(found))) is not None:
        found.append(entry)

    async def look(entry: Entry) -> Details:
        attrs = entry.attrs or entry.node.listed_attrs()
        if sizes and (attrs.size_bytes is None or attrs.attr_ttl_s == 0):
            attrs = await entry.node.attrs()
        return _details(below(path, entry.name), entry.node, attrs)

    return list(zip(found, await _each([partial(look, entry) for entry in found]), strict=True))


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
