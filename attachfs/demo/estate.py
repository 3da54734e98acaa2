"""The sample estate: small, real, and the same every time, with fixed UUIDs and times."""

import hashlib
import uuid as uuids
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from attachfs.demo.archive import Archive
from attachfs.demo.estate_steps import Attached, Creation, Happening, Named, Upload
from attachfs.demo.estate_story import HISTORY
from attachfs.demo.wire import Record, parse_time, seconds

# Attachments are scanned in a daily batch (contract §3.2).
_SCAN_DELAY = timedelta(hours=18)


def _uuid(name: str) -> str:
    """Return the version-4 UUID that stands for a name."""
    return str(uuids.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4))


def _names() -> dict[str, str]:
    kinds = {Upload: "blob", Creation: "asset", Happening: "event"}
    return {
        f"{kinds[type(step)]}:{step.name}": _uuid(f"{kinds[type(step)]}:{step.name}")
        for step in HISTORY
    } | {
        f"event:{step.name}-created": _uuid(f"event:{step.name}-created")
        for step in HISTORY
        if isinstance(step, Creation)
    }


SAMPLE: Mapping[str, str] = MappingProxyType(_names())
"""UUIDs of the estate, by `asset:<name>`, `event:<name>` and `blob:<name>`.

The bad attachment is `blob:bad-invoice` on `event:coffee-delivery` of `asset:coffee`; the one of
5 MiB is `blob:temperature-log` on `event:container-arrival` of `asset:container`.
"""


def seed(archive: Archive) -> None:
    """Fill an archive with the sample estate, once, through the code that serves POST."""
    if archive.storage.meta("seeded") is not None or not archive.storage.is_empty():
        return
    digests: dict[str, str] = {}
    with archive.storage.transaction():
        for step in HISTORY:
            if isinstance(step, Upload):
                digests[step.name] = _upload(archive, step)
            elif isinstance(step, Creation):
                body = {"attributes": _resolved(step.attributes, digests), "public": step.public}
                archive.create_asset(
                    body,
                    uuid=SAMPLE[f"asset:{step.name}"],
                    event_uuid=SAMPLE[f"event:{step.name}-created"],
                    at=parse_time(step.at),
                )
            else:
                _happen(archive, step, digests)
        archive.storage.set_meta("seeded", "yes")


def _upload(archive: Archive, step: Upload) -> str:
    uuid, at = SAMPLE[f"blob:{step.name}"], parse_time(step.at)
    info = archive.create_blob(step.content(), uuid=uuid, at=at)
    if step.scan is not None:
        status, reason = step.scan
        archive.edit_blob(
            uuid,
            scanned_status=status,
            scanned_bad_reason=reason,
            scanned_timestamp=seconds(at + _SCAN_DELAY),
        )
    return str(info["hash"]["value"])


def _happen(archive: Archive, step: Happening, digests: Mapping[str, str]) -> None:
    body = {
        "behaviour": step.behaviour,
        "operation": step.operation,
        "event_attributes": _resolved(step.event, digests),
        "asset_attributes": _resolved(step.asset, digests),
    }
    archive.create_event(
        SAMPLE[f"asset:{step.of}"],
        body,
        uuid=SAMPLE[f"event:{step.name}"],
        at=parse_time(step.at),
    )


def _resolved(attributes: Mapping[str, Any], digests: Mapping[str, str]) -> Record:
    """Put dicts in place of what stands for blobs."""
    resolved: Record = {}
    for key, value in attributes.items():
        if isinstance(value, Attached):
            resolved[key] = _attachment(value, digests)
        elif isinstance(value, Named):
            resolved[key] = f"blobs/{SAMPLE[f'blob:{value.blob}']}"
        elif isinstance(value, list):
            resolved[key] = [_attachment(item, digests) for item in value]
        else:
            resolved[key] = value
    return resolved


def _attachment(attached: Attached, digests: Mapping[str, str]) -> dict[str, str]:
    identity, digest = f"blobs/{SAMPLE[f'blob:{attached.blob}']}", digests[attached.blob]
    if attached.old_form:
        return {
            "arc_attachment_identity": identity,
            "arc_hash_value": digest,
            "arc_hash_alg": "SHA256",
            "arc_display_name": attached.display_name or "",
        }
    entry = {
        "arc_attribute_type": "arc_attachment",
        "arc_blob_identity": identity,
        "arc_blob_hash_alg": "SHA256",
        "arc_blob_hash_value": digest,
    }
    if attached.file_name is not None:
        entry["arc_file_name"] = attached.file_name
    if attached.display_name is not None:
        entry["arc_display_name"] = attached.display_name
    return entry
