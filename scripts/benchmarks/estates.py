"""Whole archives to list and to walk, as the files that nginx answers with.

Records are as large as real ones (1.2 to 2.4 KB) and have every field of the contract (sections
5.2 and 5.3). All of it follows from the estate's name: another machine makes the same bytes.
"""

import hashlib
import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_URL, uuid5

import msgspec

PAGE_RECORDS: Final = 100
_VERSION: Final = "1"  # of the layout: an estate of another is made anew
_BLOBS: Final = 256  # one for each pair of hexadecimal digits that an attachment's UUID begins with
_NEWEST: Final = datetime(2024, 12, 31, 18, tzinfo=UTC)
_SPAN_S: Final = 3 * 365 * 86400
_TENANT: Final = "tenant/8e0b600c-8234-43e4-860c-e95bdcd695a9"
_WALLET: Final = "0x601f5A7D3e6dcB55e87bf2F17bC8A27AaCD3511"
_TYPES: Final = ("Pump", "Valve", "Bridge", "Door entry terminal", "Invoice", "Container", "Lift")
_SITES: Final = ("Harbour east", "Harbour west", "Plant 2", "Depot", "Zürich", "Line A/B", "Yard")
_MAKERS: Final = ("Acme Fluid Control", "Northern Castings", "Hydrotec", "Mercer and Sons")
_SENTENCES: Final = (
    "Inspected after the spring maintenance window; no deviation from the baseline was found.",
    "The seal was replaced and the pressure test repeated at 16 bar for thirty minutes.",
    "Commissioned together with its neighbour, see the report attached to the first event.",
    "Firmware and configuration are kept by the operations team and recorded at each change.",
    "Handed over to the tenant of record; the signed protocol is part of the evidence.",
)


class PooledBlob(NamedTuple):
    """Hold the bytes that many attachments share, and their SHA-256."""

    body: bytes
    sha256: str


@cache
def blobs() -> Mapping[str, PooledBlob]:
    """Return the bytes of all attachments, by the first two digits of their UUIDs.

    30,000 attachments so have `/info` and bytes, and 256 files are enough.
    """
    chance = random.Random("blobs")  # noqa: S311 - no secret, and the same every time
    bodies = {f"{number:02x}": chance.randbytes(2048 + 16 * number) for number in range(_BLOBS)}
    return {
        prefix: PooledBlob(body, hashlib.sha256(body).hexdigest())
        for prefix, body in bodies.items()
    }


