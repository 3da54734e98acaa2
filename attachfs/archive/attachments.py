"""Find the attachments that a record declares, in every form of the contract (section 6)."""

from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec

from attachfs.archive.digests import declared_sha256
from attachfs.archive.identities import uuid_of

_MARKER = "arc_attachment"
# No bytes have two SHA-256 digests, but a scan mark is on each: so many of 40,000 are enough.
_MAX_DIGESTS = 256
# Lists under these keys hold attachments even without the marker (contract section 6.2).
_LEGACY_KEYS = frozenset({"arc_attachments", "arc_append_attachments"})


class Attachment(msgspec.Struct, frozen=True):
    """Describe an attachment as a record declares it; sizes are known to `/info` alone.

    `record_digests` are all SHA-256 values declared for it in this record, in lower case, each
    of which the bytes must have; empty where the record has no usable one. `on_asset` tells that
    an event set it on its asset, and does not have it itself (contract section 6.4).
    """

    id: str
    key: str
    file_name: str
    display_name: str
    record_digests: tuple[str, ...]
    on_asset: bool = False


def find_attachments(*attribute_maps: object) -> tuple[Attachment, ...]:
    """Return the attachments that attribute maps declare, each UUID once, in order of discovery.

    Takes whatever the server sent: what is not an attachment is passed over, and one bad
    attribute never hides the good ones. Later mentions of a UUID add their digest. What only the
    second map has, an event's `asset_attributes`, is `on_asset`.
    """
    found: dict[str, Attachment] = {}
    digests: dict[str, dict[str, None]] = {}
    for number, attributes in enumerate(attribute_maps):
        if not isinstance(attributes, dict):
            continue
        for key, value in attributes.items():
            if isinstance(value, str):
                continue  # nearly all are
            for entry in _candidates(key, value):
                attachment = _attachment(str(key), entry, on_asset=number > 0)
                if attachment is None:
                    continue
                known = found.setdefault(attachment.id, attachment)
                if known is not attachment:
                    every = digests.setdefault(known.id, dict.fromkeys(known.record_digests))
                    every.update(dict.fromkeys(attachment.record_digests))
                    if not (known.file_name and known.display_name):
                        found[known.id] = _named(known, attachment)
    for uuid, every in digests.items():
        several = tuple(islice(every, _MAX_DIGESTS))
        found[uuid] = msgspec.structs.replace(found[uuid], record_digests=several)
    return tuple(found.values())


def _candidates(key: object, value: object) -> Iterator[Mapping[str, object]]:
    if isinstance(value, dict):
        if value.get("arc_attribute_type") == _MARKER:
            yield value
    elif isinstance(value, list):
        for entry in value:
            if isinstance(entry, dict) and (
                key in _LEGACY_KEYS or entry.get("arc_attribute_type") == _MARKER
            ):
                yield entry


def _attachment(key: str, entry: Mapping[str, object], *, on_asset: bool) -> Attachment | None:
    if "arc_blob_identity" in entry:
        attachment_id = uuid_of(entry["arc_blob_identity"])
        digest = declared_sha256(entry.get("arc_blob_hash_alg"), entry.get("arc_blob_hash_value"))
    else:
        attachment_id = uuid_of(entry.get("arc_attachment_identity"))
        digest = declared_sha256(entry.get("arc_hash_alg"), entry.get("arc_hash_value"))
    if attachment_id is None:
        return None
    return Attachment(
        id=attachment_id,
        key=key,
        file_name=_text(entry.get("arc_file_name")),
        display_name=_text(entry.get("arc_display_name")),
        record_digests=() if digest is None else (digest,),
        on_asset=on_asset,
    )


def _named(known: Attachment, again: Attachment) -> Attachment:
    """Return an attachment with the names that it lacked."""
    return msgspec.structs.replace(
        known,
        file_name=known.file_name or again.file_name,
        display_name=known.display_name or again.display_name,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
