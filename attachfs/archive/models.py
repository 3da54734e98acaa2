"""What the server answers, parsed: records, pages and `/info` (contract sections 3.2 and 5).

The parsers take bytes of a stranger. They raise `BadReply` and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from attachfs.archive.attachments import Attachment, find_attachments
from attachfs.archive.digests import declared_sha256
from attachfs.archive.identities import uuid_of
from attachfs.archive.timestamps import parse_ns
from attachfs.errors import BadReply

SCANNED_OK: Final = "SCANNED_OK"
SCANNED_BAD: Final = "SCANNED_BAD"
NOT_SCANNED: Final = "NOT_SCANNED"

# What takes longer than about 2 ms to parse: parsed in a thread, which costs 0.2 ms, and once only.
LARGE_ANSWER_BYTES: Final = 256 * 1024
PAGE_SIZE: Final = 500  # entries that are asked for
_MAX_TOKEN_CHARS: Final = 8 * 1024  # it goes into a URL, and servers refuse longer ones
_MAX_SIZE_BYTES: Final = 2**63 - 1  # what st_size can hold
_SETTLED: Final = frozenset({"COMMITTED", "CONFIRMED", "UNEQUIVOCAL"})
# `at_time` may be the moment of reading (contract section 5.2): no change of the record.
_VOLATILE_FIELDS: Final = frozenset({"at_time"})

T = TypeVar("T")


class Record(msgspec.Struct, frozen=True, dict=True):
    """Hold an asset or an event as served, and what the tree needs of it.

    `raw` is its JSON as it came; `accepted_ns` is an event's `timestamp_accepted` in nanoseconds
    since 1970 UTC, 0 for an asset, which has none. `label` is what people call it: an asset's
    `arc_display_name`, an event's `arc_display_type`. `settled` tells of an event that the service
    has accepted for good (contract section 5.2).
    """

    id: str
    raw: bytes
    attachments: tuple[Attachment, ...]
    accepted_ns: int = 0
    label: str = ""
    settled: bool = False

    def attachment(self, attachment_id: str) -> Attachment | None:
        """Return the attachment of that UUID, or None where the record does not name it."""
        return self._by_id.get(attachment_id)

    @cached_property
    def _by_id(self) -> dict[str, Attachment]:
        return {attachment.id: attachment for attachment in reversed(self.attachments)}

    def same_as(self, other: "Record") -> bool:
        """Tell whether both say the same: the server's key order and `at_time` do not count.

        Of large ones, every byte does.
        """
        if self.raw == other.raw:
            return True
        is_large = max(len(self.raw), len(other.raw)) > LARGE_ANSWER_BYTES
        return not is_large and _stable(self.raw) == _stable(other.raw)


class Listed(NamedTuple):
    """Hold an entry of a page: a whole record, of which just this has been looked at.

    `asset` is the asset that an event says it is of, None where it does not; `creation` tells
    that it is an asset's first event (contract section 5.3).
    """

    id: str
    raw: bytes
    asset: str | None = None
    accepted_ns: int = 0
    creation: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Hold one page of a listing and the token of the next, empty at the end."""

    entries: tuple[Listed, ...]
    next_token: str
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Info:
    """Hold what `/info` says of an attachment (contract section 3.2).

    `sha256` is None where another algorithm was used. `fields` is the parsed JSON, `raw` its
    bytes as served. `scanned_status` is `NOT_SCANNED` for everything unknown, as the service has
    it. `source` tells whose URL served it, as for `endpoints.source_url`: there the bytes are.
    Times in nanoseconds since 1970 UTC, sizes in bytes.
    """

    size_bytes: int
    sha256: str | None
    mime_type: str
    accepted_ns: int
    scanned_status: str
    scanned_bad_reason: str
    raw: bytes = field(repr=False)
    fields: Mapping[str, Any] = field(repr=False)
    source: str = ""

    def same_as(self, other: "Info") -> bool:
        """Tell whether both say the same, in whatever order of keys."""
        return self.raw == other.raw or self.fields == other.fields


class _Entry(msgspec.Struct, gc=False):
    identity: Any = None
    asset_identity: Any = None
    timestamp_accepted: Any = None
    operation: Any = None


def parse_asset(raw: bytes, *, asset: str | None = None) -> Record:
    """Parse an asset; where `asset` is given, its identity must be that UUID."""
    value = _decode_object(raw, "an asset")
    attributes = value.get("attributes")
    return Record(
        id=_identity(value, asset, "an asset"),
        raw=raw,
        attachments=find_attachments(attributes),
        label=_entry(attributes, "arc_display_name"),
    )


