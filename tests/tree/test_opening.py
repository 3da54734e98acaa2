"""Files open for reading: what the kernel may keep, what it must forget, what stays as it was."""

import json

import pytest
import trio

from attachfs.archive.endpoints import ScanPolicy
from attachfs.errors import BlockedByScan, Denied, Mismatch, NotFound, Stale
from tests.support.archives import sha256
from tests.support.estates import BLOB_PATHS, Estate
from tests.support.trees import entries, read, readdir, stat, xattr


async def test_bytes_are_read_at_every_position(estate: Estate) -> None:
    """All that were asked for, fewer only at the end."""
    content = bytes(range(256)) * 300
    path = estate.one(content)
    async with estate.mounted() as mounted:
        opened = await mounted.fs.open((await stat(mounted.fs, path.path)).ino)
        for offset, size in [(0, 10), (70_000, 4096), (76_790, 100), (76_800, 1), (10**12, 5)]:
            assert await mounted.fs.read(opened.fh, offset, size) == content[offset : offset + size]
        mounted.fs.release(opened.fh)
        assert await estate.count(BLOB_PATHS) == 1


async def test_handles_are_never_used_twice(estate: Estate) -> None:
    """Of files and directories alike, closed or not."""
    path = estate.one()
    async with estate.mounted() as mounted:
        file, directory = await stat(mounted.fs, path.path), await stat(mounted.fs, "assets")
        seen: set[int] = set()
        for _ in range(5):
            opened = await mounted.fs.open(file.ino)
            listing = await mounted.fs.opendir(directory.ino)
            assert not {opened.fh, listing} & seen
            seen |= {opened.fh, listing}
            mounted.fs.release(opened.fh)
            mounted.fs.releasedir(listing)
            mounted.fs.release(opened.fh)
        assert len(seen) == 10


async def test_the_kernel_may_keep_the_pages_of_what_cannot_change(estate: Estate) -> None:
    """Opening again is free, and size and bytes are the same."""
    path = estate.one()
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        ino = (await stat(mounted.fs, path.path)).ino
        for _ in range(3):
            opened = await mounted.fs.open(ino)
            assert (opened.keep_cache, opened.size_changed) == (True, False)


async def test_a_record_that_changes_is_told_to_the_kernel(estate: Estate) -> None:
    """Its pages go, and its size if that changed; who had it open finds it stale."""
    path = estate.one(colour="blue")
    name = f"{path.holder.path}/asset.json"
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        ino = (await stat(mounted.fs, name)).ino
        first = await mounted.fs.open(ino)
        old = await mounted.fs.read(first.fh, 0, 100_000)
        assert first.keep_cache
        estate.demo.edit_asset(path.holder.asset, attributes={"note": "longer than before"})
        second = await mounted.fs.open(ino)
        assert (second.keep_cache, second.size_changed) == (False, True)
        new = await mounted.fs.read(second.fh, 0, 100_000)
        assert json.loads(new)["attributes"]["note"] == "longer than before"
        assert new != old
        with pytest.raises(Stale):
            await mounted.fs.read(first.fh, 0, 100_000)
        third = await mounted.fs.open(ino)
        assert (third.keep_cache, third.size_changed) == (True, False)
        estate.demo.edit_asset(path.holder.asset, attributes={"note": "longer then before"})
        fourth = await mounted.fs.open(ino)
        assert (fourth.keep_cache, fourth.size_changed) == (False, False)


async def test_a_size_told_to_somebody_else_makes_an_open_record_stale(estate: Estate) -> None:
    """The kernel has one size an inode: it would cut the old record to the new one's."""
    path = estate.one(colour="blue")
    name = f"{path.holder.path}/asset.json"
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        ino = (await stat(mounted.fs, name)).ino
        opened = await mounted.fs.open(ino)
        estate.demo.edit_asset(path.holder.asset, attributes={"colour": "red"})
        assert await mounted.fs.read(opened.fh, 0, 100_000)
        await mounted.fs.getattr(ino)
        with pytest.raises(Stale):
            await mounted.fs.read(opened.fh, 0, 100_000)


