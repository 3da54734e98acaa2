"""What a verification believes: the server now, unless it is told to ask nothing."""

import hashlib
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.audit.report import Finding, Verdict
from attachfs.audit.settling import found_bad, settled
from attachfs.audit.verify import Verify
from attachfs.catalog.index import Index
from attachfs.catalog.keys import BAD, info_key, record_key
from attachfs.errors import BlockedByScan, Unreachable
from attachfs.wording import NS_PER_S, time_text
from tests.support.archives import ASSET, Mounted, declared, index_in_memory, uuid_in
from tests.support.declaring import DECLARED, DIGEST, EVIL, Declare
from tests.support.estates import BLOB_PATHS, Estate
from tests.support.jobs import LARGE, findings_of, paths_of

_ALL = Verify(("",))
_OFFLINE = Verify(("",), offline=True)


def _sources(finding: Finding) -> tuple[str, str, str]:
    return finding.record_source, finding.info_source, finding.body_source


async def _one(mounted: Mounted, job: Verify) -> Finding:
    (finding,) = (await findings_of(mounted.fs, job)).values()
    return finding


@pytest.mark.parametrize("content", [b"evidence", LARGE])
async def test_each_finding_says_where_it_is_from(estate: Estate, content: bytes) -> None:
    """The server, and when it was asked; bytes that are here are read here."""
    job = Verify(paths_of(*estate.asset(content)))
    before = time_text(time.time_ns() - NS_PER_S)
    async with estate.mounted(stored=True) as mounted:
        first = await _one(mounted, job)
        again = await _one(mounted, job)
    assert _sources(first) == ("server", "server", "server")
    assert _sources(again) == ("server", "server", "cache")
    for finding in (first, again):
        assert before <= finding.record_asked <= finding.checked
        assert before <= finding.info_asked <= finding.checked


async def test_what_was_not_had_has_no_source(estate: Estate, expected_warnings: set[str]) -> None:
    """A record that may not be seen; /info that is gone; bytes that nobody asked for."""
    expected_warnings |= {"403", "SHA-256"}
    holder, (well, gone, wrong) = estate.asset(b"well", b"gone", b"wrong")
    estate.demo.edit_blob(gone, delete=True)
    estate.demo.edit_blob(wrong, flip_info_hash=True)
    estate.demo.edit_asset(holder.asset, deny="record")
    async with estate.mounted() as mounted:
        found = await findings_of(mounted.fs, Verify(paths_of(holder, (well, gone))))
    assert _sources(found[f"{holder.path}/{well}"]) == ("", "server", "server")
    assert _sources(found[f"{holder.path}/{gone}"]) == ("", "", "")
    assert found[f"{holder.path}/{well}"].record_asked == ""
    estate.demo.edit_asset(holder.asset, deny=False)
    async with estate.mounted() as mounted:
        finding = await _one(mounted, Verify(paths_of(holder, (wrong,))))
    assert (finding.verdict, *_sources(finding)) == (Verdict.MISMATCHED, "server", "server", "")


async def test_what_the_server_has_changed_since_is_found(
    estate: Estate, expected_warnings: set[str]
) -> None:
    """Whatever a mount has known for an hour; by the first verification as by the next."""
    expected_warnings |= {"SHA-256", "not what"}
    holder, (same, info, gone, bad, other) = estate.asset(
        b"same", b"info", b"gone", b"bad", b"other"
    )
    event, (late,) = estate.event(holder, b"late")
    async with estate.mounted(metadata_ttl_s=3600.0, stored=True) as mounted:
        found = await findings_of(mounted.fs, _ALL)
        assert {finding.verdict for finding in found.values()} == {Verdict.VERIFIED}
        estate.demo.edit_blob(info, flip_info_hash=True)
        estate.demo.edit_blob(gone, delete=True)
        estate.demo.edit_blob(bad, scanned_status="SCANNED_BAD")
        estate.demo.edit_event(event.event or "", delete=True)
        new, (uuid,) = estate.asset(b"new")
        found = await findings_of(mounted.fs, _ALL)
        assert {path: finding.verdict for path, finding in found.items()}.items() >= {
            f"{holder.path}/{same}": Verdict.VERIFIED,
            f"{holder.path}/{info}": Verdict.MISMATCHED,
            f"{holder.path}/{gone}": Verdict.MISSING,
            f"{holder.path}/{bad}": Verdict.BAD_SCAN,
            f"{holder.path}/{other}": Verdict.VERIFIED,
            f"{new.path}/{uuid}": Verdict.VERIFIED,
        }.items()
        assert f"{event.path}/{late}" not in found


