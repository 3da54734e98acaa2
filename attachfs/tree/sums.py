"""SHA256SUMS: what `sha256sum -c SHA256SUMS` in an asset's or event's directory needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import trio

from attachfs.archive.attachments import Attachment
from attachfs.archive.digests import is_sha256
from attachfs.archive.identities import AttachmentPath
from attachfs.archive.models import Info, Record
from attachfs.errors import AttachfsError, Denied, NotFound, Unauthenticated
from attachfs.escaping import MAX_QUOTE_CHARS, escaped
from attachfs.tree.attrs import Attrs
from attachfs.tree.files import holder_mtime_ns
from attachfs.tree.names import SUMS
from attachfs.tree.nodes import BytesHandle, File, Handle
from attachfs.tree.places import Kind
from attachfs.tree.scanning import scan_refusal

_CONCURRENT_INFOS: Final = 64


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    digest: str | None
    refusal: str | None

    def __str__(self) -> str:
        if self.refusal is None and self.digest is not None:
            return f"{self.digest}  {self.name}\n"
        reason = self.refusal or "no SHA-256 is declared"
        return f"# {self.name}: {escaped(reason, MAX_QUOTE_CHARS)}\n"


class SumsFile(File):
    """Stand for the checksums of all attachments in one directory that may be read.

    What may not be read is a comment. Where nothing may be read, the file does not exist.
    """

    __slots__ = ()
    kind = Kind.SUMS

    @property
    def key(self) -> str:
        """What the inode number is a hash of."""
        return f"sums\0{self.place.view.path}\0{self.place.holder.path}"

    async def attrs(self) -> Attrs:
        """Return the attributes; the size needs `/info` of every attachment here."""
        return self._attrs(
            size_bytes=len(await self._text()), mtime_ns=holder_mtime_ns(self.estate, self.place)
        )

    def listed_attrs(self) -> Attrs:
        """Return the attributes without a size: a listing costs no `/info`."""
        return self._attrs(size_bytes=None, mtime_ns=holder_mtime_ns(self.estate, self.place))

    async def open(self) -> Handle:
        """Return a handle on the text as it is now."""
        return BytesHandle(await self._text(confirmed=True))

    def may_exist(self, record: Record, infos: Mapping[AttachmentPath, Info]) -> bool:
        """Tell, by what is known, whether something here may be readable."""
        for attachment in record.attachments:
            info = infos.get(self._path(attachment)) if infos else None
            if info is None or self._line(attachment, attachment.id, info).refusal is None:
                return True
        return False

    async def _text(self, *, confirmed: bool = False) -> bytes:
        """Return the text; `confirmed`, of what may be read now."""
        catalog = self.estate.catalog
        find = self.place.confirmed_record if confirmed else self.place.record
        ask = catalog.confirmed_info if confirmed else catalog.info
        record = await find(catalog)
        names = await self.place.names_of_many(record)
        lines: list[_Line] = []
        failures: list[AttachfsError] = []
        limit = trio.CapacityLimiter(_CONCURRENT_INFOS)

        async def add(attachment: Attachment) -> None:
            name = names[attachment.id]
            async with limit:
                try:
                    info = await ask(self._path(attachment))
                except AttachfsError as error:
                    # A token that is refused altogether says nothing of this attachment.
                    if isinstance(error, Denied | NotFound) and not isinstance(
                        error, Unauthenticated
                    ):
                        lines.append(_Line(name, None, "it cannot be read"))
                    else:
                        failures.append(error)
                        nursery.cancel_scope.cancel()
                else:
                    lines.append(self._line(attachment, name, info))

        async with trio.open_nursery() as nursery:
            for attachment in record.attachments:
                nursery.start_soon(add, attachment)
        if failures:
            raise failures[0]
        if all(line.refusal for line in lines):
            raise NotFound(f"{self.place.holder.path}: nothing to check in {SUMS}")
        return "".join(map(str, sorted(lines, key=lambda line: line.name))).encode()

    def _path(self, attachment: Attachment) -> AttachmentPath:
        return AttachmentPath(self.place.holder, attachment.id)

    def _line(self, attachment: Attachment, name: str, info: Info) -> _Line:
        # The record's word goes first: where /info disagrees the check is to fail.
        digest = next(iter(attachment.record_digests), info.sha256)
        refusal = scan_refusal(self.estate, self._path(attachment), info)
        if digest is None:
            refusal = refusal or "no SHA-256 is declared"
        elif not is_sha256(digest):  # a stranger's text: it must not make lines of its own
            refusal = refusal or "the digest declared is no SHA-256"
        return _Line(name, digest, refusal)
