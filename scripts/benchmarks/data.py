"""The archives to measure with, as the files that nginx answers with (`harness.servers`).

All but the bytes of attachments follows from names: another machine makes the same records.
"""

import hashlib
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import msgspec

from attachfs.demo.archive import Archive
from attachfs.demo.storage import Row, Selection
from attachfs.demo.wire import Record
from tests.support.archives import declared

MIB: Final = 1024 * 1024
PAGE_RECORDS: Final = 100
_VERSION: Final = "2"  # of the layout: data of another is made anew
_SMALL_BYTES: Final = 64 * 1024
_FIRST: Final = "first"
_BLOCK_BYTES: Final = 16 * MIB
_NEWEST: Final = datetime(2024, 12, 31, 18, tzinfo=UTC)
_SPAN_S: Final = 3 * 365 * 86400
_KINDS: Final = ("Pump", "Valve", "Bridge", "Door entry terminal", "Invoice", "Container", "Lift")
_SITES: Final = ("Harbour east", "Harbour west", "Plant 2", "Depot", "Zürich", "Line A/B", "Yard")
_SENTENCE: Final = (
    "Commissioned together with its neighbour, see the report attached to the first event."
)
_EVENT: Final = {"operation": "Record", "behaviour": "RecordEvidence"}
_CHUNK: Final = 100  # attachments in a request: a request holds 50 KiB of attributes


@dataclass(frozen=True, slots=True)
class Blob:
    """An attachment: bare UUIDs, and its size in bytes."""

    asset: str
    attachment: str
    size_bytes: int

    @property
    def path(self) -> str:
        """Its path in a mount."""
        return f"assets/{self.asset}/{self.attachment}"


