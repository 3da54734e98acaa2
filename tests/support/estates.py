"""An embedded archive in the test's own loop, with short ways to fill and question it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import trio

from attachfs.archive.credentials import GivenToken
from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.secrets import Secret
from attachfs.demo.launch import ArchiveConfig, RunningArchive, run_archive
from attachfs.demo.traffic import Logged
from tests.support.archives import Mounted, build, client, declared, settled, token_of, uuid_in

BLOB_PATHS = "^/archivist/v2/attachments/.*[0-9a-f]$"
INFO_PATHS = "/info$"


class Estate:
    """A running archive and what was put into it."""

    def __init__(self, running: RunningArchive, tmp_path: Path) -> None:
        self.running = running
        self.demo = running.archive
        self._tmp_path = tmp_path

    def blob(self, content: bytes) -> dict[str, Any]:
        """Upload bytes."""
        return self.demo.create_blob(content, at=datetime(2024, 5, 6, tzinfo=UTC))

    def asset(self, *contents: bytes, **attributes: Any) -> tuple[Holder, list[str]]:
        """Create an asset with attachments; return it and their UUIDs."""
        blobs = [self.blob(content) for content in contents]
        for number, blob in enumerate(blobs):
            attributes[f"attachment {number}"] = declared(blob, arc_file_name=f"{number}.bin")
        asset = self.demo.create_asset({"attributes": attributes})
        return Holder(uuid_in(asset)), [uuid_in(blob) for blob in blobs]

    def event(
        self,
        holder: Holder,
        *contents: bytes,
        at: str = "2024-06-01T12:00:00Z",
        on_asset: dict[str, Any] | None = None,
    ) -> tuple[Holder, list[str]]:
        """Record an event on an asset, with attachments; return it and their UUIDs."""
        blobs = [self.blob(content) for content in contents]
        attributes = {f"attachment {i}": declared(blob) for i, blob in enumerate(blobs)}
        body = {
            "operation": "Record",
            "behaviour": "RecordEvidence",
            "event_attributes": attributes,
            "asset_attributes": on_asset or {},
        }
        event = self.demo.create_event(holder.asset, body, at=datetime.fromisoformat(at))
        return Holder(holder.asset, uuid_in(event)), [uuid_in(blob) for blob in blobs]

    def one(self, content: bytes = b"evidence", **changes: Any) -> AttachmentPath:
        """Create an asset with one attachment, its declaration changed as asked for."""
        blob = self.blob(content)
        asset = self.demo.create_asset({"attributes": {"proof": declared(blob, **changes)}})
        return AttachmentPath(Holder(uuid_in(asset)), uuid_in(blob))

    @asynccontextmanager
    async def mounted(
        self, *, timeout_s: float = 10.0, policy: ScanPolicy = ScanPolicy.BLOCK_BAD, **limits: Any
    ) -> AsyncIterator[Mounted]:
        """Offer a file system on this archive, with nothing cached yet."""
        credentials = GivenToken(Secret(token_of(self.running)))
        async with (
            client(self.running.url, credentials=credentials, timeout_s=timeout_s) as archive,
            trio.open_nursery() as nursery,
        ):
            yield build(archive, nursery, self._tmp_path / "objects", policy=policy, **limits)
            nursery.cancel_scope.cancel()

    async def requests(self, path_regex: str = "") -> list[Logged]:
        """Return the requests made since the last reset."""
        await settled()
        return self.demo.requests(path_regex)

    async def count(self, path_regex: str = "") -> int:
        """Return how many requests were made since the last reset."""
        return len(await self.requests(path_regex))

    async def reset(self) -> None:
        """Forget the requests made so far."""
        await settled()
        self.demo.reset_requests()


@asynccontextmanager
async def serving_estate(tmp_path: Path, *, empty: bool = True) -> AsyncIterator[Estate]:
    """Run an archive, which must not fail inside."""
    async with trio.open_nursery() as nursery:
        running = await nursery.start(partial(run_archive, ArchiveConfig(empty=empty)))
        yield Estate(running, tmp_path)
        assert running.archive.traffic.tracebacks == []
        nursery.cancel_scope.cancel()
