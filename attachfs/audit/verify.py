"""Read and hash every attachment below paths again, and compare with what the archive recorded."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import msgspec
import trio

from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.models import SCANNED_BAD, SCANNED_OK, Info
from attachfs.archive.timestamps import parse_ns
from attachfs.audit.events import Begun, Checked, Progress, Tell
from attachfs.audit.reading import sha256_of
from attachfs.audit.report import Finding, Verdict
from attachfs.audit.rounds import Sized, go_round
from attachfs.catalog.catalog import Origin
from attachfs.content.served import Source
from attachfs.errors import AttachfsError, BlockedByScan, Mismatch, NotFound, Stale
from attachfs.tree.files import AttachmentFile
from attachfs.tree.filesystem import FileSystem
from attachfs.tree.nodes import Node
from attachfs.tree.paths import parts_of
from attachfs.tree.scanning import ELSEWHERE, is_bad
from attachfs.wording import NS_PER_S, time_text


class Verify(msgspec.Struct, frozen=True, tag="verify"):
    """Ask for a finding of every attachment at and below paths, `at_once` of them at a time.

    `scan_policy` says which scans count as bad; empty for the one that files are read by. A
    directory that cannot be looked into is a finding too: what is in it could not be verified;
    and so is one of the paths that is gone, where they are `listed` and nobody named them.

    Listings, records and `/info` are asked for anew; `offline`, nothing is asked, and what this
    machine knows and has is looked at. Bytes come from where any reader has them from. What was
    found bad before, or elsewhere, is none of a verification's business: verdicts are settled by
    digest among all findings (`settling`), by whoever has them all.
    """

    paths: tuple[str, ...]
    scan_policy: str = ""
    at_once: int = 16
    listed: bool = False
    offline: bool = False

    def is_about(self, identity: str) -> bool:
        """Return whether an attachment, by what the archive calls it, is at or below the paths."""
        names = ("/".join(parts_of(path)) or "assets" for path in self.paths)
        return any(f"{identity}/".startswith(f"{name}/") for name in names)

    @asynccontextmanager
    async def seen(self, fs: FileSystem) -> AsyncIterator[FileSystem]:
        """Offer the file system to look at, in place of one that may know things already."""
        if fs.is_apart:
            yield fs
        else:
            async with fs.offline() if self.offline else fs.anew() as apart:
                yield apart

    def begun(self, fs: FileSystem) -> Begun:
        """Return what is told first."""
        policies = {self._policy(fs), fs.estate.policy}
        return Begun(
            fs.estate.catalog.server,
            self._policy(fs).value,
            fs.estate.content.max_stored_bytes,
            blocks_bad=policies != {ScanPolicy.ALLOW},
        )

    def trouble(self, path: str, node: Node | None, error: AttachfsError) -> Checked:
        """Return what is told of a directory that cannot be looked into."""
        return Checked(_of_directory(path, node, error))

    async def run(
        self, fs: FileSystem, tell: Tell, slots: trio.CapacityLimiter | None = None
    ) -> None:
        """Do it and tell of everything; raises as `walk`. `slots` are as for `go_round`."""
        async with self.seen(fs) as apart:
            await self._run(apart, tell, slots)

    async def _run(self, fs: FileSystem, tell: Tell, slots: trio.CapacityLimiter | None) -> None:
        policy = self._policy(fs)

        async def on_trouble(path: str, node: Node | None, error: AttachfsError) -> None:
            await tell(self.trouble(path, node, error))

        async def work(sized: Sized) -> None:
            await tell(Checked(await _verified(sized, self, policy, tell)))

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


async def _verified(sized: Sized, job: Verify, policy: ScanPolicy, tell: Tell) -> Finding:
    file = sized.file
    done_bytes = 0

    async def progress(size_bytes: int) -> None:
        nonlocal done_bytes
        done_bytes += size_bytes
        await tell(Progress(size_bytes))

    info, body_sha256, body_source = None, None, ""
    try:
        info = await file.estate.catalog.confirmed_info(file.path)
        await _ask_suspects(file, info, job)
        verdict, reason = _scanned(file, info, policy)
        if verdict is Verdict.VERIFIED:
            handle = await file.open()
            try:
                body_sha256 = await sha256_of(handle, progress)
            finally:
                body_source = handle.source
                handle.close()
            if body_sha256 != handle.digest:  # of what was verified already: memory errs too
                verdict, reason = Verdict.MISMATCHED, "the bytes are not those that were recorded"
    except Mismatch as error:
        verdict, reason = Verdict.MISMATCHED, str(error)
        body_sha256 = error.digests.get("body")
        if body_sha256 is not None and not body_source:  # what is kept is never another body
            body_source = Source.SERVER.value
    except (NotFound, Stale) as error:
        verdict, reason = Verdict.MISSING, str(error)
    except BlockedByScan as error:
        verdict, reason = _blocked(file, info, str(error))
    except AttachfsError as error:
        verdict, reason = Verdict.UNREADABLE, str(error)
    await tell(Progress((sized.size_bytes or 0) - done_bytes))
    await _learn_name(file)
    return _finding(sized, info, _Outcome(verdict, reason, body_sha256, body_source))


def _scanned(file: AttachmentFile, info: Info, policy: ScanPolicy) -> tuple[Verdict, str]:
    """Return what the scan alone makes of an attachment, and why."""
    if policy is not ScanPolicy.ALLOW and is_bad(file.estate, file.path, info):
        own = info.scanned_status == SCANNED_BAD
        return Verdict.BAD_SCAN, (info.scanned_bad_reason or SCANNED_BAD) if own else ELSEWHERE
    if policy is ScanPolicy.REQUIRE_OK and info.scanned_status != SCANNED_OK:
        return Verdict.NOT_SCANNED, info.scanned_status
    return Verdict.VERIFIED, ""


def _blocked(file: AttachmentFile, info: Info | None, reason: str) -> tuple[Verdict, str]:
    """Return what it makes of an attachment that it cannot be read for its scan.

    The policy that files are read by is stricter, or the server knows of a later scan.
    """
    if info is not None:
        found = _scanned(file, info, ScanPolicy.BLOCK_BAD)
        if found[0] is Verdict.BAD_SCAN:
            return found
    if file.estate.policy is ScanPolicy.BLOCK_BAD:  # what is not bad is not refused
        return Verdict.BAD_SCAN, reason
    return Verdict.NOT_SCANNED, reason


async def _ask_suspects(file: AttachmentFile, info: Info, job: Verify) -> None:
    """Have the scan of what was bad before known, before the same bytes are read for nothing.

    Only of what is looked at anyway, as far as that is known: the outcome is the same, whoever
    knew what before.
    """
    catalog = file.estate.catalog
    for path in catalog.suspects(file.path, info):
        if is_bad(file.estate, file.path, info):
            return
        if not job.is_about(path.path):
            continue
        asset, holder = (catalog.known_record(one) for one in (path.holder.owner, path.holder))
        if asset is not None and holder is not None and holder.attachment(path.attachment):
            with suppress(AttachfsError):  # told where it is looked at
                await catalog.info(path)


class _Outcome(NamedTuple):
    verdict: Verdict
    reason: str
    body_sha256: str | None
    body_source: str


async def _learn_name(file: AttachmentFile) -> None:
    """Have the asset of an event known, whether or not it was looked at before."""
    catalog, asset = file.estate.catalog, file.path.holder.owner
    if catalog.known_record(asset) is None:
        with suppress(AttachfsError):
            await catalog.record(asset)


def _finding(sized: Sized, info: Info | None, outcome: _Outcome) -> Finding:
    catalog, path = sized.file.estate.catalog, sized.file.path
    declared = catalog.declared(path)
    asset = catalog.known_record(path.holder.owner)
    event = catalog.known_record(path.holder) if path.holder.event else None
    record_origin = catalog.record_origin(path)
    info_origin = None if info is None else catalog.info_origin(path)
    return Finding(
        path=sized.path,
        identity=path.path,
        verdict=outcome.verdict,
        reason=outcome.reason,
        asset_name="" if asset is None else asset.label,
        event_type="" if event is None else event.label,
        file_name="" if declared is None else declared.file_name or declared.display_name,
        mime_type="" if info is None else info.mime_type,
        size_bytes=None if info is None else info.size_bytes,
        accepted="" if info is None else time_text(info.accepted_ns),
        record_sha256=catalog.record_digests(path),
        info_sha256=None if info is None else info.sha256,
        body_sha256=outcome.body_sha256,
        scanned_status="" if info is None else info.scanned_status,
        scanned_bad_reason="" if info is None else info.scanned_bad_reason,
        scanned="" if info is None else _scan_time(info),
        record_source="" if record_origin is None else record_origin.source,
        record_asked=_asked(record_origin),
        info_source="" if info_origin is None else info_origin.source,
        info_asked=_asked(info_origin),
        body_source=outcome.body_source,
        checked=now_text(),
    )


def _asked(origin: Origin | None) -> str:
    return "" if origin is None else time_text(round(origin.asked_s * NS_PER_S))


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