@dataclass(frozen=True, slots=True)
class Estate:
    """Name an archive of `asset_count` assets below `root`.

    Its pages hold 100 records, the newest first. Where it is `walkable`, each asset has two events
    and all records can be asked for one by one; else there are the pages alone.
    """

    root: Path
    name: str
    asset_count: int
    walkable: bool

    @property
    def asset_page_count(self) -> int:
        """How many pages all assets take."""
        return -(-self.asset_count // PAGE_RECORDS)

    @property
    def event_page_count(self) -> int:
        """How many pages all events take."""
        return -(-2 * self.asset_count // PAGE_RECORDS) if self.walkable else 0

    @property
    def attachment_count(self) -> int:
        """How many attachments the assets have: every other one has two, the rest one."""
        return self.asset_count + (self.asset_count + 1) // 2

    def asset(self, number: int) -> str:
        """Return the UUID of an asset; number 0 is the newest."""
        return self._uuid(f"asset-{number}")

    def make(self) -> None:
        """Make what is missing; 100,000 records or 30,000 with a file each take seconds."""
        done = self.root / "version"
        if done.is_file() and done.read_text() == _VERSION:
            return
        shutil.rmtree(self.root, ignore_errors=True)
        for directory in ("blob", "assets", "events", "asset", "asset-events", "event"):
            (self.root / directory).mkdir(parents=True)
        for prefix, blob in blobs().items():
            (self.root / "blob" / prefix).write_bytes(blob.body)
        if self.walkable:
            self._make_tree()
        else:
            records = (record.asset for record in self._records())
            self._make_pages("assets", records, self.asset_page_count)
        done.write_text(_VERSION)

    def warm(self) -> None:
        """Read all files into the page cache: what the server serves is in memory for everybody."""
        for file in self.root.glob("*/*"):
            file.read_bytes()

    def _make_tree(self) -> None:
        assets: list[bytes] = []
        events: list[tuple[datetime, bytes]] = []
        for number, made in enumerate(self._records()):
            asset = self.asset(number)
            assets.append(made.asset)
            events += made.events
            own = [raw for _accepted, raw in made.events]
            (self.root / "asset" / asset).write_bytes(made.asset)
            (self.root / "asset-events" / asset).write_bytes(_page("events", own, ""))
            for event, raw in zip(made.event_ids, own, strict=True):
                (self.root / "event" / event).write_bytes(raw)
        events.sort(key=lambda event: event[0], reverse=True)
        self._make_pages("assets", iter(assets), self.asset_page_count)
        self._make_pages("events", (raw for _accepted, raw in events), self.event_page_count)

    def _make_pages(self, kind: str, records: Iterator[bytes], page_count: int) -> None:
        """Write pages under their tokens; `first` has none, `single` answers a mount's probe."""
        file = "first"
        for number in range(page_count):
            page = list(islice(records, PAGE_RECORDS))
            last = number + 1 == page_count
            following = "" if last else self._uuid(f"{kind}-page-{number + 1}").replace("-", "")
            (self.root / kind / file).write_bytes(_page(kind, page, following))
            if number == 0:
                (self.root / kind / "single").write_bytes(_page(kind, page[:1], following))
            file = following

    def _records(self) -> Iterator["_Made"]:
        chance = random.Random(self.name)  # noqa: S311 - no secret, and the same every time
        for number in range(self.asset_count):
            yield self._record(number, chance)

    def _record(self, number: int, chance: random.Random) -> "_Made":
        asset = self.asset(number)
        created = _NEWEST - timedelta(seconds=_SPAN_S * number // self.asset_count)
        changed = created + timedelta(seconds=chance.randrange(3600, 30 * 86400))
        attributes = self._attributes(number, created, chance)
        record = _encode(
            {
                "identity": f"assets/{asset}",
                "behaviours": ["RecordEvidence", "AssetCreator", "Builtin"],
                "attributes": attributes,
                "confirmation_status": "COMMITTED",
                "tracked": "TRACKED",
                "owner": _WALLET,
                "at_time": _timestamp(changed),
                "proof_mechanism": "MERKLE_LOG",
                "chain_id": "8275868384",
                "public": False,
                "tenant_identity": _TENANT,
            }
        )
        if not self.walkable:
            return _Made(record, (), ())
        ids = (self._uuid(f"event-{number}-record"), self._uuid(f"event-{number}-created"))
        evidence = {
            "arc_display_type": "Inspection",
            "arc_description": chance.choice(_SENTENCES),
            "report": self._attachment(f"{number}-report", "report.pdf"),
            "inspector": f"inspector-{chance.randrange(40)}@example.com",
            "result": "pass",
        }
        recorded = _event(f"assets/{asset}", ids[0], changed, own=evidence)
        creation = _event(f"assets/{asset}", ids[1], created, creation=attributes)
        return _Made(record, ids, ((changed, recorded), (created, creation)))

    def _attributes(self, number: int, created: datetime, chance: random.Random) -> dict[str, Any]:
        kind, site = chance.choice(_TYPES), chance.choice(_SITES)
        # People give the same name twice: one in fifty does without a number.
        name = f"{kind}, {site}" if number % 50 == 0 else f"{kind} {number:06d}, {site}"
        attributes: dict[str, Any] = {
            "arc_display_name": name,
            "arc_display_type": kind,
            "arc_description": " ".join(chance.sample(_SENTENCES, chance.choice((2, 3)))),
            "arc_home_location_identity": f"locations/{self._uuid(f'location-{site}')}",
            "arc_primary_image": self._attachment(f"{number}-image", "photo.jpeg"),
            "serial_number": f"{chance.randrange(10**10):010d}",
            "manufacturer": chance.choice(_MAKERS),
            "model": f"{kind[:3].upper()}-{chance.randrange(1000):03d}",
            "commissioned": created.date().isoformat(),
            "inspection_interval_days": "365",
            "responsible": f"team-{chance.randrange(20)}@example.com",
        }
        if number % 2 == 0:
            attributes["document_document"] = self._attachment(f"{number}-manual", "manual.pdf")
        return attributes

    def _attachment(self, name: str, file_name: str) -> dict[str, str]:
        attachment = self._uuid(f"blob-{name}")
        return {
            "arc_attribute_type": "arc_attachment",
            "arc_blob_identity": f"blobs/{attachment}",
            "arc_blob_hash_alg": "SHA256",
            "arc_blob_hash_value": blobs()[attachment[:2]].sha256,
            "arc_display_name": file_name.partition(".")[0],
            "arc_file_name": file_name,
        }

    def _uuid(self, name: str) -> str:
        return str(uuid5(NAMESPACE_URL, f"{self.name}-{name}"))


class _Made(NamedTuple):
    """Hold the records of one asset; its events, with when they were accepted, newest first."""

    asset: bytes
    event_ids: tuple[str, ...]
    events: tuple[tuple[datetime, bytes], ...]


def _event(
    asset: str,
    event: str,
    accepted: datetime,
    *,
    own: Mapping[str, Any] | None = None,
    creation: Mapping[str, Any] | None = None,
) -> bytes:
    """Return an event with attributes of its own, or with those it created the asset with."""
    principal = {
        "issuer": "https://app.datatrails.ai/appidpv1",
        "subject": "43a271b9-5b25-4740-aa9f-1cbd51ed3625",
        "display_name": "my-integration",
        "email": "",
    }
    index = int(accepted.timestamp())
    return _encode(
        {
            "identity": f"{asset}/events/{event}",
            "asset_identity": asset,
            "event_attributes": own or {},
            "asset_attributes": creation or {},
            "operation": "NewAsset" if creation else "Record",
            "behaviour": "AssetCreator" if creation else "RecordEvidence",
            "timestamp_declared": _timestamp(accepted),
            "timestamp_accepted": _timestamp(accepted),
            "timestamp_committed": _timestamp(accepted + timedelta(seconds=2), ".200Z"),
            "principal_declared": principal,
            "principal_accepted": principal,
            "confirmation_status": "CONFIRMED",
            "transaction_id": "",
            "block_number": 0,
            "transaction_index": 0,
            "from": _WALLET,
            "tenant_identity": _TENANT,
            "merklelog_entry": {
                "commit": {"index": str(index), "idtimestamp": f"{index * 1000:016x}00"},
                "confirm": {
                    "mmr_size": str(index + 1),
                    "root": "/rlMNJhlay9CUuO3LgX4lSSDK6dDhtKesCO50CtrHr4=",
                    "timestamp": str(index * 1000),
                    "idtimestamp": "",
                    "signed_tree_head": "",
                },
                "unequivocal": None,
            },
        }
    )


def _timestamp(moment: datetime, ending: str = "Z") -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + ending


def _page(kind: str, records: list[bytes], following: str) -> bytes:
    joined = b",".join(records)
    return b'{"%s":[%s],"next_page_token":"%s"}' % (kind.encode(), joined, following.encode())


_encode: Final = msgspec.json.encode
