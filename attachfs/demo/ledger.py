"""The ledger: how assets come to be and how events change them (contract §5.2, 5.3, 5.7, 6)."""

import hashlib
import uuid as uuids
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from attachfs.demo import attributes
from attachfs.demo.errors import ApiError
from attachfs.demo.storage import Row, Selection, Storage
from attachfs.demo.wire import EPOCH, Record, last_segment, milliseconds, parse_time, seconds

TENANT_UUID = "7dfa3f0c-2a5e-4e0c-9d0e-5b1f5c1e9a11"
TENANT = f"tenant/{TENANT_UUID}"
"""Whose archive this is."""

_ISSUER = "https://archive.example/appidpv1"
_WALLET = "0x" + hashlib.sha256(TENANT.encode()).hexdigest()[:40]
_CHAIN_ID = "8275868384"
_PROOFS = ("SIMPLE_HASH", "MERKLE_LOG", "RESERVED1")
_PRINCIPAL_PARTS = ("issuer", "subject", "display_name", "email")
# Committing takes the service a moment; the length of ours means nothing.
_COMMIT_DELAY = timedelta(milliseconds=1200)


def principal(subject: str, display_name: str) -> dict[str, str]:
    """Return who acts, for `principal_accepted` (contract §5.3)."""
    return {"issuer": _ISSUER, "subject": subject, "display_name": display_name, "email": ""}


class Ledger:
    """Creates and reads assets and events.

    Args:
        storage: Where they are kept.
        now: The clock, returning an aware time.
    """

    def __init__(self, storage: Storage, now: Callable[[], datetime]) -> None:
        self._storage = storage
        self._now = now

    def create_asset(
        self,
        body: Mapping[str, Any],
        actor: dict[str, str],
        *,
        uuid: str | None = None,
        event_uuid: str | None = None,
        at: datetime | None = None,
    ) -> Record:
        """Create an asset with its `NewAsset` event and return it as the service answers: pending.

        Args:
            body: The request (contract §5.8); unknown keys are dropped.
            actor: The principal.
            uuid: Of the asset; random if not given.
            event_uuid: Of its first event; random if not given.
            at: When; now if not given.

        Raises:
            ApiError: 400, against a rule of contract §5.4 or §5.8.
        """
        initial = attributes.checked(body.get("attributes"), "attributes")
        attributes.check_total(initial)
        behaviours = _texts(body.get("behaviours"), "behaviours") or ["RecordEvidence"]
        proof = _text(body, "proof_mechanism") or "MERKLE_LOG"
        if proof not in _PROOFS:
            raise ApiError.invalid(f"invalid proof_mechanism: {proof}")
        public = body.get("public") or False
        if not isinstance(public, bool):
            raise ApiError.invalid("public: a boolean is expected")
        uuid = uuid or str(uuids.uuid4())
        moment = at or self._now()
        asset: Record = {
            "identity": f"assets/{uuid}",
            "behaviours": list(dict.fromkeys([*behaviours, "AssetCreator", "Builtin"])),
            "attributes": initial,
            "confirmation_status": "COMMITTED",
            "tracked": "TRACKED",
            "owner": _WALLET,
            "at_time": seconds(moment),
            "proof_mechanism": proof,
            "chain_id": _text(body, "chain_id") or _CHAIN_ID,
            "public": public,
            "tenant_identity": TENANT,
        }
        creation = {
            "operation": "NewAsset",
            "behaviour": "AssetCreator",
            "asset_attributes": initial,
            "event_attributes": _public_policy() if public else {},
        }
        with self._storage.transaction():
            self._storage.add("asset", uuid, uuid, asset)
            self._append(uuid, creation, actor, event_uuid or str(uuids.uuid4()), moment)
        return {**asset, "confirmation_status": "PENDING", "tenant_identity": ""}

    def create_event(
        self,
        asset_uuid: str,
        body: Mapping[str, Any],
        actor: dict[str, str],
        *,
        uuid: str | None = None,
        at: datetime | None = None,
    ) -> Record:
        """Record an event, change its asset, and return it as the service answers: pending.

        `asset_attributes` replace the asset's per top-level key; `StopTracking`, `StartTracking`
        and the old `Attach` act on the asset as well (contract §5.2, 6.2, 6.4).

        Raises:
            ApiError: 400, against a rule of contract §5.4 or §5.8; 404, no such asset.
        """
        for name in ("operation", "behaviour"):
            if not _text(body, name):
                raise ApiError.invalid(f"invalid json: {name} is required")
        event_attributes = attributes.checked(body.get("event_attributes"), "event_attributes")
        asset_attributes = attributes.checked(body.get("asset_attributes"), "asset_attributes")
        attributes.check_total(event_attributes, asset_attributes)
        moment = at or self._now()
        with self._storage.transaction():
            row = self._storage.get("asset", asset_uuid)
            if row is None:
                raise ApiError.missing("asset")
            act = (body["behaviour"], body["operation"])
            asset = row.record
            if act == ("Attachments", "Attach"):
                attached = attributes.appended(asset["attributes"], event_attributes)
                asset_attributes = {**asset_attributes, "arc_attachments": attached}
            body = {**body, "event_attributes": event_attributes}
            body["asset_attributes"] = asset_attributes
            uuid = uuid or str(uuids.uuid4())
            event = self._append(asset_uuid, body, actor, uuid, moment)
            changed = {**_after(asset, event), "at_time": seconds(moment)}
            self._storage.put("asset", asset_uuid, changed)
        return {
            **event,
            "timestamp_committed": EPOCH,
            "confirmation_status": "PENDING",
            "tenant_identity": "",
            "merklelog_entry": {"commit": None, "confirm": None, "unequivocal": None},
        }

    def asset_at(self, row: Row, moment: datetime) -> Record:
        """Return an asset as it stood at a time, by replaying its events (contract §5.7).

        Raises:
            ApiError: 404, it did not exist yet.
        """
        asset: Record | None = None
        for found, _ in self._storage.select(
            Selection(kind="event", asset=row.uuid, ascending=True)
        ):
            event = found.record
            if parse_time(event["timestamp_accepted"]) > moment:
                break
            blank = {**row.record, "attributes": {}, "tracked": "TRACKED"}
            asset = {**_after(asset or blank, event), "at_time": seconds(moment)}
        if asset is None:
            raise ApiError.missing("asset")
        return asset

    def _append(
        self,
        asset_uuid: str,
        body: Mapping[str, Any],
        actor: dict[str, str],
        uuid: str,
        moment: datetime,
    ) -> Record:
        committed = moment + _COMMIT_DELAY
        leaf = self._storage.next_seq()
        event: Record = {
            "identity": f"assets/{asset_uuid}/events/{uuid}",
            "asset_identity": f"assets/{asset_uuid}",
            "event_attributes": body["event_attributes"],
            "asset_attributes": body["asset_attributes"],
            "operation": body["operation"],
            "behaviour": body["behaviour"],
            "timestamp_declared": _declared_time(body, seconds(moment)),
            "timestamp_accepted": seconds(moment),
            "timestamp_committed": milliseconds(committed),
            "principal_declared": _declared_principal(body, actor),
            "principal_accepted": actor,
            "confirmation_status": "COMMITTED",
            "transaction_id": "",
            "block_number": 0,
            "transaction_index": 0,
            "from": _WALLET,
            "tenant_identity": TENANT,
            "merklelog_entry": {
                "commit": {
                    "index": str(2 * leaf - leaf.bit_count()),
                    "idtimestamp": _id_timestamp(committed, leaf),
                },
                "confirm": None,
                "unequivocal": None,
            },
        }
        self._storage.add("event", uuid, asset_uuid, event)
        return event


