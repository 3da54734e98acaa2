"""An estate of 300 assets with everything that is odd, and what is true of it.

The model below is the ground truth: an archive is filled from it, and what attachfs must find in
each view is derived from it alone, by rules that are written here once more and not taken from
attachfs.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import PurePath
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

from attachfs.demo.archive import Archive
from tests.support.archives import declared

ASSETS: Final = 300
MOMENT: Final = "2021-12-31"
AS_OF: Final = f"as-of/{MOMENT}/assets"
VERIFIED, MISMATCHED, MISSING, BAD_SCAN = "verified", "mismatched", "missing", "bad scan"

_EARLY, _MIDDLE, _LATE = (datetime(year, 6, 1, 12, tzinfo=UTC) for year in (2020, 2021, 2022))
_END = datetime(2022, 1, 1, tzinfo=UTC)  # of the day of MOMENT
_OF_EACH: Final = 2


@dataclass(frozen=True)
class Piece:
    """An attachment: its bytes, what people call it, and what a verification must say of it.

    `scan` is what the archive says of this one; `faults` is what is wrong with it on purpose.
    """

    uuid: str
    name: str
    content: bytes
    verdict: str = VERIFIED
    scan: str = "NOT_SCANNED"
    faults: tuple[tuple[str, Any], ...] = ()

    @property
    def sha256(self) -> str:
        """The digest that the record declares."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def info_sha256(self) -> str:
        """The digest that `/info` declares."""
        sha256 = self.sha256
        is_flipped = dict(self.faults).get("flip_info_hash")
        return f"{int(sha256[0], 16) ^ 1:x}{sha256[1:]}" if is_flipped else sha256

    @property
    def is_twin(self) -> bool:
        """Whether its bytes are bad by what the archive says of another one only."""
        return self.verdict == BAD_SCAN and self.scan != "SCANNED_BAD"


@dataclass(frozen=True)
class Event:
    """What happened to an asset: attachments of its own, and those that it set on the asset."""

    uuid: str
    at: datetime
    label: str
    own: tuple[Piece, ...] = ()
    sets: tuple[tuple[str, Piece], ...] = ()

    @property
    def pieces(self) -> list[Piece]:
        """Its attachments, each once."""
        return list(dict.fromkeys([*self.own, *(piece for _, piece in self.sets)]))


@dataclass(frozen=True)
class Asset:
    """An asset, with its events from the first one on."""

    uuid: str
    label: str
    events: tuple[Event, ...]
    public: bool = False
    tracked: bool = True

    def pieces(self, events: Sequence[Event]) -> list[Piece]:
        """Return its attachments after events, each once."""
        attributes: dict[str, Piece] = {}
        for event in events:
            attributes.update(event.sets)
        return list(dict.fromkeys(attributes.values()))


class Row(NamedTuple):
    """A file that there is: of which kind, and for an attachment, which one, on what."""

    path: str
    kind: str
    piece: Piece | None
    asset: Asset
    event: Event | None

    @property
    def finding(self) -> dict[str, Any]:
        """What a verification must say of an attachment, whatever else it says."""
        piece, asset, event = self.piece, self.asset, self.event
        assert piece is not None
        collection = "publicassets" if self.path.startswith("publicassets/") else "assets"
        below = f"/events/{event.uuid}" if event is not None else ""
        found: dict[str, Any] = {
            "path": self.path,
            "identity": f"{collection}/{asset.uuid}{below}/{piece.uuid}",
            "verdict": piece.verdict,
            "asset_name": asset.label,
            "event_type": event.label if event is not None else "",
        }
        if piece.verdict != MISSING:
            found |= {
                "size_bytes": len(piece.content),
                "record_sha256": [piece.sha256],
                "info_sha256": piece.info_sha256,
                "scanned_status": piece.scan,
            }
        return found


