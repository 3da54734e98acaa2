"""Keys of the index: a letter for the kind, whether it is public, then UUIDs as 16 bytes each.

    a, e    records of assets and events
    t       an asset's record as it stood at a time
    x       that an asset did not exist at a time
    i       `/info`
    l       listings: of all assets, of all events, of an asset's events
    n       when an asset's newest event known was accepted
    b       what was found bad: a SHA-256 digest, a space, the attachment that says so
    w       whose index it is: the archive's URL and who asked it

An asset's UUID comes first, so that a short id of the view by-name/ is a range of keys.
"""

from typing import Final

from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.catalog.uuids import UUID_BYTES, pack_uuid, unpack_uuid

ALL_ASSETS: Final = b"l-assets"
ALL_EVENTS: Final = b"l-events"
NEWEST: Final = b"n"
BAD: Final = b"b"
INFO: Final = b"i"
OWNER: Final = b"w"


def record_key(holder: Holder) -> bytes:
    """Return the key of a record."""
    return _key(b"a" if holder.event is None else b"e", holder)


def record_at_key(asset: Holder, at_time: str) -> bytes:
    """Return the key of an asset's record as it stood at a time."""
    return _key(b"t", asset) + at_time.encode()


def absent_at_key(asset: Holder, at_time: str) -> bytes:
    """Return the key of the absence of an asset at a time."""
    return _key(b"x", asset) + at_time.encode()


def info_key(path: AttachmentPath) -> bytes:
    """Return the key of an attachment's `/info`."""
    return _key(INFO, path.holder) + pack_uuid(path.attachment)


def bad_key(digest: str, path: str) -> bytes:
    """Return the key of the mark that an attachment puts on a digest; "" where none is known."""
    return BAD + f"{digest} {path}".encode()


def events_key(asset: Holder) -> bytes:
    """Return the key of the listing of an asset's events."""
    return _key(b"l", asset)


def newest_key(asset: Holder) -> bytes:
    """Return the key of the time of an asset's newest event."""
    return _key(NEWEST, asset)


def assets_prefix(digits: str, *, public: bool) -> bytes:
    """Return what the keys of all assets begin with whose UUIDs begin with these digits."""
    return b"a" + _visibility(public=public) + bytes.fromhex(digits)


def asset_of(key: bytes) -> str:
    """Return the asset in the key of its record."""
    return unpack_uuid(key[2 : 2 + UUID_BYTES])


def _key(kind: bytes, holder: Holder) -> bytes:
    uuids = holder.asset if holder.event is None else holder.asset + holder.event
    return kind + _visibility(public=holder.public) + bytes.fromhex(uuids.replace("-", ""))


def _visibility(*, public: bool) -> bytes:
    return b"\1" if public else b"\0"