async def test_the_mount_learns_what_is_found(estate: Estate) -> None:
    """And asks no more for it than if it had found out by itself."""
    holder, (bad, well) = estate.asset(b"bad", b"well")
    path = AttachmentPath(holder, bad)
    async with estate.mounted(metadata_ttl_s=3600.0) as mounted:
        await mounted.catalog.info(path)
        estate.demo.edit_blob(bad, scanned_status="SCANNED_BAD")
        await findings_of(mounted.fs, _ALL)
        node = await mounted.fs.find(path.path)
        with pytest.raises(BlockedByScan):
            await node.open()  # type: ignore[attr-defined]
        await estate.reset()
        await (await mounted.fs.find(f"{holder.path}/{well}")).attrs()
        assert (await mounted.catalog.assets()).complete
        assert len(await (await mounted.catalog.events(holder)).whole()) == 1
        assert await estate.count() == 0


Forge = Callable[[Estate, Holder, str], Awaitable[Index]]


@pytest.mark.parametrize("ahead_s", [0.0, 3.0, 1e6])
async def test_an_index_that_was_forged_deceives_no_verification(
    estate: Estate, tmp_path: Path, ahead_s: float, expected_warnings: set[str]
) -> None:
    """Not with a planted object that fits it, whatever time its entries bear."""
    expected_warnings.add("SHA-256")
    forged, true = b"FORGERY!", b"evidence"
    holder, (uuid,) = estate.asset(true)
    path = AttachmentPath(holder, uuid)
    ours, theirs = (hashlib.sha256(data).hexdigest() for data in (true, forged))
    async with trio.open_nursery() as nursery:
        index = index_in_memory(nursery)
        async with estate.mounted(index=index, stored=True) as mounted:
            await findings_of(mounted.fs, _ALL)
        at_s = time.time() + ahead_s
        for key in (record_key(holder), info_key(path)):
            entry = index.get(key)
            assert entry is not None
            index.put(key, entry.value.replace(ours.encode(), theirs.encode()), at_s)
        planted = tmp_path / "objects/sha256" / theirs[:2] / theirs[2:]
        planted.parent.mkdir(exist_ok=True)
        planted.write_bytes(forged)
        async with estate.mounted(index=index, stored=True) as mounted:
            offline = await _one(mounted, Verify((path.path,), offline=True))
            online = await _one(mounted, Verify((path.path,)))
        nursery.cancel_scope.cancel()
    assert (offline.body_sha256, _sources(offline)) == (theirs, ("index", "index", "cache"))
    assert (online.body_sha256, _sources(online)) == (ours, ("server", "server", "cache"))
    assert online.record_sha256 == (ours,)


async def test_marks_of_what_is_not_looked_at_decide_nothing(estate: Estate) -> None:
    """A report is of its paths: the same, whoever knew what before. A mark may be forged, too."""
    first, (bad,) = estate.asset(b"same")
    second, (twin,) = estate.asset(b"same")
    estate.demo.edit_blob(bad, scanned_status="SCANNED_BAD")
    async with trio.open_nursery() as nursery:
        index = index_in_memory(nursery)
        index.put(BAD + hashlib.sha256(b"same").hexdigest().encode(), b"assets/forged", 1.0)
        async with estate.mounted(index=index) as mounted:
            cold = await _one(mounted, Verify((f"{second.path}/{twin}",)))
            await findings_of(mounted.fs, Verify((first.path,)))
            warm = await _one(mounted, Verify((f"{second.path}/{twin}",)))
        nursery.cancel_scope.cancel()
    assert (cold.verdict, warm.verdict) == (Verdict.VERIFIED, Verdict.VERIFIED)


async def test_a_server_that_cannot_be_asked_verifies_nothing(
    estate: Estate, expected_warnings: set[str]
) -> None:
    """What was known a moment ago is served to readers; a report says what could not be had."""
    expected_warnings.add("trouble")
    holder, (uuid,) = estate.asset(b"evidence")
    job = Verify((f"{holder.path}/{uuid}",))
    async with estate.mounted(stored=True, timeout_s=0.5) as mounted:
        assert (await _one(mounted, job)).verdict is Verdict.VERIFIED
        estate.demo.fail_next(path_regex="v2/", status=500, times=999)
        finding = await _one(mounted, job)
    assert (finding.verdict, finding.body_source) == (Verdict.UNREADABLE, "")