@dataclass
class OddEstate:
    """The assets, and what is so in each view of them."""

    assets: list[Asset] = field(default_factory=list)

    def rows(self, view: str) -> dict[str, Row]:
        """Return the files of a view by path, without those that only a record names."""
        return {row.path: row for row in self._rows(view) if not _is_gone(row)}

    def named(self, view: str) -> set[str]:
        """Return paths that records name and that do not exist: a list of names may have them."""
        return {row.path for row in self._rows(view) if _is_gone(row)}

    def unsettled(self, view: str) -> set[str]:
        """Return sums of attachments that are bad by another one's scan: until that is met."""
        gone = [row for row in self._rows(view) if row.kind == "checksums" and _is_gone(row)]
        return {row.path for row in gone if row.piece is not None and row.piece.is_twin}

    def attachments(self, view: str) -> dict[str, Row]:
        """Return the attachments of a view by path, with those that only a record names."""
        return {row.path: row for row in self._rows(view) if row.kind == "attachment"}

    def assets_of(self, view: str) -> dict[str, Asset]:
        """Return the assets of a view, by the paths of their directories."""
        return {
            f"{view}/{_directory(view, asset.label, asset.uuid)}": asset
            for asset in self.assets
            if asset.tracked and _events(view, asset) and (asset.public or view != "publicassets")
        }

    def of(self, label: str) -> list[Asset]:
        """Return the assets of an oddity, by what they are called."""
        return [asset for asset in self.assets if asset.label == label]

    def odd_ones(self, view: str) -> dict[str, Asset]:
        """Return an asset of each oddity that a view shows, by the path of its directory."""
        met: set[tuple[str, int]] = set()
        found: dict[str, Asset] = {}
        for path, asset in self.assets_of(view).items():
            oddity = (asset.label, len(asset.events))
            if not asset.label.startswith("plain") and oddity not in met:
                met.add(oddity)
                found[path] = asset
        return found

    def fill(self, archive: Archive) -> None:
        """Put all of it into an archive."""
        events = [event for asset in self.assets for event in asset.events]
        blobs = {
            piece.uuid: archive.create_blob(piece.content, uuid=piece.uuid, at=_EARLY)
            for event in events
            for piece in event.pieces
        }
        for asset in self.assets:
            _record(archive, asset, blobs)
        for piece in {piece.uuid: piece for event in events for piece in event.pieces}.values():
            changes = dict(piece.faults)
            if piece.scan != "NOT_SCANNED":
                changes["scanned_status"] = piece.scan
            if changes:
                archive.edit_blob(piece.uuid, **changes)

    def _rows(self, view: str) -> Iterator[Row]:
        for path, asset in self.assets_of(view).items():
            events = _events(view, asset)
            yield from _directory_rows(view, path, asset, None, asset.pieces(events))
            for event in events:
                label = event.label
                if view == "by-name":
                    label = f"{event.at:%Y-%m-%dT%H:%M:%SZ} {label}"
                directory = f"{path}/events/{_directory(view, label, event.uuid)}"
                yield from _directory_rows(view, directory, asset, event, event.pieces)


def _events(view: str, asset: Asset) -> Sequence[Event]:
    """Return the events of an asset that a view shows."""
    return [event for event in asset.events if view != AS_OF or event.at < _END]


def _directory(view: str, label: str, uuid: str) -> str:
    return f"{label or 'unnamed'}~{uuid.replace('-', '')[:12]}" if view == "by-name" else uuid


def _directory_rows(
    view: str, path: str, asset: Asset, event: Event | None, pieces: Sequence[Piece]
) -> Iterator[Row]:
    record = "asset.json" if event is None else "event.json"
    yield Row(f"{path}/{record}", "record", None, asset, event)
    uses = Counter(piece.name for piece in pieces)
    for piece in pieces:
        name = piece.uuid
        if view == "by-name":
            name, end = piece.name, PurePath(piece.name).suffix
            if uses[name] > 1:
                name = f"{name.removesuffix(end)}~{piece.uuid.replace('-', '')[:12]}{end}"
        yield Row(f"{path}/{name}", "attachment", piece, asset, event)
        yield Row(f"{path}/{name}.info.json", "sidecar", piece, asset, event)
    if pieces:
        # The sums say nothing where no attachment may be read: then there is no such file.
        useful = [piece for piece in pieces if piece.verdict not in (MISSING, BAD_SCAN)]
        yield Row(f"{path}/SHA256SUMS", "checksums", (useful or list(pieces))[0], asset, event)


def _is_gone(row: Row) -> bool:
    if row.piece is None:
        return False
    if row.kind == "checksums":
        return row.piece.verdict in (MISSING, BAD_SCAN)
    return row.piece.verdict == MISSING


def _record(archive: Archive, asset: Asset, blobs: Mapping[str, Mapping[str, Any]]) -> None:
    def attributes(pieces: Sequence[tuple[str, Piece]]) -> dict[str, Any]:
        return {
            key: declared(
                blobs[piece.uuid], arc_file_name=piece.name if piece.name != key else None
            )
            for key, piece in pieces
        }

    creation, *others = asset.events
    label = {"arc_display_name": asset.label} if asset.label else {}
    archive.create_asset(
        {"attributes": {**label, **attributes(creation.sets)}, "public": asset.public},
        uuid=asset.uuid,
        event_uuid=creation.uuid,
        at=creation.at,
    )
    for event in others:
        is_end = event.label == "StopTracking"
        own = [(f"evidence {number}", piece) for number, piece in enumerate(event.own)]
        archive.create_event(
            asset.uuid,
            {
                "operation": event.label if is_end else "Record",
                "behaviour": "Builtin" if is_end else "RecordEvidence",
                "event_attributes": {
                    **({} if is_end else {"arc_display_type": event.label}),
                    **attributes(own),
                },
                "asset_attributes": attributes(event.sets),
            },
            uuid=event.uuid,
            at=event.at,
        )


