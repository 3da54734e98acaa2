"""The files to measure with: an archive's bytes, records and `/info`, laid out for nginx."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from benchmarks.estates import Estate

MIB: Final = 1024 * 1024
_VERSION: Final = "1"  # of the layout: data of another is made anew
_SMALL_BYTES: Final = 64 * 1024
_BLOCK_BYTES: Final = 16 * MIB


@dataclass(frozen=True, slots=True)
class Blob:
    """Name one attachment: bare UUIDs, and its size in bytes."""

    asset: str
    attachment: str
    size_bytes: int

    @property
    def path(self) -> str:
        """Its path below `assets/` and below `bytes/`."""
        return f"assets/{self.asset}/{self.attachment}"


class Data:
    """Hold one large blob of 256 MiB, one of 1 GiB, and 1,000 of 64 KiB, each of random bytes.

    `wide` are 100 assets with 20 of 1 MiB each, for whom `make_wide` must be called.

    Below `root` are `bytes/`, `info/` and `records/`, each with `assets/<asset>/...`, and
    `estates/`: whole archives, one to list and one to walk, a tenth as large where it is `quick`.
    What an earlier run made is used again.
    """

    def __init__(self, root: Path, *, quick: bool) -> None:
        self.root = root
        self.big = _blob("big", "big", 256 * MIB)
        self.huge = _blob("huge", "huge", 1024 * MIB)
        self.small = [_blob("small", f"small-{number:04d}", _SMALL_BYTES) for number in range(1000)]
        self.few = [_blob("few", f"few-{number:04d}", _SMALL_BYTES) for number in range(100)]
        self.wide = [
            [
                _blob(f"wide-{asset:03d}", f"wide-{asset:03d}-{number:02d}", MIB)
                for number in range(20)
            ]
            for asset in range(100)
        ]
        self.listed = _estate(root, "listed", 10_000 if quick else 100_000, walkable=False)
        self.walked = _estate(root, "walked", 1_000 if quick else 10_000, walkable=True)

    def make(self) -> None:
        """Make what is missing: 1.8 GiB, fifteen seconds."""
        self._make_blobs()
        for estate in (self.listed, self.walked):
            estate.make()

    def local(self, blob: Blob) -> Path:
        """Return the local file with the bytes of a blob."""
        return self.root / "bytes" / blob.path

    def warm(self, blobs: list[Blob]) -> None:
        """Read files into the page cache: what the server serves is in memory for everybody."""
        for blob in blobs:
            with self.local(blob).open("rb", buffering=0) as file:
                while file.read(_BLOCK_BYTES):
                    pass

    def make_wide(self, assets: list[list[Blob]]) -> None:
        """Make what is missing of some of `wide`: 2 GiB, ten seconds."""
        for blobs in assets:
            if not (self.root / "records" / "assets" / blobs[0].asset).exists():
                self._make_asset(blobs)

    def _make_blobs(self) -> None:
        done = self.root / "version"
        if done.is_file() and done.read_text() == _VERSION:
            return
        shutil.rmtree(self.root, ignore_errors=True)
        for blobs in ([self.big], [self.huge], self.small, self.few):
            self._make_asset(blobs)
        _write_json(self.root / "page", {"assets": [], "next_page_token": ""})
        done.write_text(_VERSION)

    def _make_asset(self, blobs: list[Blob]) -> None:
        attributes = dict(self._make_blob(blob) for blob in blobs)
        asset = blobs[0].asset
        _write_json(
            self.root / "records" / "assets" / asset,
            {
                "identity": f"assets/{asset}",
                "behaviours": ["Attachments", "RecordEvidence"],
                "attributes": {"arc_display_name": "benchmark", **attributes},
                "confirmation_status": "CONFIRMED",
                "tracked": "TRACKED",
                "owner": "",
                "at_time": "",
            },
        )

    def _make_blob(self, blob: Blob) -> tuple[str, dict[str, Any]]:
        digest = hashlib.sha256()
        path = self.local(blob)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for block in _random_blocks(blob.size_bytes):
                digest.update(block)
                file.write(block)
        _write_json(
            self.root / "info" / blob.path,
            {
                "identity": f"blobs/{blob.attachment}",
                "hash": {"alg": "SHA256", "value": digest.hexdigest()},
                "mime_type": "application/octet-stream",
                "size": blob.size_bytes,
                "timestamp_accepted": "2024-05-01T00:00:00Z",
                "scanned_status": "SCANNED_OK",
                "scanned_bad_reason": "",
                "scanned_timestamp": "2024-05-02T00:00:00Z",
            },
        )
        attribute = {
            "arc_attribute_type": "arc_attachment",
            "arc_blob_identity": f"blobs/{blob.attachment}",
            "arc_blob_hash_alg": "SHA256",
            "arc_blob_hash_value": digest.hexdigest(),
            "arc_file_name": blob.attachment,
        }
        return blob.attachment, attribute


def _blob(asset: str, name: str, size_bytes: int) -> Blob:
    return Blob(
        str(uuid5(NAMESPACE_URL, f"asset-{asset}")),
        str(uuid5(NAMESPACE_URL, f"blob-{name}")),
        size_bytes,
    )


def _estate(root: Path, name: str, asset_count: int, *, walkable: bool) -> Estate:
    return Estate(root / "estates" / f"{name}-{asset_count}", name, asset_count, walkable)


def _random_blocks(size_bytes: int) -> Iterator[bytes]:
    while size_bytes:
        block = os.urandom(min(size_bytes, _BLOCK_BYTES))
        yield block
        size_bytes -= len(block)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