async def test_offline_nothing_is_asked(estate: Estate) -> None:
    """What is here is read, by what was known; what is not here is unreadable."""
    holder, uuids = estate.asset(b"one", LARGE)
    event, (third,) = estate.event(holder, b"three")
    async with estate.mounted(stored=True, metadata_ttl_s=0.0, stale_ok_s=0.0) as mounted:
        online = await findings_of(mounted.fs, _ALL)
        path = AttachmentPath(event, third)
        estate.demo.edit_blob(uuids[0], scanned_status="SCANNED_BAD")
        await estate.reset()
        offline = await findings_of(mounted.fs, _OFFLINE)
        assert await estate.count() == 0
        assert offline.keys() == online.keys()
        assert {_sources(finding) for finding in offline.values()} == {("index", "index", "cache")}
        assert {finding.verdict for finding in offline.values()} == {Verdict.VERIFIED}
        assert all(finding.record_asked for finding in offline.values())
        assert path.path in offline


async def test_offline_what_is_not_known_is_unreadable(estate: Estate) -> None:
    """Records, /info or bytes; and that says so."""
    holder, (uuid,) = estate.asset(b"evidence")
    path = AttachmentPath(holder, uuid)
    job = Verify((path.path,), offline=True)
    async with estate.mounted() as mounted:
        nothing = await _one(mounted, job)
        await mounted.catalog.confirmed_info(path)
        no_bytes = await _one(mounted, job)
        with pytest.RaisesGroup(Unreachable):
            await findings_of(mounted.fs, Verify((f"assets/{ASSET}",), offline=True))
    assert (nothing.verdict, _sources(nothing)) == (Verdict.UNREADABLE, ("", "", ""))
    assert (no_bytes.verdict, _sources(no_bytes)) == (Verdict.UNREADABLE, ("index", "index", ""))
    assert "--offline asks no server" in nothing.reason
    assert "--offline asks no server" in no_bytes.reason


async def test_the_asset_of_an_event_has_its_name_whoever_knew_it(estate: Estate) -> None:
    """A report of the event alone says the same with a cache and without one."""
    holder, _ = estate.asset(arc_display_name="door")
    event, (uuid,) = estate.event(holder, b"proof")
    job = Verify((f"{event.path}/{uuid}",))
    async with estate.mounted() as mounted:
        cold = await _one(mounted, job)
        await findings_of(mounted.fs, _ALL)
        warm = await _one(mounted, job)
    assert cold.asset_name == warm.asset_name == "door"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("size", [7, 9])
async def test_a_wrong_length_is_wrong_whatever_was_read_before(
    estate: Estate, expected_warnings: set[str], order: tuple[int, int], size: int
) -> None:
    """The same bytes with another length are no reason to believe it, or to read for ever."""
    expected_warnings |= {"SHA-256", "not what"}
    paths = [estate.one(b"evidence"), estate.one(b"evidence")]
    estate.demo.edit_blob(paths[1].attachment, info_overrides={"size": size})
    asked = tuple(paths[number].path for number in order)
    async with estate.mounted() as mounted:
        for at_once in (1, 16):
            found = await findings_of(mounted.fs, Verify(asked, at_once=at_once))
            assert found[paths[0].path].verdict is Verdict.VERIFIED
            wrong = found[paths[1].path]
            assert wrong.verdict is Verdict.MISMATCHED
            assert f"8 bytes are offered, {size} were recorded" in wrong.reason


@pytest.mark.parametrize("content", [b"evidence", LARGE])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_no_bytes_stand_for_those_of_another_attachment(
    estate: Estate, expected_warnings: set[str], order: tuple[int, int], content: bytes
) -> None:
    """The server may have changed those, of the same SHA-256 by its records; in any order."""
    expected_warnings |= {"SHA-256", "not what"}
    good, changed = estate.one(content), estate.one(content)
    estate.demo.edit_blob(changed.attachment, flip_body_byte=3)
    paths = tuple((good.path, changed.path)[number] for number in order)
    for at_once in (1, 16):
        # A store of its own each time: what was there before a verification is believed.
        async with estate.mounted(stored=at_once == 1) as mounted:
            found = await findings_of(mounted.fs, Verify(paths, at_once=at_once))
        assert found[good.path].verdict is Verdict.VERIFIED
        assert found[changed.path].verdict is Verdict.MISMATCHED
        assert {finding.body_source for finding in found.values()} == {"server"}


