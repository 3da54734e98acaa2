"""The directory of an asset or an event: record, attachments, sidecars, checksums."""

from contextlib import suppress
from typing import Final

import trio

from attachfs.archive.identities import AttachmentPath, is_uuid
from attachfs.archive.models import Info, Record
from attachfs.errors import Denied, NotFound, Unauthenticated
from attachfs.tree.attrs import Attrs
from attachfs.tree.files import (
    AttachmentFile,
    RecordFile,
    SidecarFile,
    everywhere,
    holder_mtime_ns,
)
from attachfs.tree.listed import ChosenEntries, ListedEntries
from attachfs.tree.names import (
    ASSET_RECORD,
    EVENT_RECORD,
    EVENTS,
    SIDECAR_SUFFIX,
    SUMS,
)
from attachfs.tree.naming import directory_name, short_id_of
from attachfs.tree.nodes import Directory, Entries, Entry, FixedEntries, Node
from attachfs.tree.places import Kind
from attachfs.tree.sums import SumsFile

_BATCH: Final = 100  # entries that are made at a time, in about 5 ms


class HolderDirectory(Directory):
    """Stand for an asset or an event, with what hangs on it under the names of its view."""

    __slots__ = ()
    kind = Kind.HOLDER

    @property
    def key(self) -> str:
        """What the inode number is a hash of."""
        return f"directory\0{self.place.view.path}\0{self.place.holder.path}"

    def good_until_s(self) -> float:
        """Return until when the record is believed; of the past it is not told."""
        return self.place.believed_until_s(self.estate.catalog)

    async def attrs(self) -> Attrs:
        """Return the attributes.

        The directory exists tentatively where the token may not see the record: attachments in
        it may be readable all the same (design section 2).
        """
        with suppress(Denied):
            await self.place.record(self.estate.catalog)
        if self.place.holder.public and self.place.holder.event is None:
            self.estate.public_assets[self.place.holder.asset] = None
        return self.listed_attrs()

    def listed_attrs(self) -> Attrs:
        """Return the attributes as far as they are known.

        As-of a time, an asset that is listed today may not have been there: it is looked up.
        """
        past = self.place.past
        unknown = past is not None and self.place.known_record(self.estate.catalog) is None
        return self._attrs(
            size_bytes=None if unknown else 0, mtime_ns=holder_mtime_ns(self.estate, self.place)
        )

    def find_now(self, name: str) -> Node | None:
        """Return what is always there, and attachments, which need not be listed to be readable."""
        fixed = self._fixed(name)
        if fixed is not None or self.place.view.by_name or self.place.past is not None:
            return fixed
        stem = name.removesuffix(SIDECAR_SUFFIX)
        return self._file(name, stem) if is_uuid(stem) else None

    async def find(self, name: str) -> Node:
        """Return the node of that name."""
        found = self.find_now(name)
        if found is not None:
            return found
        attachment = await self._attachment(name.removesuffix(SIDECAR_SUFFIX))
        if attachment is None:
            raise NotFound(f"{self.place.holder.path} has nothing called {name!r}")
        return self._file(name, attachment)

    def _file(self, name: str, attachment: str) -> Node:
        kind = SidecarFile if name.endswith(SIDECAR_SUFFIX) else AttachmentFile
        return kind(self.estate, everywhere(self.place.holder), attachment)

    async def entries(self) -> Entries:
        """Return the entries in inode order; raises `Denied` where the record may not be seen.

        GNU cp opens files in inode order, tar and grep in the order of the listing: this makes
        the two one, for read-ahead.
        """
        record = await self.place.record(self.estate.catalog)
        holder, where = self.place.holder, everywhere(self.place.holder)
        entries = [Entry(self._record_name, RecordFile.of(self.estate, self.place))]
        if holder.event is None:
            entries.append(Entry(EVENTS, EventsDirectory(self.estate, self.place)))
        if record.attachments:
            names = list((await self.place.names_of_many(record)).items())
            infos: dict[AttachmentPath, Info] = {}
            for start in range(0, len(names), _BATCH):
                if start:  # a record may name 30,000: other requests are served in between
                    await trio.lowlevel.checkpoint()
                some = names[start : start + _BATCH]
                paths = [AttachmentPath(holder, attachment) for attachment, _ in some]
                infos.update(self.estate.catalog.known_infos(paths))
                for path, (attachment, name) in zip(paths, some, strict=True):
                    info = infos.get(path)
                    file = AttachmentFile(self.estate, where, attachment)
                    entries.append(Entry(name, file, file.attrs_of(info)))
                    sidecar = SidecarFile(self.estate, where, attachment)
                    entries.append(Entry(name + SIDECAR_SUFFIX, sidecar, sidecar.attrs_of(info)))
            sums = SumsFile(self.estate, self.place)
            if sums.may_exist(record, infos):
                entries.append(Entry(SUMS, sums))
        return FixedEntries(sorted(entries, key=_ino))

    def names(self, record: Record) -> set[str]:
        """Return the names that a record makes appear here."""
        names = set(self.place.names(record).values())
        return names | {name + SIDECAR_SUFFIX for name in names}

    @property
    def _record_name(self) -> str:
        return ASSET_RECORD if self.place.holder.event is None else EVENT_RECORD

    def _fixed(self, name: str) -> Node | None:
        if name == self._record_name:
            return RecordFile.of(self.estate, self.place)
        if name == SUMS:
            return SumsFile(self.estate, self.place)
        if name == EVENTS and self.place.holder.event is None:
            return EventsDirectory(self.estate, self.place)
        return None

    async def _attachment(self, name: str) -> str | None:
        """Return the attachment of that name.

        In by-name/, the record knows; as-of a time, what was attached later was not there.
        """
        if not self.place.view.by_name and not is_uuid(name):
            return None
        record = await self.place.record(self.estate.catalog)
        known = self.estate.named.get(self.place)
        if known is None or known[0] is not record:
            names = await self.place.names_of_many(record)
            known = record, {name: uuid for uuid, name in names.items()}
            self.estate.named[self.place] = known
        return known[1].get(name)


