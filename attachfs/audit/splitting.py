"""Split what is at and below paths of the tree into parts, page of assets by page."""

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from attachfs.audit.walking import below, repeats, starts_of
from attachfs.errors import AttachfsError
from attachfs.tree.filesystem import FileSystem
from attachfs.tree.nodes import Directory, FixedDirectory, Node


class Trouble(NamedTuple):
    """Tell of a directory whose entries cannot be had, and why."""

    path: str
    node: Node
    error: AttachfsError


async def pieces(fs: FileSystem, paths: Sequence[str]) -> AsyncGenerator[str | Trouble, None]:
    """Yield paths that together hold all attachments at and below others, each of them once.

    Of a directory of assets, or of such, it is its entries, as its pages come; what else there is,
    one worker looks into. Raises as `starts_of`, before anything is yielded.
    """
    pending: list[tuple[str, Node]] = list((await starts_of(fs, paths)).items())[::-1]
    while pending:
        path, node = pending.pop()
        if not isinstance(node, FixedDirectory):
            yield path
            continue
        try:
            entries = await node.entries()
            index = 0
            while (entry := await entries.wait(index)) is not None:
                index += 1
                if repeats(node, entry):
                    continue
                if isinstance(entry.node, FixedDirectory):
                    pending.append((below(path, entry.name), entry.node))
                elif isinstance(entry.node, Directory):
                    yield below(path, entry.name)
        except AttachfsError as error:
            yield Trouble(path, node, error)