def served_blobs(event: Record, *, with_asset_attributes: bool) -> set[str]:
    """Return the UUIDs of the blobs that an event's URL serves (contract §6.4)."""
    served = set(attributes.blob_uuids(event["event_attributes"]))
    if with_asset_attributes:
        served.update(attributes.blob_uuids(event["asset_attributes"]))
    return served


def uuid_of(record: Record) -> str:
    """Return the UUID of an asset, event or blob."""
    return last_segment(record["identity"])


def _after(asset: Record, event: Record) -> Record:
    """Return what an event makes of its asset."""
    tracked = asset["tracked"]
    if event["behaviour"] == "Builtin":
        tracked = {"StopTracking": "NOT_TRACKED", "StartTracking": "TRACKED"}.get(
            event["operation"], tracked
        )
    merged = {**asset["attributes"], **event["asset_attributes"]}
    return {**asset, "attributes": merged, "tracked": tracked}


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    limit_chars = 4096 if name in ("operation", "behaviour") else 1024
    if not isinstance(value, str) or len(value) > limit_chars:
        raise ApiError.invalid(f"{name}: a string of at most {limit_chars} characters is expected")
    return value


def _texts(value: Any, name: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ApiError.invalid(f"{name}: a list of strings is expected")
    return [_text({name: item}, name) for item in value]


def _declared_time(body: Mapping[str, Any], default: str) -> str:
    declared = body.get("timestamp_declared")
    if declared is None:
        return default
    try:
        parse_time(declared)
    except (TypeError, ValueError) as error:
        raise ApiError.invalid("timestamp_declared: an RFC 3339 time is expected") from error
    return str(declared)


def _declared_principal(body: Mapping[str, Any], actor: dict[str, str]) -> dict[str, str]:
    declared = body.get("principal_declared")
    if declared is None:
        return actor
    if not isinstance(declared, dict):
        raise ApiError.invalid("principal_declared: an object is expected")
    return {part: _text(declared, part) for part in _PRINCIPAL_PARTS}


def _id_timestamp(moment: datetime, leaf: int) -> str:
    elapsed_ms = int(moment.astimezone(UTC).timestamp() * 1000)
    return f"{elapsed_ms:012x}{leaf & 0xFFFF:04x}00"


def _public_policy() -> Record:
    return {
        "arc_access_policy_always_read": [{"wallet": _WALLET, "tessera": ""}],
        "arc_access_policy_asset_attributes_read": [{"attribute": "*", _WALLET: "wallet"}],
        "arc_access_policy_event_arc_display_type_read": [{"value": "*", _WALLET: "wallet"}],
    }