class _Maker:
    """Make assets, each with UUIDs and bytes of its own."""

    def __init__(self) -> None:
        self._random = Random(20)  # noqa: S311 - no secret
        self._serial = count()

    def uuid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def piece(self, name: str = "proof.txt", content: bytes | None = None, **fields: Any) -> Piece:
        if content is None:
            content = b"evidence %d\n" % next(self._serial)
        return Piece(self.uuid(), name, content, **fields)

    def event(self, at: datetime, label: str, *own: Piece, **sets: Piece) -> Event:
        return Event(self.uuid(), at, label, own, tuple(sets.items()))

    def asset(
        self, label: str, *others: Event, at: datetime = _EARLY, sets: Any = (), **fields: Any
    ) -> Asset:
        creation = Event(self.uuid(), at, "NewAsset", (), tuple(dict(sets).items()))
        return Asset(self.uuid(), label, (creation, *others), **fields)

    def odd(self) -> Iterator[Asset]:
        """Yield one asset of every oddity, some with others that they are odd beside."""
        piece, event, asset = self.piece, self.event, self.asset
        yield asset("one", sets={"proof": piece()})
        old, new = piece("doc.pdf"), piece("doc.pdf")
        yield asset("superseded", event(_LATE, "Revision", doc=new), sets={"doc": old})
        again = piece("again.txt")
        yield asset("repeated", event(_MIDDLE, "Again", again), sets={"a": again, "b": again})
        shared = piece("shared.txt")
        yield asset("shared", sets={"proof": shared})
        yield asset("shared", event(_LATE, "Shared", shared))
        yield asset("empty", sets={"nothing": piece("nothing.txt", b""), "proof": piece()})
        yield asset("later", event(_LATE, "Later", piece()), at=_LATE, sets={"proof": piece()})
        happened = [event(at, "Visit", piece("visit.csv")) for at in (_EARLY, _MIDDLE, _LATE)]
        yield asset("growing", *happened)
        yield asset(
            "untracked", event(_MIDDLE, "StopTracking"), sets={"proof": piece()}, tracked=False
        )
        yield asset("", event(_MIDDLE, "Unnamed", piece("evidence 0")), sets={"key": piece("key")})
        twin = b"malware %d" % next(self._serial)
        bad: dict[str, Any] = {"verdict": BAD_SCAN, "scan": "SCANNED_BAD"}
        yield asset("bad", sets={"bad": piece("bad.exe", **bad), "good": piece("good.txt")})
        yield asset("only bad", sets={"bad": piece("bad.exe", **bad)})
        yield asset("twin", sets={"bad": piece("twin.exe", twin, verdict=BAD_SCAN)})
        yield asset("twin", event(_MIDDLE, "Scan", piece("twin.exe", twin, **bad)))
        equal = {f"report {number}": piece("report.pdf") for number in range(3)}
        yield asset("equal", sets=equal)
        yield asset("equal", sets={"report": piece("report.pdf")})
        gone: dict[str, Any] = {"verdict": MISSING, "faults": (("delete", True),)}
        yield asset("missing", sets={"gone": piece("gone.txt", **gone), "proof": piece()})
        yield asset("only missing", sets={"gone": piece("gone.txt", **gone)})
        flipped: dict[str, Any] = {"verdict": MISMATCHED, "faults": (("flip_body_byte", 0),)}
        yield asset("wrong", sets={"wrong": piece("wrong.txt", **flipped), "proof": piece()})
        contradicted: dict[str, Any] = {
            "verdict": MISMATCHED,
            "faults": (("flip_info_hash", True),),
        }
        yield asset("disputed", sets={"disputed": piece("disputed.txt", **contradicted)})
        yield asset("public", event(_LATE, "Open", piece()), sets={"proof": piece()}, public=True)
        yield asset("scanned", sets={"proof": piece(scan="SCANNED_OK")})


def odd_estate(assets: int = ASSETS) -> OddEstate:
    """Return an estate of so many assets: the same at every call; 0 for the odd ones alone."""
    maker = _Maker()
    odd = [asset for _ in range(_OF_EACH) for asset in maker.odd()]
    plain = [
        maker.asset(f"plain {number % 50}", at=_LATE if number % 4 else _EARLY)
        for number in range(assets - len(odd))
    ]
    # The odd ones are on every page of the listing.
    step = len(plain) // len(odd) + 1
    for number, asset in enumerate(odd):
        plain.insert(number * step, asset)
    return OddEstate(plain)