@dataclass(frozen=True, slots=True)
class Records:
    """An archive of `asset_count` assets below `root`, without bytes.

    Its pages hold 100 records of 1.2 to 2.4 KB, the newest first. Where it is `walkable`, each
    asset has two events and all records can be requested one by one; else only the pages exist.
    """

    root: Path
    name: str
    asset_count: int
    walkable: bool

    @property
    def page_count(self) -> int:
        """How many pages all assets take, and all events where it is walkable."""
        counts = (self.asset_count, 2 * self.asset_count * self.walkable)
        return sum(-(-count // PAGE_RECORDS) for count in counts)

    @property
    def attachment_count(self) -> int:
        """How many attachments the assets have: every other one has two, the rest one."""
        return self.asset_count + (self.asset_count + 1) // 2

    def asset(self, number: int) -> str:
        """Return the UUID of an asset; number 0 is the newest."""
        return _uuid(f"{self.name}-asset-{number}")

    def warm(self) -> None:
        """Read all files into the page cache: what the server serves is in memory for all."""
        for file in self.root.glob("*/*"):
            file.read_bytes()

    def make(self) -> None:
        """Make what is missing, by the embedded archive; 100,000 assets take half a minute."""
        _make_once(self.root, self._make)

    def _make(self) -> None:
        with _archive(self.root) as archive:
            with archive.storage.transaction():
                for number in reversed(range(self.asset_count)):
                    self._add(archive, number)
            _publish(archive, self.root, events=self.walkable, records=self.walkable)

    def _add(self, archive: Archive, number: int) -> None:
        created = _NEWEST - timedelta(seconds=_SPAN_S * number // self.asset_count)
        kind, site = _KINDS[number % len(_KINDS)], _SITES[number % 11 % len(_SITES)]
        # People give the same name twice: one in fifty does without a number.
        serial = f" {number:06d}" if number % 50 else ""
        attributes: dict[str, Any] = {
            "arc_display_name": f"{kind}{serial}, {site}",
            "arc_display_type": kind,
            "arc_description": " ".join([_SENTENCE] * (2 + number % 2)),
            "arc_home_location_identity": f"locations/{_uuid(f'location-{site}')}",
            "arc_primary_image": self._attachment(f"{number}-image", "photo.jpeg"),
            "commissioned": created.date().isoformat(),
            "serial_number": f"{number:010d}",
            **{f"custom field {place}": f"{kind}, field {place}" for place in range(5)},
        }
        if number % 2 == 0:
            attributes["document_document"] = self._attachment(f"{number}-manual", "manual.pdf")
        evidence = {
            "arc_display_type": "Inspection",
            "arc_description": _SENTENCE,
            "report": self._attachment(f"{number}-report", "report.pdf"),
            "inspector": f"inspector-{number % 40}@example.com",
            "result": "pass",
        }
        asset, event = self.asset(number), _uuid(f"{self.name}-event-{number}")
        first = {"uuid": asset, "event_uuid": _uuid(f"{event}-created"), "at": created}
        archive.create_asset({"attributes": attributes}, **first)
        recorded = created + timedelta(days=1 + number % 30)
        body = {**_EVENT, "event_attributes": evidence}
        archive.create_event(asset, body, uuid=event, at=recorded)

    def _attachment(self, name: str, file_name: str) -> dict[str, Any]:
        digest = {"alg": "SHA256", "value": hashlib.sha256(name.encode()).hexdigest()}
        blob = {"identity": f"blobs/{_uuid(f'{self.name}-blob-{name}')}", "hash": digest}
        stem = file_name.partition(".")[0]
        return declared(blob, arc_display_name=stem, arc_file_name=file_name)


class Data:
    """One large blob of 256 MiB, one of 1 GiB, and 1,000 of 64 KiB, each of random bytes.

    `wide` are 100 assets with 20 of 1 MiB each; `make_wide` makes them. `listed` and `walked` are
    archives to list and to walk, a tenth as large where it is `quick`. What an earlier run made
    below `root` is used again.
    """

    def __init__(self, root: Path, *, quick: bool) -> None:
        self.root = root
        (self.big,) = _blobs("big", ["big"], 256 * MIB)
        (self.huge,) = _blobs("huge", ["huge"], 1024 * MIB)
        self.small, self.few = (
            _blobs(asset, (f"{asset}-{number:04d}" for number in range(count)), _SMALL_BYTES)
            for asset, count in (("small", 1000), ("few", 100))
        )
        self.wide = [
            _blobs(f"wide-{asset}", (f"wide-{asset}-{number}" for number in range(20)), MIB)
            for asset in range(100)
        ]
        part = 10 if quick else 1
        self.listed, self.walked = (
            Records(root / "estates" / f"{name}-{count}", name, count, walkable)
            for name, count, walkable in (
                ("listed", 100_000 // part, False),
                ("walked", 10_000 // part, True),
            )
        )

    def make(self) -> None:
        """Make what is missing: 1.8 GiB and the archives to list and to walk, half a minute."""
        _make_once(self.root, lambda: self._make([[self.big], [self.huge], self.small, self.few]))
        for records in (self.listed, self.walked):
            records.make()

    def make_wide(self, assets: list[list[Blob]]) -> None:
        """Make what is missing of some of `wide`: 2 GiB, ten seconds."""
        made = self.root / "asset"
        self._make([blobs for blobs in assets if not (made / blobs[0].asset).exists()])

    def local(self, blob: Blob) -> Path:
        """Return the local file with the bytes of a blob."""
        return self.root / "bytes" / blob.asset / blob.attachment

    def warm(self, blobs: list[Blob]) -> None:
        """Read files into the page cache: what the server serves is in memory for all."""
        for blob in blobs:
            with self.local(blob).open("rb", buffering=0) as file:
                while file.read(_BLOCK_BYTES):
                    pass

    def _make(self, assets: list[list[Blob]]) -> None:
        """Make assets by the embedded archive, and publish their records, /info and bytes."""
        with _archive(self.root) as archive:
            for blobs in assets:
                asset = blobs[0].asset
                archive.create_asset({"attributes": {}}, uuid=asset)
                for begin in range(0, len(blobs), _CHUNK):
                    chunk = blobs[begin : begin + _CHUNK]
                    attached = {blob.attachment: self._make_file(archive, blob) for blob in chunk}
                    archive.create_event(asset, {**_EVENT, "asset_attributes": attached})
            _publish(archive, self.root, listed=False)

    def _make_file(self, archive: Archive, blob: Blob) -> dict[str, Any]:
        """Publish a blob of random bytes; return the attribute that attaches it."""
        archive.create_blob(os.urandom(blob.size_bytes), uuid=blob.attachment)
        info = archive.edit_blob(blob.attachment, scanned_status="SCANNED_OK")
        _write(self.root / "info" / blob.asset / blob.attachment, info)
        self.local(blob).parent.mkdir(parents=True, exist_ok=True)
        archive.blobs.path(blob.attachment).rename(self.local(blob))
        return declared(info, arc_file_name=blob.attachment)


@contextmanager
def _archive(root: Path) -> Iterator[Archive]:
    """Open an empty archive, which is removed after the block, on the same disk as `root`."""
    with tempfile.TemporaryDirectory(dir=root) as directory:
        archive = Archive(Path(directory) / "archive")
        try:
            yield archive
        finally:
            archive.close()


def _make_once(root: Path, make: Callable[[], None]) -> None:
    """Make a directory, unless an earlier run has made it in this version's layout."""
    done = root / "version"
    if not done.is_file() or done.read_text() != _VERSION:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        make()
        done.write_text(_VERSION)


def _blobs(asset: str, names: Iterable[str], size_bytes: int) -> list[Blob]:
    uuid = _uuid(f"asset-{asset}")
    return [Blob(uuid, _uuid(f"blob-{name}"), size_bytes) for name in names]


def _uuid(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, name))


def _publish(
    archive: Archive, root: Path, *, listed: bool = True, events: bool = False, records: bool = True
) -> None:
    """Write the pages of assets, and of `events` if asked for; and the `records` one by one."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for kind in ("asset", "event") if events else ("asset",):
        found[kind] += (row for row, _ in archive.storage.select(Selection(kind=kind)))
    found["event"].sort(key=lambda row: str(row.record["timestamp_accepted"]), reverse=True)
    for kind in ("asset", "event"):
        _write_pages(root, f"{kind}s", [row.record for row in found[kind] if listed])
    own: defaultdict[str, list[Record]] = defaultdict(list)
    for row in found["event"]:
        own[row.asset].append(row.record)
        _write(root / "event" / row.uuid, row.record)
    for row in found["asset"] if records else ():
        _write(root / "asset" / row.uuid, row.record)
        _write(root / "asset-events" / row.uuid, _page("events", own[row.uuid]))


def _write_pages(root: Path, kind: str, records: list[Record]) -> None:
    """Write pages under their tokens; the first has none, `single` answers a mount's probe."""
    token = _FIRST
    for begin in range(0, len(records) or 1, PAGE_RECORDS):
        end = begin + PAGE_RECORDS
        following = _uuid(f"{kind}-page-{end}").replace("-", "") if end < len(records) else ""
        _write(root / kind / token, _page(kind, records[begin:end], following))
        if begin == 0:
            _write(root / kind / "single", _page(kind, records[:1], following))
        token = following


def _page(kind: str, records: list[Record], following: str = "") -> Record:
    return {kind: records, "next_page_token": following}


def _write(path: Path, value: Record) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(value))
