"""Read and hash every attachment below paths again, and compare with what the archive recorded."""

import time

import msgspec
import trio

from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.models import SCANNED_BAD, SCANNED_OK, Info
from attachfs.archive.timestamps import parse_ns
from attachfs.audit.events import Begun, Checked, Progress, Tell
from attachfs.audit.reading import sha256_of
from attachfs.audit.report import Finding, Verdict
from attachfs.audit.rounds import Sized, go_round
from attachfs.errors import AttachfsError, BlockedByScan, Mismatch, NotFound, Stale
from attachfs.tree.files import AttachmentFile
from attachfs.tree.filesystem import FileSystem
from attachfs.tree.nodes import Node
from attachfs.tree.scanning import is_bad
from attachfs.wording import time_text


class Verify(msgspec.Struct, frozen=True, tag="verify"):
    """Ask for a finding of every attachment at and below paths, `at_once` of them at a time.

    `scan_policy` says which scans count as bad; empty for the one that files are read by. A
    directory that cannot be looked into is a finding too: what is in it could not be verified;
    and so is one of the paths that is gone, where they are `listed` and nobody named them.
    """

    paths: tuple[str, ...]
    scan_policy: str = ""
    at_once: int = 16
    listed: bool = False

    def begun(self, fs: FileSystem) -> Begun:
        """Return what is told first."""
        return Begun(
            fs.estate.catalog.server, self._policy(fs).value, fs.estate.content.max_stored_bytes
        )

    def trouble(self, path: str, node: Node | None, error: AttachfsError) -> Checked:
        """Return what is told of a directory that cannot be looked into."""
        return Checked(_of_directory(path, node, error))

    async def run(
        self, fs: FileSystem, tell: Tell, slots: trio.CapacityLimiter | None = None
    ) -> None:
        """Do it and tell of everything; raises as `walk`. `slots` are as for `go_round`."""
        policy = self._policy(fs)

        async def on_trouble(path: str, node: Node | None, error: AttachfsError) -> None:
            await tell(self.trouble(path, node, error))

        async def work(sized: Sized) -> None:
            await tell(Checked(await _verified(sized, policy, tell)))

        await tell(self.begun(fs))
        await go_round(
            fs,
            self.paths,
            work,
            tell=tell,
            on_trouble=on_trouble,
            at_once=self.at_once,
            listed=self.listed,
            slots=slots,
        )

    def _policy(self, fs: FileSystem) -> ScanPolicy:
        return ScanPolicy(self.scan_policy) if self.scan_policy else fs.estate.policy


async def _verified(sized: Sized, policy: ScanPolicy, tell: Tell) -> Finding:
    file = sized.file
    done_bytes = 0

    async def progress(size_bytes: int) -> None:
        nonlocal done_bytes
        done_bytes += size_bytes
        await tell(Progress(size_bytes))

    info, body_sha256 = None, None
    try:
        info = await file.estate.catalog.confirmed_info(file.path)
        verdict, reason = _scanned(file, info, policy)
        if verdict is Verdict.VERIFIED:
            handle = await file.open()
            try:
                body_sha256 = await sha256_of(handle, progress)
            finally:
                handle.close()
            if body_sha256 != handle.digest:  # of what was verified already: memory errs too
                verdict, reason = Verdict.MISMATCHED, "the bytes are not those that were recorded"
    except Mismatch as error:
        verdict, reason = Verdict.MISMATCHED, str(error)
        body_sha256 = error.digests.get("body")
    except (NotFound, Stale) as error:
        verdict, reason = Verdict.MISSING, str(error)
    except BlockedByScan as error:  # the policy that files are read by is stricter
        bad = info is not None and is_bad(file.estate, file.path, info)
        verdict, reason = (Verdict.BAD_SCAN if bad else Verdict.NOT_SCANNED), str(error)
    except AttachfsError as error:
        verdict, reason = Verdict.UNREADABLE, str(error)
    await tell(Progress((sized.size_bytes or 0) - done_bytes))
    return _finding(sized, info, verdict, reason, body_sha256)


def _scanned(file: AttachmentFile, info: Info, policy: ScanPolicy) -> tuple[Verdict, str]:
    """Return what the scan alone makes of an attachment, and why."""
    if policy is not ScanPolicy.ALLOW and is_bad(file.estate, file.path, info):
        return Verdict.BAD_SCAN, info.scanned_bad_reason or f"{SCANNED_BAD} under another name"
    if policy is ScanPolicy.REQUIRE_OK and info.scanned_status != SCANNED_OK:
        return Verdict.NOT_SCANNED, info.scanned_status
    return Verdict.VERIFIED, ""


def _finding(
    sized: Sized, info: Info | None, verdict: Verdict, reason: str, body_sha256: str | None
) -> Finding:
    catalog, path = sized.file.estate.catalog, sized.file.path
    declared = catalog.declared(path)
    asset = catalog.known_record(path.holder.owner)
    event = catalog.known_record(path.holder) if path.holder.event else None
    return Finding(
        path=sized.path,
        identity=path.path,
        verdict=verdict,
        reason=reason,
        asset_name="" if asset is None else asset.label,
        event_type="" if event is None else event.label,
        file_name="" if declared is None else declared.file_name or declared.display_name,
        mime_type="" if info is None else info.mime_type,
        size_bytes=None if info is None else info.size_bytes,
        accepted="" if info is None else time_text(info.accepted_ns),
        record_sha256=() if declared is None else declared.record_digests,
        info_sha256=None if info is None else info.sha256,
        body_sha256=body_sha256,
        scanned_status="" if info is None else info.scanned_status,
        scanned_bad_reason="" if info is None else info.scanned_bad_reason,
        scanned="" if info is None else _scan_time(info),
        checked=now_text(),
    )


def _scan_time(info: Info) -> str:
    return time_text(parse_ns(info.fields.get("scanned_timestamp")) or 0)


def _of_directory(path: str, node: Node | None, error: AttachfsError) -> Finding:
    return Finding(
        path=path,
        identity=node.place.holder.path if node is not None and node.place.holder.asset else "",
        verdict=Verdict.MISSING if isinstance(error, NotFound) else Verdict.UNREADABLE,
        reason=str(error),
        checked=now_text(),
    )


def now_text() -> str:
    """Return the time now as RFC 3339, UTC."""
    return time_text(time.time_ns())