async def test_a_record_whose_keys_are_shuffled_keeps_its_bytes(estate: Estate) -> None:
    """Rsync and backups would see a change in every file, every time."""
    estate.demo.set_switches(key_order_shuffle=True, at_time_is_now=True)
    path = estate.one(a="1", b="2", c="3", d="4")
    names = [f"{path.holder.path}/asset.json", f"{path.path}.info.json"]
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        for name in names:
            ino = (await stat(mounted.fs, name)).ino
            before = await read(mounted.fs, name)
            for _ in range(5):
                opened = await mounted.fs.open(ino)
                assert (opened.keep_cache, opened.size_changed) == (True, False)
                assert await mounted.fs.read(opened.fh, 0, 100_000) == before


async def test_a_size_once_told_is_never_taken_back(estate: Estate) -> None:
    """Another `ls` would cut the file short under a reader's feet."""
    path = estate.one(b"evidence")
    async with estate.mounted() as mounted:
        sums = f"{path.holder.path}/SHA256SUMS"
        sizes = {
            path.attachment: (await stat(mounted.fs, path.path)).size_bytes,
            f"{path.attachment}.info.json": (
                await stat(mounted.fs, f"{path.path}.info.json")
            ).size_bytes,
            "SHA256SUMS": (await stat(mounted.fs, sums)).size_bytes,
        }
        assert None not in sizes.values()
        for listed in await readdir(mounted.fs, path.holder.path):
            if listed.name in sizes:
                assert listed.attrs.size_bytes == sizes[listed.name]
        for _ in range(2):
            found = {e.name: e for e in await entries(mounted.fs, path.holder.path)}
            attrs = mounted.fs.listed_attrs(found["SHA256SUMS"])
            assert attrs.size_bytes == sizes["SHA256SUMS"]
        ino = (await stat(mounted.fs, sums)).ino
        mounted.fs.forget(ino, 100)
        found = {e.name: e for e in await entries(mounted.fs, path.holder.path)}
        assert mounted.fs.listed_attrs(found["SHA256SUMS"]).size_bytes is None


async def test_an_inode_that_was_forgotten_is_stale(estate: Estate) -> None:
    """The kernel never asks for one; if it did, it would not get another's answer."""
    path = estate.one()
    async with estate.mounted() as mounted:
        ino = (await stat(mounted.fs, path.path)).ino
        mounted.fs.forget(ino, 1)
        with pytest.raises(Stale):
            await mounted.fs.getattr(ino)
        with pytest.raises(Stale):
            await mounted.fs.open(ino)


async def test_the_right_to_read_is_asked_for_at_every_open(estate: Estate) -> None:
    """Once the last confirmation is too old; what is open stays readable."""
    path = estate.one()
    async with estate.mounted(metadata_ttl_s=0, negative_ttl_s=0) as mounted:
        ino = (await stat(mounted.fs, path.path)).ino
        opened = await mounted.fs.open(ino)
        assert await mounted.fs.read(opened.fh, 0, 8) == b"evidence"
        estate.demo.edit_asset(path.holder.asset, deny=True)
        with pytest.raises(Denied):
            await mounted.fs.open(ino)
        assert await mounted.fs.read(opened.fh, 0, 8) == b"evidence"
        estate.demo.edit_asset(path.holder.asset, delete=True)
        with pytest.raises(NotFound):
            await mounted.fs.open(ino)


async def test_digests_that_disagree_fail_the_open_and_not_the_lookup(estate: Estate) -> None:
    """So that the reason can be read where it belongs."""
    path = estate.one(b"evidence", arc_blob_hash_value=sha256(b"other"))
    async with estate.mounted() as mounted:
        attrs = await stat(mounted.fs, path.path)
        assert attrs.size_bytes == 8
        with pytest.raises(Mismatch):
            await mounted.fs.open(attrs.ino)
        reason = await xattr(mounted.fs, path.path, "user.archivist.last_error")
        for digest in (sha256(b"other"), sha256(b"evidence")):
            assert digest in reason


