"""The directory of an asset or an event: record, attachments, sidecars, checksums."""

from contextlib import suppress

from attachfs.archive.identities import AttachmentPath, Holder, is_uuid
from attachfs.errors import Denied, NotFound
from attachfs.tree.attrs import Attrs
from attachfs.tree.files import AttachmentFile, RecordFile, SidecarFile, holder_mtime_ns
from attachfs.tree.names import (
    ASSET_RECORD,
    EVENT_RECORD,
    SIDECAR_SUFFIX,
    SUMS,
    attachment_of_sidecar,
)
from attachfs.tree.nodes import Directory, Entries, Entry, Estate, FixedEntries, Node
from attachfs.tree.sums import SumsFile


class HolderDirectory(Directory):
    """Stand for an asset or an event, under the UUIDs of its attachments."""

    __slots__ = ("_extra", "_holder", "_view")

    def __init__(
        self, estate: Estate, holder: Holder, *, view: str, extra: dict[str, Node] | None = None
    ) -> None:
        """Take `extra` nodes by name, such as an asset's `events`, beside the holder's own."""
        super().__init__(estate, ("directory", view, holder.path))
        self._holder = holder
        self._view = view
        self._extra = extra or {}

    async def attrs(self) -> Attrs:
        """Return the attributes.

        The directory exists tentatively where the token may not see the record: attachments in
        it may be readable all the same (design section 2).
        """
        with suppress(Denied):
            await self.estate.catalog.record(self._holder)
        return self.listed_attrs()

    def listed_attrs(self) -> Attrs:
        """Return the attributes as far as they are known."""
        return self._attrs(mtime_ns=holder_mtime_ns(self.estate, self._holder))

    def child(self, name: str) -> Node:
        """Return the node of that name; attachments need not be listed to be readable."""
        if is_uuid(name):
            return AttachmentFile(self.estate, AttachmentPath(self._holder, name))
        attachment = attachment_of_sidecar(name)
        if attachment is not None:
            return SidecarFile(self.estate, AttachmentPath(self._holder, attachment))
        if name == self._record_name:
            return RecordFile(self.estate, self._holder)
        if name == SUMS:
            return SumsFile(self.estate, self._holder, view=self._view)
        try:
            return self._extra[name]
        except KeyError:
            raise NotFound(f"{self._holder.path} has nothing called {name!r}") from None

    async def entries(self) -> Entries:
        """Return the entries in inode order; raises `Denied` where the record may not be seen.

        GNU cp opens files in inode order, tar and grep in the order of the listing: this makes
        the two one, for read-ahead.
        """
        record = await self.estate.catalog.record(self._holder)
        names = [self._record_name, *self._extra]
        for attachment in record.attachments:
            names += (attachment.id, attachment.id + SIDECAR_SUFFIX)
        entries = [Entry(name, self.child(name)) for name in names]
        sums = SumsFile(self.estate, self._holder, view=self._view)
        if sums.may_exist():
            entries.append(Entry(SUMS, sums))
        return FixedEntries(sorted(entries, key=lambda entry: entry.node.ino))

    @property
    def _record_name(self) -> str:
        return ASSET_RECORD if self._holder.event is None else EVENT_RECORD
