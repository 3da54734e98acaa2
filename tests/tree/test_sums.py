"""SHA256SUMS: what can be checked, and what cannot, in one directory."""

import hashlib
from typing import Any

import pytest

from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.identities import Holder
from attachfs.errors import Denied, NotFound, ServerFault, Unauthenticated
from tests.support.archives import OTHER, Mounted, declared, sha256, uuid_in
from tests.support.estates import BLOB_PATHS, INFO_PATHS, Estate
from tests.support.trees import ls, read, stat


async def _lines(mounted: Mounted, holder: Holder) -> list[str]:
    text = (await read(mounted.fs, f"{holder.path}/SHA256SUMS")).decode()
    assert text.endswith("\n")
    return text.splitlines()


async def test_there_is_a_line_for_every_attachment_sorted_by_name(estate: Estate) -> None:
    """In the form of sha256sum, digests first."""
    holder, ids = estate.asset(b"one", b"two", b"", b"two")
    async with estate.mounted() as mounted:
        contents = dict(zip(ids, [b"one", b"two", b"", b"two"], strict=True))
        assert await _lines(mounted, holder) == [
            f"{sha256(contents[name])}  {name}" for name in sorted(contents)
        ]
        assert await estate.count(BLOB_PATHS) == 0


async def test_every_line_is_true_of_the_file_it_names(estate: Estate) -> None:
    """Checking reads each file and finds its digest."""
    holder, _ = estate.asset(b"one", b"two")
    event, _ = estate.event(holder, b"three")
    async with estate.mounted() as mounted:
        for directory in (holder, event):
            for line in await _lines(mounted, directory):
                digest, name = line.split("  ")
                content = await read(mounted.fs, f"{directory.path}/{name}")
                assert hashlib.sha256(content).hexdigest() == digest


async def test_what_is_blocked_is_a_comment(estate: Estate) -> None:
    """With its reason, which cannot break the line."""
    holder, (good, bad) = estate.asset(b"good", b"evil")
    estate.demo.edit_blob(
        bad, scanned_status="SCANNED_BAD", scanned_bad_reason=f"worm\n{'0' * 64}  {good}"
    )
    async with estate.mounted() as mounted:
        lines = await _lines(mounted, holder)
        assert len(lines) == 2
        assert f"{sha256(b'good')}  {good}" in lines
        assert f"# {bad}: SCANNED_BAD: worm\\n{'0' * 64}  {good}" in lines
    async with estate.mounted(policy=ScanPolicy.ALLOW) as mounted:
        assert all(not line.startswith("#") for line in await _lines(mounted, holder))


@pytest.mark.parametrize("value", ["nonsense", "not a digest", f"x\n{'0' * 64}  evil", "0" * 63])
async def test_a_digest_that_is_none_is_a_comment(estate: Estate, value: str) -> None:
    """A record cannot smuggle lines into the file, and what cannot be opened cannot be checked."""
    good, bad = estate.blob(b"good"), estate.blob(b"bad")
    asset = estate.demo.create_asset(
        {"attributes": {"a": declared(good), "b": declared(bad, arc_blob_hash_value=value)}}
    )
    async with estate.mounted() as mounted:
        lines = await _lines(mounted, Holder(uuid_in(asset)))
        assert len(lines) == 2
        assert f"{sha256(b'good')}  {uuid_in(good)}" in lines
        (comment,) = (line for line in lines if line.startswith("#"))
        assert comment.startswith(f"# {uuid_in(bad)}: ")


async def test_a_record_without_digest_has_that_of_info(estate: Estate) -> None:
    """Old records may lack it."""
    path = estate.one(b"evidence", arc_blob_hash_value=None)
    async with estate.mounted() as mounted:
        assert await _lines(mounted, path.holder) == [f"{sha256(b'evidence')}  {path.attachment}"]


