"""The requests attachfs makes, as values: a path, its query and how to read the answer.

All are GETs: attachfs changes nothing (contract section 3.1 and 5.1). Whatever sends them, a
transport is no concern of this module.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.models import (
    Info,
    Page,
    Record,
    parse_asset,
    parse_assets_page,
    parse_event,
    parse_events_page,
    parse_info,
)

T = TypeVar("T")

_V2: Final = "/archivist/v2"
_MIB: Final = 1024 * 1024
# Bounds on what is read of an answer. A record's attributes hold 51,200 bytes (contract section
# 5.4); a page of 500 of them is far below its bound.
_MAX_RECORD_BYTES: Final = 4 * _MIB
_MAX_PAGE_BYTES: Final = 128 * _MIB
_MAX_INFO_BYTES: Final = 1 * _MIB
PAGE_SIZE: Final = 500


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


@dataclass(frozen=True, slots=True)
class Listing:
    """Describe a paged collection; each page is a `Call` of its own."""

    path: str
    parse: Callable[[bytes], Page]
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
        return Call(self.path, self.parse, _MAX_PAGE_BYTES, query)


def assets(*, untracked: bool = False) -> Listing:
    """List all assets that the token may see; untracked ones too where asked for."""
    filters: Query = (("tracked", "ANY"),) if untracked else ()
    return Listing(f"{_V2}/assets", parse_assets_page, filters)


def events(asset: str) -> Listing:
    """List all events of an asset."""
    return Listing(f"{_V2}/assets/{asset}/events", parse_events_page)


def probe() -> Call[Page]:
    """Ask for a single asset: it tells whether URL and token are good."""
    return Call(f"{_V2}/assets", parse_assets_page, _MAX_PAGE_BYTES, (("page_size", "1"),))


def record(holder: Holder) -> Call[Record]:
    """Ask for the record of an asset or an event."""

    def parse(raw: bytes) -> Record:
        if holder.event is None:
            return parse_asset(raw, asset=holder.asset)
        return parse_event(raw, event=holder.event)

    return Call(f"{_V2}/{holder.path}", parse, _MAX_RECORD_BYTES)


def info(path: AttachmentPath) -> Call[Info]:
    """Ask for the `/info` of an attachment."""
    return Call(f"{_V2}/attachments/{path.path}/info", parse_info, _MAX_INFO_BYTES)


def download(path: AttachmentPath, policy: ScanPolicy) -> Download:
    """Ask for the bytes of an attachment, as far as the scan policy lets them pass."""
    query: Query = ()
    if policy is ScanPolicy.ALLOW:
        query = (("allow_insecure", "true"),)
    elif policy is ScanPolicy.REQUIRE_OK:
        query = (("strict", "true"),)
    return Download(f"{_V2}/attachments/{path.path}", query)
