"""The files of the tree: attachments, their sidecars, records."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Final, NamedTuple, Self

from attachfs.archive.endpoints import ScanPolicy, source_url
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.models import Info
from attachfs.content.reader import Reader
from attachfs.content.verification import Expected
from attachfs.errors import BlockedByScan, NotFound, Stale
from attachfs.tree.attrs import EPOCH_NS, FOREVER_S, Attrs
from attachfs.tree.names import PUBLIC_ASSETS
from attachfs.tree.nodes import BytesHandle, Estate, File, Handle
from attachfs.tree.places import Kind, Place, View
from attachfs.tree.scanning import scan_refusal
from attachfs.tree.xattrs import attachment_xattrs

_PRIVATE: Final = View()
_PUBLIC: Final = View(PUBLIC_ASSETS)


class AttachmentHandle:
    """Read an open attachment."""

    __slots__ = ("_file", "_gone", "_info", "_reader")

    def __init__(self, file: "AttachmentFile", info: Info, reader: Reader) -> None:
        self._file = file
        self._info = info
        self._reader = reader
        self._gone: Stale | None = None

    @property
    def size_bytes(self) -> int:
        """The size that `/info` tells."""
        return self._reader.size_bytes

    @property
    def digest(self) -> str:
        """The SHA-256 that the bytes have been or will be checked against."""
        return self._reader.digest

    @property
    def source(self) -> str:
        """Where the bytes read so far came from, as `Reader` has it."""
        return self._reader.source

    @property
    def tag(self) -> int:
        """A hash of it."""
        return hash(self._reader.digest)

    def read_now(self, offset: int, size_bytes: int) -> bytes | bytearray | None:
        """Return verified bytes if that needs no waiting, else None."""
        return None if self._gone else self._reader.read_now(offset, size_bytes)

    async def read(self, offset: int, size_bytes: int) -> bytes | bytearray:
        """Return verified bytes; raises `Stale` where the attachment has gone since the open."""
        if self._gone is None:
            try:
                return await self._reader.read(offset, size_bytes)
            except NotFound as error:
                self._gone = Stale(f"gone since it was opened: {error}")
            except BlockedByScan:
                self._file.note_blocked(self._info)
                raise
        raise self._gone.with_traceback(None)

    def close(self) -> None:
        """Let go of the bytes."""
        self._reader.close()


class _Grant(NamedTuple):
    """Hold what an open found, good until `until_s` in one revision of the catalog."""

    revision: int
    until_s: float
    info: Info
    expected: Expected
    digest: str
    digests: set[str]


class InfoFile(File):
    """Stand for a file of which `/info` tells all that stat(2) asks; one inode in every view."""

    __slots__ = ()

    @classmethod
    def of(cls, estate: Estate, path: AttachmentPath) -> Self:
        """Return the file for an attachment."""
        return cls(estate, everywhere(path.holder), path.attachment)

    def good_until_s(self) -> float:
        """Return until when record and `/info` are believed."""
        return self.estate.catalog.visible_until_s(self.path)

    async def attrs(self) -> Attrs:
        """Return the attributes; asks for record and `/info` where they are too old."""
        return self.attrs_of(await self.estate.catalog.visible_info(self.path))

    def listed_attrs(self) -> Attrs:
        """Return the attributes, without a size where `/info` was never asked for."""
        return self.attrs_of(self.estate.catalog.known_info(self.path))

    @abstractmethod
    def attrs_of(self, info: Info | None) -> Attrs:
        """Return the attributes that `/info` tells, without a size where it is not known."""


class AttachmentFile(InfoFile):
    """Stand for an attachment's bytes."""

    __slots__ = ("_grant",)
    kind = Kind.ATTACHMENT

    @property
    def key(self) -> str:
        """What the inode number is a hash of."""
        return f"attachment\0{self.path.path}"

    async def open(self) -> AttachmentHandle:
        """Return a handle, once the right is confirmed and scan and digests raise no objection."""
        info = await self.estate.catalog.confirmed_info(self.path)
        refusal = scan_refusal(self.estate, self.path, info)
        if refusal is not None:
            error = BlockedByScan(f"{self.path.path}: {refusal}")
            self.estate.content.note_failure(self.path, error)
            raise error
        return self._open(info, self.expected(info))

    @property
    def was_opened(self) -> bool:
        """Whether this node has been opened already."""
        return hasattr(self, "_grant")

    def open_now(self) -> AttachmentHandle | None:
        """Return a handle where the right is confirmed, and nothing objects, for all that is known.

        What was found bad meanwhile is looked up each time: it may be known to another process.
        """
        catalog, policy = self.estate.catalog, self.estate.policy
        grant = getattr(self, "_grant", None)
        if grant is None or grant.revision != catalog.revision.number:
            info = catalog.confirmed_info_now(self.path)
            if info is None or scan_refusal(self.estate, self.path, info) is not None:
                return None
            expected = self.expected(info)
            return self._open(info, expected) if expected.is_consistent else None
        if catalog.now_s() >= grant.until_s:
            return None
        if policy is not ScanPolicy.ALLOW and catalog.is_bad_elsewhere(grant.digests, self.path):
            return None
        catalog.lookups.known += 1
        reader = self.estate.content.open(self.path, grant.expected, digest=grant.digest)
        return AttachmentHandle(self, grant.info, reader)

    def _open(self, info: Info, expected: Expected) -> AttachmentHandle:
        """Return a handle, and keep for a while what it took to open."""
        catalog = self.estate.catalog
        reader = self.estate.content.open(self.path, expected)
        until_s = catalog.confirmed_until_s(self.path)
        digests = catalog.digests(self.path, info)
        self._grant = _Grant(
            catalog.revision.number, until_s, info, expected, reader.digest, digests
        )
        return AttachmentHandle(self, info, reader)

    async def fetch_ahead(self) -> None:
        """Fetch the bytes for whoever opens this next; raises what `open` and reading raise."""
        catalog = self.estate.catalog
        info = catalog.confirmed_info_now(self.path) or await catalog.confirmed_info(self.path)
        if scan_refusal(self.estate, self.path, info) is None:
            try:
                await self.estate.content.fetch_ahead(self.path, self.expected(info))
            except BlockedByScan:
                self.note_blocked(info)
                raise

    def note_blocked(self, info: Info) -> None:
        """Record that the server refused the bytes for their scan, newer than the one in `/info`.

        Only a server that was asked for whatever is not bad says by this that they are.
        """
        if self.estate.policy is ScanPolicy.BLOCK_BAD:
            self.estate.catalog.note_bad(self.path, info)

    async def xattrs(self) -> Mapping[str, bytes]:
        """Return what `/info` says, what the bytes are verified by and what went wrong last.

        The right to read is confirmed as for `open`: they tell what is in the file.
        """
        info = await self.estate.catalog.confirmed_info(self.path)
        return attachment_xattrs(
            info,
            verified_by=self.expected(info).verified_by,
            origin_url=self.url(info),
            last_error=self.estate.content.last_error(self.path),
        )

    def url(self, info: Info) -> str:
        """Return where the bytes are."""
        return f"{self.estate.catalog.server}{source_url(self.path, info.source)}"

    def expected(self, info: Info) -> Expected:
        """Return what record and `/info` say the bytes must be."""
        attachment = self.estate.catalog.declared(self.path)
        return Expected(
            size_bytes=info.size_bytes,
            record_sha256=() if attachment is None else attachment.record_digests,
            info_sha256=info.sha256,
            source=info.source,
        )

    def attrs_of(self, info: Info | None) -> Attrs:
        """Return the attributes that `/info` tells, without a size where it is not known."""
        if info is None:
            return self._attrs(size_bytes=None)
        return self._attrs(
            size_bytes=info.size_bytes, mtime_ns=info.accepted_ns, attr_ttl_s=FOREVER_S
        )