async def test_an_empty_file_that_should_not_be_fails_the_open(estate: Estate) -> None:
    """The kernel reads no bytes of it, so nothing later would notice."""
    path = estate.one(b"evidence")
    estate.demo.edit_blob(path.attachment, info_overrides={"size": 0})
    good = estate.one(b"")
    async with estate.mounted() as mounted:
        with pytest.raises(Mismatch):
            await mounted.fs.open((await stat(mounted.fs, path.path)).ino)
        assert await read(mounted.fs, good.path) == b""
        assert await estate.count(BLOB_PATHS) == 0


async def test_a_cancelled_open_leaves_nothing_behind(estate: Estate) -> None:
    """Neither a handle nor a count."""
    path = estate.one()
    async with estate.mounted() as mounted:
        ino = (await stat(mounted.fs, path.holder.path)).ino
        known = len(mounted.fs._inodes)
        estate.demo.fail_next(path_regex="/info$", status=0, delay_s=30.0)
        with trio.move_on_after(0.05) as scope:
            await mounted.fs.lookup(ino, path.attachment.encode())
        assert scope.cancelled_caught
        assert len(mounted.fs._inodes) == known
        assert mounted.fs._files == {}


_POLICIES = [
    (ScanPolicy.BLOCK_BAD, {"NOT_SCANNED": True, "SCANNED_OK": True, "SCANNED_BAD": False}),
    (ScanPolicy.REQUIRE_OK, {"NOT_SCANNED": False, "SCANNED_OK": True, "SCANNED_BAD": False}),
    (ScanPolicy.ALLOW, {"NOT_SCANNED": True, "SCANNED_OK": True, "SCANNED_BAD": True}),
]


@pytest.mark.parametrize(("policy", "table"), _POLICIES)
@pytest.mark.parametrize("status", ["NOT_SCANNED", "SCANNED_OK", "SCANNED_BAD"])
async def test_each_policy_opens_what_it_allows(
    estate: Estate, policy: ScanPolicy, table: dict[str, bool], status: str
) -> None:
    """What it forbids is refused before a byte is asked for, and the reason is told."""
    path = estate.one(b"evidence")
    estate.demo.edit_blob(path.attachment, scanned_status=status, scanned_bad_reason="worm")
    async with estate.mounted(policy=policy) as mounted:
        attrs = await stat(mounted.fs, path.path)
        if table[status]:
            assert await read(mounted.fs, path.path) == b"evidence"
            return
        with pytest.raises(BlockedByScan, match=status):
            await mounted.fs.open(attrs.ino)
        reason = await xattr(mounted.fs, path.path, "user.archivist.last_error")
        assert status in reason
        assert ("worm" in reason) is (status == "SCANNED_BAD")
        assert await read(mounted.fs, f"{path.path}.info.json")
        assert await estate.count(BLOB_PATHS) == 0


@pytest.mark.parametrize("policy", ScanPolicy)
async def test_bytes_found_bad_are_bad_under_every_name(estate: Estate, policy: ScanPolicy) -> None:
    """A second upload of the same bytes is no way around the scan."""
    bad, twin = estate.one(b"evil"), estate.one(b"evil")
    estate.demo.edit_blob(bad.attachment, scanned_status="SCANNED_BAD")
    estate.demo.edit_blob(twin.attachment, scanned_status="SCANNED_OK")
    async with estate.mounted(policy=policy) as mounted:
        assert await read(mounted.fs, twin.path) == b"evil"
        await stat(mounted.fs, bad.path)
        if policy is ScanPolicy.ALLOW:
            assert await read(mounted.fs, twin.path) == b"evil"
            return
        with pytest.raises(BlockedByScan, match="another name"):
            await read(mounted.fs, twin.path)


async def test_a_scan_that_the_server_knew_first_is_its_refusal(estate: Estate) -> None:
    """Found bad between our /info and the download, nothing is released."""
    path = estate.one(b"evidence")
    async with estate.mounted() as mounted:
        opened = await mounted.fs.open((await stat(mounted.fs, path.path)).ino)
        estate.demo.edit_blob(path.attachment, scanned_status="SCANNED_BAD")
        with pytest.raises(BlockedByScan, match="not safe"):
            await mounted.fs.read(opened.fh, 0, 8)