async def test_without_any_digest_there_is_nothing_to_check(estate: Estate) -> None:
    """Neither the record's nor /info's."""
    path = estate.one(b"evidence", arc_blob_hash_value=None)
    estate.demo.edit_blob(path.attachment, info_overrides={"hash": {}})
    async with estate.mounted() as mounted:
        with pytest.raises(NotFound):
            await stat(mounted.fs, f"{path.holder.path}/SHA256SUMS")


async def test_where_the_record_and_info_disagree_the_records_word_stands(estate: Estate) -> None:
    """The check is to fail there: nobody can read bytes that satisfy both."""
    path = estate.one(b"evidence", arc_blob_hash_value=sha256(b"other"))
    async with estate.mounted() as mounted:
        assert await _lines(mounted, path.holder) == [f"{sha256(b'other')}  {path.attachment}"]


async def test_an_attachment_that_cannot_be_read_is_a_comment(estate: Estate) -> None:
    """One that the server refuses does not take the others' lines away."""
    good = estate.blob(b"good")
    gone: dict[str, Any] = {"identity": f"blobs/{OTHER}", "hash": good["hash"]}
    asset = estate.demo.create_asset({"attributes": {"a": declared(good), "b": declared(gone)}})
    async with estate.mounted() as mounted:
        lines = await _lines(mounted, Holder(uuid_in(asset)))
        assert f"# {OTHER}: it cannot be read" in lines
        assert len(lines) == 2


@pytest.mark.usefixtures("quick_retries")
async def test_trouble_is_an_error_and_never_a_shorter_file(estate: Estate) -> None:
    """A file without the lines that could not be had would pass every check."""
    holder, _ = estate.asset(b"one", b"two")
    async with estate.mounted() as mounted:
        estate.demo.fail_next(path_regex=INFO_PATHS, status=500, times=8)
        with pytest.raises(ServerFault):
            await read(mounted.fs, f"{holder.path}/SHA256SUMS")
        assert len(await _lines(mounted, holder)) == 2


async def test_a_token_that_is_refused_is_an_error_and_no_comment(
    estate: Estate, expected_warnings: set[str]
) -> None:
    """It says nothing of the attachments."""
    expected_warnings.add("401")
    holder, _ = estate.asset(b"one", b"two")
    async with estate.mounted() as mounted:
        await ls(mounted.fs, holder.path)
        estate.demo.fail_next(path_regex=INFO_PATHS, status=401, times=8)
        with pytest.raises(Unauthenticated):
            await stat(mounted.fs, f"{holder.path}/SHA256SUMS")


async def test_the_file_is_absent_where_there_is_nothing_to_check(estate: Estate) -> None:
    """No attachments, or none that may be read: neither listed, once known, nor found."""
    empty, _ = estate.asset()
    blocked, (bad,) = estate.asset(b"evil")
    estate.demo.edit_blob(bad, scanned_status="SCANNED_BAD")
    async with estate.mounted() as mounted:
        assert "SHA256SUMS" not in await ls(mounted.fs, empty.path)
        await stat(mounted.fs, f"{blocked.path}/{bad}")
        assert "SHA256SUMS" not in await ls(mounted.fs, blocked.path)
        for holder in (empty, blocked):
            with pytest.raises(NotFound):
                await stat(mounted.fs, f"{holder.path}/SHA256SUMS")


async def test_where_the_record_may_not_be_seen_it_cannot_be_made(estate: Estate) -> None:
    """Nobody knows what it should hold."""
    holder, _ = estate.asset(b"one")
    estate.demo.edit_asset(holder.asset, deny="record")
    async with estate.mounted() as mounted:
        with pytest.raises(Denied):
            await stat(mounted.fs, f"{holder.path}/SHA256SUMS")


async def test_its_size_is_that_of_its_text(estate: Estate) -> None:
    """As told by stat, by open and by reading."""
    holder, _ = estate.asset(b"one", b"two")
    async with estate.mounted() as mounted:
        attrs = await stat(mounted.fs, f"{holder.path}/SHA256SUMS")
        text = await read(mounted.fs, f"{holder.path}/SHA256SUMS")
        assert attrs.size_bytes == len(text) == 2 * (64 + 2 + 36 + 1)
