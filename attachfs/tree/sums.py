"""SHA256SUMS: what `sha256sum -c SHA256SUMS` in an asset's or event's directory needs."""

from dataclasses import dataclass
from typing import Final

import trio

from attachfs.archive.attachments import Attachment
from attachfs.archive.digests import is_sha256
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.models import Info
from attachfs.errors import AttachfsError, Denied, NotFound
from attachfs.tree.attrs import Attrs
from attachfs.tree.files import holder_mtime_ns
from attachfs.tree.names import SUMS
from attachfs.tree.nodes import BytesHandle, Estate, File, Handle
from attachfs.tree.scanning import scan_refusal

_CONCURRENT_INFOS: Final = 16


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    digest: str | None
    refusal: str | None

    def __str__(self) -> str:
        if self.refusal is None and self.digest is not None:
            return f"{self.digest}  {self.name}\n"
        reason = self.refusal or "no SHA-256 is declared"
        printable = "".join(c if c.isprintable() else "?" for c in reason)
        return f"# {self.name}: {printable}\n"


class SumsFile(File):
    """Stand for the checksums of all attachments in one directory that may be read.

    What may not be read is a comment. Where nothing may be read, the file does not exist.
    """

    __slots__ = ("_holder",)

    def __init__(self, estate: Estate, holder: Holder, *, view: str) -> None:
        super().__init__(estate, ("sums", view, holder.path))
        self._holder = holder

    async def attrs(self) -> Attrs:
        """Return the attributes; the size needs `/info` of every attachment here."""
        return self._attrs(
            size_bytes=len(await self._text()), mtime_ns=holder_mtime_ns(self.estate, self._holder)
        )

    def listed_attrs(self) -> Attrs:
        """Return the attributes without a size: a listing costs no `/info`."""
        return self._attrs(size_bytes=None, mtime_ns=holder_mtime_ns(self.estate, self._holder))

    async def open(self) -> Handle:
        """Return a handle on the text as it is now."""
        return BytesHandle(await self._text())

    def may_exist(self) -> bool:
        """Tell, without asking, whether something here may be readable."""
        record = self.estate.catalog.known_record(self._holder)
        if record is None:
            return False
        for attachment in record.attachments:
            info = self.estate.catalog.known_info(AttachmentPath(self._holder, attachment.id))
            if info is None or self._line(attachment, info).refusal is None:
                return True
        return False

    async def _text(self) -> bytes:
        record = await self.estate.catalog.record(self._holder)
        lines: list[_Line] = []
        failures: list[AttachfsError] = []
        limit = trio.CapacityLimiter(_CONCURRENT_INFOS)

        async def add(attachment: Attachment) -> None:
            path = AttachmentPath(self._holder, attachment.id)
            async with limit:
                try:
                    info = await self.estate.catalog.info(path)
                except (Denied, NotFound):
                    lines.append(_Line(attachment.id, None, "it cannot be read"))
                except AttachfsError as error:
                    failures.append(error)
                    nursery.cancel_scope.cancel()
                else:
                    lines.append(self._line(attachment, info))

        async with trio.open_nursery() as nursery:
            for attachment in record.attachments:
                nursery.start_soon(add, attachment)
        if failures:
            raise failures[0]
        if all(line.refusal for line in lines):
            raise NotFound(f"{self._holder.path}: nothing to check in {SUMS}")
        return "".join(sorted(map(str, lines), key=lambda line: line.split()[1])).encode()

    def _line(self, attachment: Attachment, info: Info) -> _Line:
        # The record's word goes first: where /info disagrees the check is to fail.
        digest = next(iter(attachment.record_digests), info.sha256)
        refusal = scan_refusal(self.estate, info)
        if digest is None:
            refusal = refusal or "no SHA-256 is declared"
        elif not is_sha256(digest):  # a stranger's text: it must not make lines of its own
            refusal = refusal or "the digest declared is no SHA-256"
        return _Line(attachment.id, digest, refusal)