class EventsDirectory(Directory):
    """List the events of one asset, as its view names them."""

    __slots__ = ()
    kind = Kind.EVENTS

    @property
    def key(self) -> str:
        """What the inode number is a hash of."""
        holder = self.place.holder
        # Without the collection's name in assets/: numbers stay what they were.
        owner = holder.path if holder.public else holder.asset
        return f"directory\0{self.place.view.path}\0{owner}\0{EVENTS}"

    def good_until_s(self) -> float:
        """Return until when the asset's record is believed; of the past it is not told."""
        return self.place.believed_until_s(self.estate.catalog)

    async def attrs(self) -> Attrs:
        """Return the attributes; exists where the asset's directory does."""
        with suppress(Denied):
            await self.place.record(self.estate.catalog)
        return self.listed_attrs()

    def listed_attrs(self) -> Attrs:
        """Return the attributes as far as they are known."""
        return self._attrs(mtime_ns=holder_mtime_ns(self.estate, self.place))

    def find_now(self, name: str) -> Node | None:
        """Return the directory of an event by its UUID, as of today."""
        view = self.place.view
        is_told = not view.by_name and view.time is None and is_uuid(name)
        return self._event(name) if is_told else None

    async def find(self, name: str) -> Node:
        """Return the directory of the event of that name."""
        if not self.place.view.by_name:
            if not is_uuid(name):
                raise NotFound(f"{name!r} is no event's UUID")
            event = self._event(name)
            if self.place.view.time is None or self._is_past(await self._record(event)):
                return event
        elif (digits := short_id_of(name)) is not None:
            listed = await (await self.estate.catalog.events(self.place.holder)).whole()
            for uuid in listed.beginning_with(digits):
                event = self._event(uuid)
                if event.place.name(await self._record(event)) == name:
                    return event
        raise NotFound(f"{self.place.holder.path} has no event {name!r}")

    async def entries(self) -> Entries:
        """Return the events; raises `Denied` where the token may not list them."""
        listing = await self.estate.catalog.events(self.place.holder)
        if self.place.view.time is not None:
            return ChosenEntries(listing, self._choose)
        return ListedEntries(listing, self._make, self._fetch)

    def entries_left_s(self) -> float:
        """Return for how many seconds the kernel may believe the names of events."""
        return self.estate.catalog.listing_left_s(self.place.holder)

    def _event(self, uuid: str) -> HolderDirectory:
        return HolderDirectory(self.estate, self.place.of_event(uuid))

    def _make(self, uuid: str) -> Entry | None:
        event = self._event(uuid)
        if not self.place.view.by_name:
            return Entry(uuid, event)
        record = self.estate.catalog.known_record(event.place.holder)
        return None if record is None else Entry(event.place.name(record), event)

    async def _fetch(self, uuid: str) -> Entry:
        event = self._event(uuid)
        try:
            name = event.place.name(await self._record(event))
        except Unauthenticated:
            raise
        except (NotFound, Denied):  # that must not hide the others
            name = directory_name("", uuid)
        return Entry(name, event)

    async def _choose(self, uuid: str) -> Entry | None:
        event = self._event(uuid)
        try:
            record = await self._record(event)
        except NotFound:
            return None
        return Entry(uuid, event) if self._is_past(record) else None

    async def _record(self, event: HolderDirectory) -> Record:
        return await self.estate.catalog.record(event.place.holder)

    def _is_past(self, event: Record) -> bool:
        """Tell whether an event had been accepted at the time of this view."""
        time = self.place.view.time
        return time is not None and 0 < event.accepted_ns <= time.at_ns


def _ino(entry: Entry) -> int:
    return entry.node.ino
