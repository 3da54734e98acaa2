"""Blobs: bytes on disk, their `/info`, and the faults that tests inject into both."""

import hashlib
import os
import tempfile
import uuid as uuids
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from attachfs.demo import scanning, sniff
from attachfs.demo.errors import ApiError
from attachfs.demo.ledger import TENANT
from attachfs.demo.storage import Storage
from attachfs.demo.wire import Record, seconds

_COPY_BYTES = 1 << 20
_MINIMAL_INFO = ("identity", "hash", "mime_type", "timestamp_accepted", "size")


class BlobFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wrong with a blob on purpose, until the archive stops.

    `flip_body_byte` is the offset of a byte to invert, `truncate_body` the number of bytes after
    which the body ends; a `foreign` blob is served to readers of its asset, but not as a blob.
    """

    flip_body_byte: int | None = None
    flip_info_hash: bool = False
    info_overrides: Record = {}
    truncate_body: int | None = None
    foreign: bool = False


@dataclass(frozen=True)
class Staged:
    """Bytes on disk that are no blob yet."""

    path: Path
    sha256: str
    size_bytes: int
    mime_type: str


class Blobs:
    """Stores, describes and spoils blobs."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._faults: dict[str, BlobFault] = {}

    def stage(
        self, source: BinaryIO, *, mime_type: str | None = None, limit_bytes: int = -1
    ) -> Staged:
        """Copy a stream to disk without making it a blob yet; may run in a thread.

        Args:
            source: The bytes.
            mime_type: Overrides what the content looks like.
            limit_bytes: Size that is too much; -1 is no limit.

        Raises:
            ApiError: 402, the content reaches the limit (contract §4).
        """
        descriptor, name = tempfile.mkstemp(dir=self._storage.blob_dir, prefix=".upload-")
        path = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as target:
                sha256, size_bytes = _copied(source, target, limit_bytes)
            mime_type = mime_type or sniff.mime_type_of(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Staged(path, sha256, size_bytes, mime_type)

    def accept(self, staged: Staged, at: datetime, *, uuid: str | None = None) -> Record:
        """Make a staged file a blob and return its `/info`.

        Args:
            staged: The file.
            at: `timestamp_accepted`.
            uuid: Of the blob; random if not given.
        """
        uuid = uuid or str(uuids.uuid4())
        staged.path.replace(self._storage.blob_path(uuid))
        record: Record = {
            "identity": f"blobs/{uuid}",
            "hash": {"alg": "SHA256", "value": staged.sha256},
            "issuer": "local",
            "mime_type": staged.mime_type,
            "size": staged.size_bytes,
            "subject": "user@archive.example",
            "tenantid": TENANT,
            "timestamp_accepted": seconds(at),
            "scanned_status": "NOT_SCANNED",
            "scanned_bad_reason": "",
            "scanned_timestamp": "",
        }
        self._storage.save("blobs", uuid, record)
        return record

    def record(self, uuid: str, *, as_blob: bool = False) -> Record:
        """Return what is stored about a blob.

        Args:
            uuid: Of the blob.
            as_blob: Whether it is asked for as a blob, which foreign ones refuse.

        Raises:
            ApiError: 404, there is none (contract §4).
        """
        found = self._storage.load("blobs", uuid)
        if found is None or (as_blob and self.fault(uuid).foreign):
            raise ApiError.missing("blob")
        return found

    def info(self, uuid: str, *, prefix: str, minimal: bool = False) -> Record:
        """Return the `/info` of a blob, its faults included (contract §3.2).

        Args:
            uuid: Of the blob.
            prefix: `attachments` or `blobs`.
            minimal: Whether to answer as in 2021.

        Raises:
            ApiError: 404, there is none.
        """
        record = self.record(uuid)
        fault = self.fault(uuid)
        info = {**record, "identity": f"{prefix}/{uuid}"}
        if fault.flip_info_hash:
            value = record["hash"]["value"]
            info["hash"] = {**record["hash"], "value": f"{int(value[0], 16) ^ 1:x}{value[1:]}"}
        if minimal:
            info = {name: info[name] for name in _MINIMAL_INFO}
        return {**info, **fault.info_overrides}

    def fault(self, uuid: str) -> BlobFault:
        """Return what is wrong with a blob."""
        return self._faults.get(uuid, BlobFault())

    def path(self, uuid: str) -> Path:
        """Return the file with the bytes of a blob."""
        return self._storage.blob_path(uuid)

    def edit(self, uuid: str, changes: Mapping[str, Any], at: datetime) -> Record:
        """Set the scan's result, inject faults, or delete a blob; return what is stored of it.

        Args:
            uuid: Of the blob.
            changes: Fields of the scan (contract §3.2), of `BlobFault`, or `delete`.
            at: When a scan sets its timestamp, unless the changes say so.

        Raises:
            ApiError: 400, an unknown field; 404, no such blob.
        """
        record = self.record(uuid)
        faults = dict(changes)
        if faults.pop("delete", False):
            self._storage.remove("blobs", uuid)
            self._faults.pop(uuid, None)
            return {}
        scan = {name: faults.pop(name) for name in list(faults) if name.startswith("scanned_")}
        try:
            fault = msgspec.convert({**msgspec.to_builtins(self.fault(uuid)), **faults}, BlobFault)
        except msgspec.ValidationError as error:
            raise ApiError.invalid(f"bad fault: {error}") from error
        if scan:
            record = {**record, **_scan_result(scan, at)}
            self._storage.save("blobs", uuid, record)
        self._faults[uuid] = fault
        return record


def _copied(source: BinaryIO, target: BinaryIO, limit_bytes: int) -> tuple[str, int]:
    digest = hashlib.sha256()
    size_bytes = 0
    while chunk := source.read(_COPY_BYTES):
        size_bytes += len(chunk)
        digest.update(chunk)
        target.write(chunk)
        if 0 <= limit_bytes <= size_bytes:
            raise ApiError.plain(402, "filesize exceeds maximum")
    return digest.hexdigest(), size_bytes


def _scan_result(scan: Record, at: datetime) -> Record:
    status = scan.get("scanned_status", "NOT_SCANNED")
    reason = scan.get("scanned_bad_reason", "")
    default_time = "" if status == "NOT_SCANNED" else seconds(at)
    timestamp = scan.get("scanned_timestamp", default_time)
    if status not in scanning.STATUSES or not isinstance(reason, str):
        raise ApiError.invalid("bad result of a scan")
    return {
        "scanned_status": status,
        "scanned_bad_reason": reason,
        "scanned_timestamp": str(timestamp),
    }
