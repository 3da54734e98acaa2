"""Look at single paths: what a directory holds, what is known of a file."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import trio

from attachfs.audit.events import Described, Failed, Listed, Tell
from attachfs.audit.walking import below
from attachfs.errors import AttachfsError, NotFound
from attachfs.tree.files import AttachmentFile, InfoFile, RecordFile, SidecarFile
from attachfs.tree.filesystem import FileSystem
from attachfs.tree.names import EVENTS
from attachfs.tree.nodes import Directory, Entry, Node
from attachfs.tree.places import Kind
from attachfs.wording import time_text

# Entries whose details are asked for at the same time.
_AT_ONCE: Final = 64
_FILES: Final[Mapping[Kind, str]] = {
    Kind.ATTACHMENT: "attachment",
    Kind.SIDECAR: "sidecar",
    Kind.RECORD: "record",
    Kind.SUMS: "checksums",
}


class List(msgspec.Struct, frozen=True, tag="list"):
    """Ask for the entries of a directory, or for a file's own.

    Without `details`, names and kinds alone, of which nobody has to be asked again.
    """

    path: str
    details: bool = False

    async def run(self, fs: FileSystem, tell: Tell) -> None:
        """Tell of each entry, in the tree's order; raises what asking raises.

        An entry of which the details cannot be had is `Failed`; one that is gone is left out.
        """
        node = await fs.find(self.path)
        await node.attrs()  # it may turn out not to exist
        if not isinstance(node, Directory):
            await self._tell_all([Entry(self.path.rpartition("/")[2], node)], tell)
            return
        entries = await node.entries()
        index = 0
        batch: list[Entry] = []
        while (entry := await entries.wait(index)) is not None:
            index += 1
            batch.append(entry)
            if len(batch) == _AT_ONCE or entries.ready(index) is None:
                await self._tell_all(batch, tell)
                batch.clear()
        await self._tell_all(batch, tell)
        if entries.withheld is not None:
            await tell(Failed(self.path, str(entries.withheld)))

    async def _tell_all(self, batch: Sequence[Entry], tell: Tell) -> None:
        told: list[Listed | Failed | None] = [None] * len(batch)

        async def look(number: int, entry: Entry) -> None:
            try:
                told[number] = await _listed(entry, details=self.details)
            except NotFound:
                return
            except AttachfsError as error:
                told[number] = Failed(below(self.path, entry.name), str(error))

        async with trio.open_nursery() as nursery:
            for number, entry in enumerate(batch):
                nursery.start_soon(look, number, entry)
        for event in told:
            if event is not None:
                await tell(event)


class Describe(msgspec.Struct, frozen=True, tag="describe"):
    """Ask for all that is known of paths."""

    paths: tuple[str, ...]

    async def run(self, fs: FileSystem, tell: Tell) -> None:
        """Tell of each path, in order, or why it cannot be told of."""
        for path in self.paths:
            try:
                event: Described | Failed = await _described(path, await fs.find(path))
            except AttachfsError as error:
                event = Failed(path, str(error))
            await tell(event)


async def _listed(entry: Entry, *, details: bool) -> Listed:
    node = entry.node
    if not details:
        await trio.lowlevel.checkpoint()
        return Listed(entry.name, kind_of(node), None, "")
    attrs = entry.attrs or node.listed_attrs()
    if attrs.size_bytes is None or attrs.attr_ttl_s == 0:
        attrs = await node.attrs()
    size_bytes = None if attrs.is_directory else attrs.size_bytes
    return Listed(entry.name, kind_of(node), size_bytes, time_text(attrs.mtime_ns))


async def _described(path: str, node: Node) -> Described:
    attrs = await node.attrs()
    fields: Mapping[str, Any] = {}
    if isinstance(node, InfoFile):
        fields = await _info_of(node)
    return Described(
        path=path,
        kind=kind_of(node),
        identity=_identity(node),
        size_bytes=None if attrs.is_directory else attrs.size_bytes,
        modified=time_text(attrs.mtime_ns),
        fields=fields,
    )


async def _info_of(file: InfoFile) -> Mapping[str, Any]:
    """Return what `/info` says, and what is said of it here."""
    catalog, content = file.estate.catalog, file.estate.content
    info = await catalog.confirmed_info(file.path)
    declared = catalog.declared(file.path)
    fields: dict[str, Any] = {"info": info.fields}
    if declared is not None:
        fields |= {
            "attribute": declared.key,
            "file_name": declared.file_name,
            "display_name": declared.display_name,
            "record_sha256": declared.record_digests,
        }
    attachment = AttachmentFile.of(file.estate, file.path)
    return fields | {
        "verified_by": attachment.expected(info).verified_by,
        "url": attachment.url(info),
        "last_error": content.last_error(file.path),
    }


def kind_of(node: Node) -> str:
    """Return in a word what a node is."""
    if node.kind in _FILES:
        return _FILES[node.kind]
    if node.kind is Kind.HOLDER:
        return "asset" if node.place.holder.event is None else "event"
    return EVENTS if node.kind is Kind.EVENTS else "directory"


def _identity(node: Node) -> str:
    if isinstance(node, AttachmentFile | SidecarFile):
        return node.path.path
    is_of_holder = node.kind is Kind.HOLDER or isinstance(node, RecordFile)
    return node.place.holder.path if is_of_holder else ""
