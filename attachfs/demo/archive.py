"""The archive without its HTTP: storage, ledger, blobs, identities, switches and traffic."""

import io
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attachfs.demo import ledger
from attachfs.demo.assetfree import AssetFreeEvents
from attachfs.demo.auth import Identities
from attachfs.demo.blobs import Blobs
from attachfs.demo.errors import ApiError
from attachfs.demo.ledger import Ledger
from attachfs.demo.paging import TokenMint
from attachfs.demo.storage import Storage
from attachfs.demo.switches import Switches
from attachfs.demo.traffic import Logged, Traffic
from attachfs.demo.wire import Record

CLIENT_ID = "5e0c1b9a-3f8d-4f0e-9c0b-2d6a4b1f7e21"
"""The application that every archive has from the start."""

ACTOR = ledger.principal(CLIENT_ID, "attachfs demo")
_DENIALS = {False: "", True: "all", "record": "record"}


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Archive:
    """An archive that code of the same process may fill, spoil and question.

    Its methods are what the control interface under `/_embedded/` offers to other processes.

    Args:
        root: The storage directory.
        switches: How the archive behaves where the contract leaves it open.
        now: The clock, returning an aware time.

    Raises:
        ArchiveError: The directory cannot be used.
    """

    def __init__(
        self,
        root: Path,
        switches: Switches | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.storage = Storage(root)
        self.switches = switches or Switches()
        self.url = ""
        self.now = now
        self.ledger = Ledger(self.storage, now)
        self.free_events = AssetFreeEvents(self.storage, now)
        self.blobs = Blobs(self.storage)
        self.identities = Identities(self.storage, now)
        self.tokens = TokenMint(self.identities.key)
        self.traffic = Traffic()

    def close(self) -> None:
        """Give the storage directory up."""
        self.storage.close()

    def set_switches(self, **changes: Any) -> Switches:
        """Throw switches and return all of them.

        Raises:
            ApiError: 400, a switch is unknown or its value is of the wrong type.
        """
        self.switches = self.switches.changed(changes)
        return self.switches

    # --- filling -------------------------------------------------------------------------

    def create_blob(
        self,
        content: bytes,
        *,
        uuid: str | None = None,
        at: datetime | None = None,
    ) -> Record:
        """Store bytes as a blob and return its `/info`."""
        staged = self.blobs.stage(io.BytesIO(content))
        return self.blobs.accept(staged, at or self.now(), uuid=uuid)

    def create_asset(self, body: Mapping[str, Any], **fixed: Any) -> Record:
        """Create an asset; `fixed` are the keyword arguments of `Ledger.create_asset`."""
        return self.ledger.create_asset(body, ACTOR, **fixed)

    def create_event(self, asset_uuid: str, body: Mapping[str, Any], **fixed: Any) -> Record:
        """Create an event; `fixed` are the keyword arguments of `Ledger.create_event`."""
        return self.ledger.create_event(asset_uuid, body, ACTOR, **fixed)

    # --- spoiling ------------------------------------------------------------------------

    def edit_blob(self, uuid: str, **changes: Any) -> Record:
        """Set the scan's result, inject faults, or delete a blob (see `Blobs.edit`)."""
        return self.blobs.edit(uuid, changes, self.now())

    def edit_asset(self, uuid: str, **changes: Any) -> Record:
        """Edit an asset in place, which the service never does.

        Args:
            uuid: Of the asset.
            changes: `delete`, `deny` (True: the asset and all below it, `"record"`: only its
                record, False: nothing), or fields; a dict is merged by key and None removes one.

        Raises:
            ApiError: 400, an unknown field; 404, no such asset.
        """
        return self._edit("asset", uuid, changes)

    def edit_event(self, uuid: str, **changes: Any) -> Record:
        """Edit an event in place; `attributes` stands for `event_attributes`.

        Args:
            uuid: Of the event.
            changes: As in `edit_asset`.

        Raises:
            ApiError: 400, an unknown field; 404, no such event.
        """
        if "attributes" in changes:
            changes["event_attributes"] = changes.pop("attributes")
        return self._edit("event", uuid, changes)

    def _edit(self, kind: str, uuid: str, changes: Record) -> Record:
        row = self.storage.get(kind, uuid)
        if row is None:
            raise ApiError.missing(kind)
        if changes.pop("delete", False):
            self.storage.erase(kind, uuid)
            return {}
        deny = _DENIALS.get(changes.pop("deny")) if "deny" in changes else row.deny
        if deny is None:
            raise ApiError.invalid("deny: true, false or 'record' is expected")
        record = row.record
        for name, change in changes.items():
            if name not in record or isinstance(record[name], dict) != isinstance(change, dict):
                raise ApiError.invalid(f"no such field, or of another type: {name}")
            if isinstance(change, dict):
                merged = {**record[name], **change}
                change = {key: value for key, value in merged.items() if value is not None}  # noqa: PLW2901
            record = {**record, name: change}
        self.storage.put(kind, uuid, record, deny)
        return record

    def fail_next(self, **failure: Any) -> None:
        """Make requests to come fail (see `Failure` for the arguments)."""
        self.traffic.fail_next(**failure)

    # --- questioning ---------------------------------------------------------------------

    def requests(self, path_regex: str = "") -> list[Logged]:
        """Return the requests since the last reset whose path matches."""
        return self.traffic.requests(path_regex)

    def reset_requests(self) -> None:
        """Forget all requests, and all ordered failures that have not happened."""
        self.traffic.reset()