class SidecarFile(InfoFile):
    """Stand for what `/info` answers, as served."""

    __slots__ = ()
    kind = Kind.SIDECAR

    @property
    def key(self) -> str:
        """What the inode number is a hash of."""
        return f"info\0{self.path.path}"

    async def open(self) -> Handle:
        """Return a handle on the JSON."""
        return BytesHandle((await self.estate.catalog.confirmed_info(self.path)).raw)

    def open_now(self) -> Handle | None:
        """Return the same where the right is confirmed."""
        info = self.estate.catalog.confirmed_info_now(self.path)
        return None if info is None else BytesHandle(info.raw)

    def attrs_of(self, info: Info | None) -> Attrs:
        """Return the attributes of the JSON, without a size where it is not known."""
        if info is None:
            return self._attrs(size_bytes=None)
        return self._attrs(size_bytes=len(info.raw), mtime_ns=info.accepted_ns)


class RecordFile(File):
    """Stand for `asset.json` or `event.json`: the record as served."""

    __slots__ = ()
    kind = Kind.RECORD

    @classmethod
    def of(cls, estate: Estate, place: Place) -> Self:
        """Return the file for a record; one inode in every view that shows the same."""
        return cls(estate, everywhere(place.holder) if place.past is None else place)

    @property
    def key(self) -> str:
        """What the inode number is a hash of."""
        moment = self.place.view.moment
        return f"record\0{self.place.holder.path}" + (f"\0{moment}" if moment else "")

    def good_until_s(self) -> float:
        """Return until when the record is believed; of the past it is not told."""
        return self.place.believed_until_s(self.estate.catalog)

    async def attrs(self) -> Attrs:
        """Return the attributes; asks for the record where it is too old."""
        await self.place.record(self.estate.catalog)
        return self.listed_attrs()

    def listed_attrs(self) -> Attrs:
        """Return the attributes of the record as last seen."""
        record = self.place.known_record(self.estate.catalog)
        return self._attrs(
            size_bytes=None if record is None else len(record.raw),
            mtime_ns=holder_mtime_ns(self.estate, self.place),
        )

    async def open(self) -> Handle:
        """Return a handle on the JSON, once it is known that it may be read now."""
        return BytesHandle((await self.place.confirmed_record(self.estate.catalog)).raw)


def everywhere(holder: Holder) -> Place:
    """Return the place that stands for all views of an asset or event."""
    return Place(_PUBLIC if holder.public else _PRIVATE, holder)


def holder_mtime_ns(estate: Estate, place: Place) -> int:
    """Return when an event was accepted; of an asset, its newest event known. Else a constant."""
    holder = place.holder
    if holder.event is None:
        newest_ns = estate.catalog.newest_event_ns(holder)
        past = place.past
        return newest_ns if past is None else min(newest_ns, past.at_ns)
    record = estate.catalog.known_record(holder)
    return EPOCH_NS if record is None else record.accepted_ns
