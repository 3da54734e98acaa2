"""The requests attachfs makes, as values: a path, its query and how to read the answer.

All are GETs: attachfs changes nothing (contract section 3.1 and 5.1). Whatever sends them, a
transport is no concern of this module.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from attachfs.archive.identities import AttachmentPath, Holder, is_uuid
from attachfs.archive.models import (
    PAGE_SIZE,
    Info,
    Page,
    Record,
    parse_asset,
    parse_assets_page,
    parse_event,
    parse_events_page,
    parse_info,
)
from attachfs.errors import BadReply

T = TypeVar("T")

# Sources of an attachment that has another one than its own path, as `source_url` has them.
ASSET: Final = "asset"
BLOB: Final = "blob"

_V2: Final = "/archivist/v2"
_PUBLIC: Final = (f"{_V2}/publicassets/", f"{_V2}/attachments/publicassets/")
_NOBODY: Final = "00000000-0000-4000-8000-000000000000"
_MIB: Final = 1024 * 1024
# Bounds on what is read of an answer. A record's attributes hold 51,200 bytes (contract section
# 5.4); a page of 500 of them is far below its bound.
_MAX_RECORD_BYTES: Final = 4 * _MIB
_MAX_PAGE_BYTES: Final = 64 * _MIB
_MAX_INFO_BYTES: Final = 1 * _MIB
# Where only a token is sent, the page has the size that the server prefers.
_MAX_ENTRIES: Final = 10_000


class ScanPolicy(StrEnum):
    """Say which attachments may be read, by their malware scan (contract section 3.3)."""

    ALLOW = "allow"
    BLOCK_BAD = "block-bad"
    REQUIRE_OK = "require-ok"


class PagingStyle(StrEnum):
    """Say what accompanies a page token; servers differ in what they accept (section 5.5)."""

    SIZE = "token and page size"  # the official SDK's way
    QUERY = "token and the original query"
    TOKEN = "token alone"  # noqa: S105 - a page token is no secret


Query = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """Describe one GET whose answer is small enough to be held, at most `max_bytes`."""

    path: str
    parse: Callable[[bytes], T]
    max_bytes: int
    query: Query = ()


@dataclass(frozen=True, slots=True)
class Download:
    """Describe one GET whose answer is an attachment's bytes."""

    path: str
    query: Query = ()


class ParsePage(Protocol):
    """Parse a page of a listing."""

    def __call__(self, raw: bytes, *, max_entries: int = PAGE_SIZE) -> Page:
        """Return the page; raises `BadReply`, also where it has more entries."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Describe a paged collection; each page is a `Call` of its own."""

    path: str
    parse: ParsePage
    filters: Query = ()

    def page(self, token: str, style: PagingStyle) -> Call[Page]:
        """Return the call for the page that `token` names; the empty token names the first."""
        size = ("page_size", str(PAGE_SIZE))
        if not token:
            query: Query = (size, *self.filters)
        elif style is PagingStyle.SIZE:
            query = (size, ("page_token", token))
        elif style is PagingStyle.QUERY:
            query = (size, *self.filters, ("page_token", token))
        else:
            query = (("page_token", token),)
            parse = partial(self.parse, max_entries=_MAX_ENTRIES)
            return Call(self.path, parse, _MAX_PAGE_BYTES, query)
        return Call(self.path, self.parse, _MAX_PAGE_BYTES, query)


def assets(*, untracked: bool = False) -> Listing:
    """List all assets that the token may see; untracked ones too where asked for."""
    filters: Query = (("tracked", "ANY"),) if untracked else ()
    return Listing(f"{_V2}/assets", parse_assets_page, filters)


def events(asset: Holder) -> Listing:
    """List all events of an asset."""
    return Listing(f"{_V2}/{asset.path}/events", parse_events_page)


def all_events() -> Listing:
    """List the events of all assets that the token may see (contract section 5.1)."""
    return Listing(f"{_V2}/assets/-/events", parse_events_page)


def probe() -> Call[Page]:
    """Ask for a single asset: it tells whether URL and token are good."""
    return few(assets(), 1)


def few(listing: Listing, count: int) -> Call[Page]:
    """Ask for so many entries of a listing."""
    query = (("page_size", str(count)), *listing.filters)
    return Call(listing.path, listing.parse, _MAX_PAGE_BYTES, query)


def public_probe() -> Call[Record]:
    """Ask for a public asset that is not there: it tells whether the server is."""
    return record(Holder(_NOBODY, public=True))


def is_public(path: str) -> bool:
    """Tell whether a path is asked for without a token (contract section 1.4)."""
    return path.startswith(_PUBLIC)


def record(holder: Holder, *, at_time: str | None = None) -> Call[Record]:
    """Ask for the record of an asset or an event; of an asset, as it stood at an RFC 3339 time."""

    def parse(raw: bytes) -> Record:
        if holder.event is None:
            return parse_asset(raw, asset=holder.asset)
        return parse_event(raw, event=holder.event)

    query: Query = () if at_time is None else (("at_time", at_time),)
    return Call(f"{_V2}/{holder.path}", parse, _MAX_RECORD_BYTES, query)


def attachment_url(path: AttachmentPath) -> str:
    """Return where the Attachments API has an attachment: a URL without its origin."""
    return f"{_V2}/attachments/{path.path}"


def blob_url(attachment: str) -> str:
    """Return where the Blobs API has the same bytes, of the own tenant only (section 4)."""
    return f"/archivist/v1/blobs/{attachment}"


def source_url(path: AttachmentPath, source: str) -> str:
    """Return where a source has an attachment: a URL without its origin.

    The source is "" for the path's own URL, `ASSET` for that of its event's asset, `BLOB` for the
    Blobs API's, or the UUID of the event that set it on its asset. Raises `BadReply` for others.
    """
    holder, attachment = path
    if not source:
        return attachment_url(path)
    if source == BLOB and not holder.public:
        return blob_url(attachment)
    if source == ASSET and holder.event is not None:
        return attachment_url(AttachmentPath(holder.owner, attachment))
    if is_uuid(source) and holder.event is None:
        return attachment_url(AttachmentPath(holder._replace(event=source), attachment))
    raise BadReply(f"{path.path}: no such source of an attachment")


def info(path: AttachmentPath, source: str = "") -> Call[Info]:
    """Ask for the `/info` of an attachment, at one of its sources."""
    url = source_url(path, source)
    return Call(f"{url}/info", partial(parse_info, source=source), _MAX_INFO_BYTES)


def download(path: AttachmentPath, policy: ScanPolicy, source: str = "") -> Download:
    """Ask for the bytes of an attachment, as far as the scan policy lets them pass."""
    query: Query = ()
    if policy is ScanPolicy.ALLOW:
        query = (("allow_insecure", "true"),)
    elif policy is ScanPolicy.REQUIRE_OK:
        query = (("strict", "true"),)
    return Download(source_url(path, source), query)
