"""Where in the tree something stands: in which view, at which time, on which asset or event."""

from collections.abc import Mapping
from enum import IntEnum
from math import inf
from typing import Final, NamedTuple

import trio

from attachfs.archive.identities import Holder
from attachfs.archive.models import Record
from attachfs.catalog.catalog import Catalog
from attachfs.catalog.uuids import UUID_BYTES, unpack_uuid
from attachfs.tree.moments import Moment, parse_moment
from attachfs.tree.names import AS_OF, ASSETS, BY_NAME, PUBLIC_ASSETS
from attachfs.tree.naming import attachment_names, directory_name, event_label

# The names of so many attachments take a few milliseconds to make: 50 us each.
_MANY: Final = 100

_NAMES: Final = (ASSETS, BY_NAME, PUBLIC_ASSETS, AS_OF)


class View(NamedTuple):
    """Name a view of the estate: one of `names`, and the time in the name of a directory of as-of/.

    The time is as somebody spelled it: two spellings are two directories.
    """

    name: str = ASSETS
    moment: str = ""

    @property
    def path(self) -> str:
        """What tells the view from all others."""
        return f"{self.name}/{self.moment}" if self.moment else self.name

    @property
    def time(self) -> Moment | None:
        """The time of a directory of as-of/; None in every other view."""
        return parse_moment(self.moment) if self.moment else None

    @property
    def by_name(self) -> bool:
        """Tell whether things stand under the names that people gave them."""
        return self.name == BY_NAME

    @property
    def public(self) -> bool:
        """Tell whether it shows public assets, which are asked for without a token."""
        return self.name == PUBLIC_ASSETS


class Place(NamedTuple):
    """Name an asset or event in a view."""

    view: View
    holder: Holder

    def of_event(self, event: str) -> "Place":
        """Return the place of an event of this asset."""
        return Place(self.view, Holder(self.holder.asset, event, self.holder.public))

    @property
    def past(self) -> Moment | None:
        """The time as of which an asset is shown; None for today, and for events: they stay."""
        return None if self.holder.event is not None else self.view.time

    async def record(self, catalog: Catalog) -> Record:
        """Return the record as this view shows it; raises as the catalog does."""
        past = self.past
        if past is None:
            return await catalog.record(self.holder)
        return await catalog.record_at(self.holder, past.at_time, past.at_ns)

    async def confirmed_record(self, catalog: Catalog) -> Record:
        """Return the same once it is confirmed that it may be seen now."""
        past = self.past
        if past is None:
            return await catalog.confirmed_record(self.holder)
        return await catalog.confirmed_record_at(self.holder, past.at_time)

    def known_record(self, catalog: Catalog) -> Record | None:
        """Return the record as last seen, without asking."""
        past = self.past
        if past is None:
            return catalog.known_record(self.holder)
        return catalog.known_record_at(self.holder, past.at_time)

    def believed_until_s(self, catalog: Catalog) -> float:
        """Return until when `record` answers the same, as the catalog tells it; not of the past."""
        return catalog.believed_until_s(self.holder) if self.past is None else -inf

    def name(self, record: Record) -> str:
        """Return the name of the directory of a record of this holder."""
        if not self.view.by_name:
            return record.id
        label = record.label
        if self.holder.event is not None:
            label = event_label(record.accepted_ns, label)
        return directory_name(label, record.id)

    def names(self, record: Record) -> Mapping[str, str]:
        """Return the file name of each attachment of a record, by UUID."""
        if self.view.by_name:
            return attachment_names(record.attachments)
        return {attachment.id: attachment.id for attachment in record.attachments}

    async def names_of_many(self, record: Record) -> Mapping[str, str]:
        """Return the same as `names`; the mount stays responsive while many are made."""
        if len(record.attachments) <= _MANY:
            return self.names(record)
        return await trio.to_thread.run_sync(self.names, record, abandon_on_cancel=True)


class Kind(IntEnum):
    """Say what an inode is."""

    VIEW = 0
    MOMENT = 1
    HOLDER = 2
    EVENTS = 3
    ATTACHMENT = 4
    SIDECAR = 5
    RECORD = 6
    SUMS = 7


_KINDS: Final = tuple(Kind)
_VIEWS: Final = tuple(View(name) for name in _NAMES)


class Unpacked(NamedTuple):
    """Hold what a packed inode says; `attachment` is empty for what is none."""

    kind: Kind
    place: Place
    attachment: str


def pack(kind: Kind, view: View, holder: Holder | None = None, attachment: str = "") -> bytes:
    """Return an inode in a few bytes: kind, view and number of UUIDs, 16 bytes each, the time."""
    uuids = "" if holder is None else holder.asset + (holder.event or "") + attachment
    packed = bytes.fromhex(uuids.replace("-", ""))
    code = _NAMES.index(view.name) << 4 | len(packed) // UUID_BYTES
    return bytes((kind, code)) + packed + view.moment.encode()


def unpack(packed: bytes) -> Unpacked:
    """Return what `pack` was given."""
    kind, code = _KINDS[packed[0]], packed[1]
    end = 2 + (code & 0xF) * UUID_BYTES
    view = _VIEWS[code >> 4]
    if end < len(packed):
        view = View(view.name, packed[end:].decode())
    uuids = [unpack_uuid(packed[at : at + UUID_BYTES]) for at in range(2, end, UUID_BYTES)]
    attachment = uuids.pop() if kind is Kind.ATTACHMENT or kind is Kind.SIDECAR else ""
    asset = uuids[0] if uuids else ""
    event = uuids[1] if len(uuids) > 1 else None
    return Unpacked(kind, Place(view, Holder(asset, event, view.public)), attachment)