def parse_event(raw: bytes, *, event: str | None = None) -> Record:
    """Parse an event; its attachments are those of its own and those it set on the asset."""
    value = _decode_object(raw, "an event")
    own = value.get("event_attributes")
    accepted_ns = parse_ns(value.get("timestamp_accepted")) or 0
    return Record(
        id=_identity(value, event, "an event"),
        raw=raw,
        attachments=find_attachments(own, value.get("asset_attributes")),
        accepted_ns=accepted_ns,
        label=_entry(own, "arc_display_type") or _text(value.get("operation")),
        settled=accepted_ns > 0 and _text(value.get("confirmation_status")) in _SETTLED,
    )


def parse_assets_page(raw: bytes, *, max_entries: int = PAGE_SIZE) -> Page:
    """Parse a page of assets of at most `max_entries`; count what is not an asset as skipped."""
    return _page(_decode(raw, _page_type("assets", max_entries), "a page of assets"))


def parse_events_page(raw: bytes, *, max_entries: int = PAGE_SIZE) -> Page:
    """Parse a page of events of at most `max_entries`; count what is not an event as skipped."""
    return _page(_decode(raw, _page_type("events", max_entries), "a page of events"))


def parse_info(raw: bytes, *, source: str = "") -> Info:
    """Parse the answer of `/info` that came from a source; only the size is indispensable."""
    fields = _decode_object(raw, "/info")
    size = fields.get("size")
    if isinstance(size, str) and size.isascii() and size.isdigit() and len(size) < 20:  # noqa: PLR2004 - digits of 2**63
        size = int(size)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE_BYTES:
        raise BadReply("/info has no usable size")
    digest = fields.get("hash")
    if not isinstance(digest, Mapping):
        digest = {}
    status = fields.get("scanned_status")
    return Info(
        size_bytes=size,
        sha256=declared_sha256(digest.get("alg"), digest.get("value")),
        mime_type=_text(fields.get("mime_type")),
        accepted_ns=parse_ns(fields.get("timestamp_accepted")) or 0,
        scanned_status=status if status in (SCANNED_OK, SCANNED_BAD) else NOT_SCANNED,
        scanned_bad_reason=_text(fields.get("scanned_bad_reason")),
        raw=raw,
        fields=fields,
        source=source,
    )


@lru_cache
def _page_type(name: str, max_entries: int) -> type[msgspec.Struct]:
    """Return the type of a page that holds its entries in the field `name`.

    The array is a struct with a field for each entry, because msgspec checks the length of a
    struct while it parses, and that of a list only once the whole list has been made: 32 MiB of
    `0,` would take 1.2 GiB of memory and some seconds.
    """
    fields = [(f"entry_{number}", Raw | UnsetType, UNSET) for number in range(max_entries)]
    entries = msgspec.defstruct("Entries", fields, array_like=True, forbid_unknown_fields=True)
    token = ("next_page_token", str | None, None)
    return msgspec.defstruct("Page", [("entries", entries), token], rename={"entries": name})


def _page(page: Any) -> Page:
    entries: list[Listed] = []
    skipped = 0
    for raw in msgspec.structs.astuple(page.entries):
        if raw is UNSET:
            break
        try:
            entry = _decode_entry(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            skipped += 1
            continue
        uuid = uuid_of(entry.identity)
        if uuid is None:
            skipped += 1
            continue
        entries.append(
            Listed(
                uuid,
                bytes(raw),
                None if entry.asset_identity is None else uuid_of(entry.asset_identity),
                parse_ns(entry.timestamp_accepted) or 0 if entry.timestamp_accepted else 0,
                entry.operation == "NewAsset",
            )
        )
    token = page.next_page_token or ""
    if len(token) > _MAX_TOKEN_CHARS:
        raise BadReply("the server sent a page token of more than 8 KiB")
    return Page(entries=tuple(entries), next_token=token, skipped=skipped)


_decode_entry = msgspec.json.Decoder(_Entry).decode


def _decode(raw: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    # RecursionError: nesting deeper than the interpreter allows is bad input like any other.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadReply(f"the server sent something that is not {what}") from error


def _decode_object(raw: bytes, what: str) -> dict[str, Any]:
    return _decode(raw, dict[str, Any], what)


def _identity(value: Mapping[str, Any], expected: str | None, what: str) -> str:
    found = uuid_of(value.get("identity"))
    if found is None or expected not in (None, found):
        raise BadReply(f"the server sent {what} without the right identity")
    return found


def _stable(raw: bytes) -> dict[str, Any]:
    value = _decode_object(raw, "a record")
    return {key: value[key] for key in value.keys() - _VOLATILE_FIELDS}


def _entry(attributes: object, name: str) -> str:
    return _text(attributes.get(name)) if isinstance(attributes, Mapping) else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
