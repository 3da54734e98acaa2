"""Attachments of the same bytes, whose SHA-256 is declared in every way that there is."""

from collections.abc import Callable

from attachfs.archive.identities import AttachmentPath, Holder
from tests.support.archives import declared, sha256, uuid_in
from tests.support.estates import Estate

EVIL = b"evil"
DIGEST = sha256(EVIL)
Declare = Callable[[Estate], AttachmentPath]


def _by_both(estate: Estate) -> AttachmentPath:
    return estate.one(EVIL)


def by_info(estate: Estate) -> AttachmentPath:
    """Attach the bytes, declared by `/info` alone."""
    return estate.one(EVIL, arc_blob_hash_value=None)


def by_record(estate: Estate) -> AttachmentPath:
    """Attach the bytes, declared by the record alone."""
    path = estate.one(EVIL)
    estate.demo.edit_blob(path.attachment, info_overrides={"hash": {}})
    return path


def _by_record_in_capitals(estate: Estate) -> AttachmentPath:
    path = estate.one(EVIL, arc_blob_hash_value=DIGEST.upper(), arc_blob_hash_alg="SHA-256")
    estate.demo.edit_blob(path.attachment, info_overrides={"hash": {}})
    return path


def _by_event(estate: Estate) -> AttachmentPath:
    holder = Holder(uuid_in(estate.demo.create_asset({"attributes": {}})))
    event, (attachment,) = estate.event(holder, EVIL)
    estate.demo.edit_blob(attachment, info_overrides={"hash": {}})
    return AttachmentPath(event, attachment)


def _by_event_on_asset(estate: Estate) -> AttachmentPath:
    holder = Holder(uuid_in(estate.demo.create_asset({"attributes": {}})))
    blob = estate.blob(EVIL)
    event, _ = estate.event(holder, on_asset={"latest": declared(blob)})
    estate.demo.edit_blob(uuid_in(blob), info_overrides={"hash": {}})
    return AttachmentPath(event, uuid_in(blob))


DECLARED: list[Declare] = [
    _by_both, by_info, by_record, _by_record_in_capitals, _by_event, _by_event_on_asset,
]  # fmt: skip
