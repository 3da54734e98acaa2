"""What the scan policy looks at: every digest known of a path, and what others say of it."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.catalog.index import Index
from attachfs.errors import BlockedByScan, NotFound
from tests.support.archives import Mounted, declared, uuid_in
from tests.support.declaring import DECLARED, DIGEST, EVIL, Declare, by_info, by_record
from tests.support.estates import BLOB_PATHS, Estate
from tests.support.trees import read, stat


def _mark(estate: Estate, path: AttachmentPath, status: str) -> None:
    estate.demo.edit_blob(path.attachment, scanned_status=status)


async def _meet(mounted: Mounted, path: AttachmentPath) -> None:
    """Have `/info` asked for again."""
    mounted.catalog.expire(path.holder)
    await stat(mounted.fs, path.path)
    await mounted.catalog.info(path)


async def _is_refused(mounted: Mounted, path: AttachmentPath) -> bool:
    """Return whether a path is refused, by open, read-ahead and checksums alike."""
    try:
        assert await read(mounted.fs, path.path) == EVIL
    except BlockedByScan:
        refused = True
    else:
        refused = False
    node = await mounted.fs.find(path.path)
    await node.fetch_ahead()  # type: ignore[attr-defined]
    sums = b""
    with suppress(NotFound):  # where there is nothing to check
        sums = await read(mounted.fs, f"{path.holder.path}/SHA256SUMS")
    assert (DIGEST.encode() in sums) is not refused
    return refused


@pytest.mark.parametrize("bad", DECLARED)
@pytest.mark.parametrize("twin", DECLARED)
async def test_bytes_marked_bad_are_refused_whatever_declares_their_digest(
    estate: Estate, bad: Declare, twin: Declare
) -> None:
    """At the attachment that is marked, and at the one that has the same bytes: nothing is read."""
    marked, same = bad(estate), twin(estate)
    _mark(estate, marked, "SCANNED_BAD")
    async with estate.mounted() as mounted:
        await _meet(mounted, marked)
        assert await _is_refused(mounted, same)
        assert await estate.count(BLOB_PATHS) == 0
        _mark(estate, marked, "SCANNED_OK")
        await _meet(mounted, marked)
        assert not await _is_refused(mounted, same)


@pytest.mark.parametrize("statuses", [("SCANNED_OK", "NOT_SCANNED"), ("NOT_SCANNED", "SCANNED_OK")])
async def test_one_attachment_that_becomes_good_says_nothing_of_others(
    estate: Estate, statuses: tuple[str, str]
) -> None:
    """A digest is bad while any attachment says so, whichever was marked first or cleared first."""
    same = estate.one(EVIL)
    for first in (0, 1):
        marked = [estate.one(EVIL), estate.one(EVIL)]
        async with estate.mounted() as mounted:
            for path in marked:
                _mark(estate, path, "SCANNED_BAD")
                await _meet(mounted, path)
            for path, refused in ((marked[first], True), (marked[1 - first], False)):
                _mark(estate, path, statuses[first])
                await _meet(mounted, path)
                assert await _is_refused(mounted, same) is refused


async def test_marks_outlive_a_restart_each_by_itself(
    estate: Estate, tmp_path: Path, nursery: trio.Nursery
) -> None:
    """Nobody has to meet a bad attachment again before its twin is refused."""
    marked, same = [by_record(estate), by_info(estate)], estate.one(EVIL)
    for path in marked:
        _mark(estate, path, "SCANNED_BAD")
    for cleared, refused in ((None, True), (marked[1], True), (marked[0], False)):
        index = Index.open(tmp_path / "index")
        index.start(nursery)
        async with estate.mounted(index=index) as mounted:
            if cleared is None:
                for path in marked:
                    await _meet(mounted, path)
            else:
                assert await _is_refused(mounted, same)
                _mark(estate, cleared, "SCANNED_OK")
                await _meet(mounted, cleared)
            assert await _is_refused(mounted, same) is refused
            await index.settle()
        index.close()


@pytest.mark.parametrize("listed", [True, False])
async def test_a_digest_that_a_record_declares_later_is_bad(
    estate: Estate, *, listed: bool
) -> None:
    """The record was not to be seen when `/info` said so, or did not declare it yet."""
    marked, same = by_record(estate), estate.one(EVIL)
    _mark(estate, marked, "SCANNED_BAD")
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        await mounted.catalog.info(marked)
        assert mounted.catalog.known_record(marked.holder) is None
        assert not await _is_refused(mounted, same)
        if listed:
            await (await mounted.catalog.assets()).whole()
        else:
            await mounted.catalog.record(marked.holder)
        assert await _is_refused(mounted, same)


async def test_a_digest_that_a_record_comes_to_declare_is_bad(estate: Estate) -> None:
    """It is renewed when its lifetime is over, and `/info` is not asked for again."""
    marked, same = by_record(estate), estate.one(EVIL)
    attribute = estate.demo.edit_asset(marked.holder.asset)["attributes"]["proof"]
    estate.demo.edit_asset(
        marked.holder.asset, attributes={"proof": {**attribute, "arc_blob_hash_value": ""}}
    )
    _mark(estate, marked, "SCANNED_BAD")
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        await stat(mounted.fs, marked.path)
        assert not await _is_refused(mounted, same)
        estate.demo.edit_asset(marked.holder.asset, attributes={"proof": attribute})
        await stat(mounted.fs, marked.holder.path)
        assert await _is_refused(mounted, same)


async def test_a_digest_of_an_older_record_counts(estate: Estate) -> None:
    """What the asset declared once is known of the path as what it declares now is."""
    blob = estate.blob(EVIL)
    asset = estate.demo.create_asset({"attributes": {}}, at=datetime(2023, 1, 1, tzinfo=UTC))
    holder = Holder(uuid_in(asset))
    for month, digest in ((1, DIGEST), (2, "")):
        estate.event(
            holder,
            on_asset={"latest": declared(blob, arc_blob_hash_value=digest)},
            at=f"2024-0{month}-01T00:00:00Z",
        )
    path, same = AttachmentPath(holder, uuid_in(blob)), estate.one(EVIL)
    estate.demo.edit_blob(path.attachment, info_overrides={"hash": {}})
    _mark(estate, path, "SCANNED_BAD")
    async with estate.mounted() as mounted:
        await _meet(mounted, path)
        assert not await _is_refused(mounted, same)
        await stat(mounted.fs, f"as-of/2024-01-15/assets/{holder.asset}/{path.attachment}")
        assert await _is_refused(mounted, same)


async def test_bytes_that_the_server_refuses_for_their_scan_are_bad_elsewhere(
    estate: Estate,
) -> None:
    """`/info` may be an hour old; the refusal holds until it is asked for again."""
    marked, same = estate.one(EVIL), estate.one(EVIL)
    async with estate.mounted() as mounted:
        await stat(mounted.fs, marked.path)
        _mark(estate, marked, "SCANNED_BAD")
        with pytest.raises(BlockedByScan, match="not safe"):
            await read(mounted.fs, marked.path)
        assert await _is_refused(mounted, same)
        _mark(estate, marked, "SCANNED_OK")
        await _meet(mounted, marked)
        assert not await _is_refused(mounted, same)