async def test_an_attachment_is_downloaded_once_wherever_it_hangs(estate: Estate) -> None:
    """On its asset and on the event that set it."""
    await trio.lowlevel.checkpoint()
    estate.asset(b"evidence", LARGE)
    async with estate.mounted(stored=True) as mounted:
        found = await findings_of(mounted.fs, Verify(("",), at_once=1))
        assert len(found) == 2 * 2
        assert await estate.count(BLOB_PATHS) == 2


async def _settled(mounted: Mounted, job: Verify) -> dict[str, Finding]:
    """Return the rows of a report, without what may differ between runs."""
    found = await findings_of(mounted.fs, job)
    bad = found_bad(found.values)
    return {
        path: replace(
            settled(finding, bad), record_asked="", info_asked="", body_source="", checked=""
        )
        for path, finding in found.items()
    }


@pytest.mark.parametrize("bad", DECLARED)
@pytest.mark.parametrize("twin", DECLARED)
async def test_a_report_counts_every_digest_of_what_is_bad(
    estate: Estate, bad: Declare, twin: Declare
) -> None:
    """Whatever declares it, in any order, with a cache and without one; until it is good again."""
    marked, same = bad(estate), twin(estate)
    jobs = [Verify(paths, at_once=1) for paths in permutations((marked.path, same.path))]
    async with estate.mounted() as mounted:
        for status, verdict in (("BAD", Verdict.BAD_SCAN), ("OK", Verdict.VERIFIED)):
            estate.demo.edit_blob(marked.attachment, scanned_status=f"SCANNED_{status}")
            rows = [await _settled(mounted, job) for job in (*jobs, *jobs)]
            assert {finding.verdict for finding in rows[0].values()} == {verdict}
            assert all(row == rows[0] for row in rows)


async def test_a_report_counts_the_digests_of_older_records(estate: Estate) -> None:
    """What the asset declared once is bad as well, where that is looked at."""
    blob = estate.blob(EVIL)
    asset = estate.demo.create_asset({"attributes": {}}, at=datetime(2023, 1, 1, tzinfo=UTC))
    holder = Holder(uuid_in(asset))
    for month, digest in ((1, DIGEST), (2, "")):
        attribute = declared(blob, arc_blob_hash_value=digest)
        estate.event(holder, on_asset={"latest": attribute}, at=f"2024-0{month}-01T00:00:00Z")
    estate.demo.edit_blob(uuid_in(blob), info_overrides={"hash": {}}, scanned_status="SCANNED_BAD")
    past = f"as-of/2024-01-15/assets/{holder.asset}/{uuid_in(blob)}"
    same = estate.one(EVIL).path
    async with estate.mounted() as mounted:
        for paths in permutations((past, same)):
            rows = await _settled(mounted, Verify(paths, at_once=1))
            assert {rows[path].verdict for path in paths} == {Verdict.BAD_SCAN}


async def test_in_a_report_no_attachment_clears_the_mark_of_another(estate: Estate) -> None:
    """A twin is bad until the last that says so is good, and readers of the mount learn that."""
    marked, twin = [estate.one(EVIL), estate.one(EVIL)], estate.one(EVIL)
    for path in marked:
        estate.demo.edit_blob(path.attachment, scanned_status="SCANNED_BAD")
    async with estate.mounted(metadata_ttl_s=3600.0) as mounted:
        for good, bad in (([], True), (marked[:1], True), (marked, False)):
            for path in good:
                estate.demo.edit_blob(path.attachment, scanned_status="SCANNED_OK")
            rows = await _settled(mounted, Verify(("",)))
            assert (rows[twin.path].verdict is Verdict.BAD_SCAN) is bad
            assert mounted.catalog.is_bad(DIGEST) is bad


async def test_what_the_server_refuses_for_its_scan_is_a_bad_scan(
    estate: Estate, expected_warnings: set[str]
) -> None:
    """Where it is newer than `/info`; and readers of the mount learn that."""
    expected_warnings.add("trouble")
    refused = estate.one(EVIL)
    estate.demo.edit_blob(
        refused.attachment,
        scanned_status="SCANNED_BAD",
        info_overrides={"scanned_status": "NOT_SCANNED"},
    )
    async with estate.mounted() as mounted:
        # Alone: bytes that are cached for its twin would not be asked for.
        rows = await _settled(mounted, Verify((refused.path,)))
        assert rows[refused.path].verdict is Verdict.BAD_SCAN
        assert "not safe" in rows[refused.path].reason
        assert mounted.catalog.is_bad(DIGEST)
