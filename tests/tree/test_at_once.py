"""What is answered at once: as long as nothing has changed, and no longer than it is believed."""

from pathlib import Path

import pytest
import trio

from attachfs.archive.endpoints import ScanPolicy
from attachfs.catalog.index import Index
from attachfs.errors import BlockedByScan, Denied, Stale
from attachfs.tree.attrs import Attrs
from attachfs.tree.filesystem import FileSystem
from attachfs.tree.naming import directory_name
from tests.support.archives import Mounted, declared, uuid_in
from tests.support.estates import Estate
from tests.support.trees import read, stat


async def _now(mounted: Mounted, path: str) -> Attrs | None:
    """Look a path up; return what its last name is answered at once the second time."""
    directory, _, name = path.rpartition("/")
    parent = await stat(mounted.fs, directory)
    return _answer(mounted.fs, parent.ino, name)


def _answer(fs: FileSystem, parent: int, name: str) -> Attrs | None:
    answer = fs.lookup_now(parent, name.encode())
    return None if answer is None else answer[0]


async def test_names_looked_up_before_are_answered_at_once(estate: Estate) -> None:
    """In every view of today, without a request."""
    path = estate.one()
    event, (proof,) = estate.event(path.holder, b"photo")
    named = f"by-name/{directory_name('', path.holder.asset)}"
    async with estate.mounted() as mounted:
        paths = (
            path.holder.path,
            path.path,
            f"{path.path}.info.json",
            f"{path.holder.path}/asset.json",
            f"{path.holder.path}/events",
            event.path,
            f"{event.path}/{proof}",
            named,
            f"{named}/events",
        )
        for each in paths:
            await stat(mounted.fs, each)
        seen = {each: await stat(mounted.fs, each) for each in paths}  # by the newest event
        await estate.reset()
        for each in paths:
            answer = await _now(mounted, each)
            assert answer is not None, each
            assert answer[:4] == seen[each][:4]
        assert await estate.count() == 0


async def test_a_name_that_was_never_looked_up_is_not(estate: Estate) -> None:
    """Nor one that does not exist."""
    path = estate.one()
    async with estate.mounted() as mounted:
        assert await _now(mounted, path.path) is None
        assert await _now(mounted, f"{path.holder.path}/nothing") is None
        assert await _now(mounted, "as-of/2024-05-05/assets") is None


async def test_an_answer_is_good_for_as_long_as_the_record_is_believed(estate: Estate) -> None:
    """And the kernel is told for how long that is."""
    path = estate.one()
    async with estate.mounted(metadata_ttl_s=0.2) as mounted:
        parent = await stat(mounted.fs, path.holder.path)
        await stat(mounted.fs, path.path)
        answer = mounted.fs.lookup_now(parent.ino, path.attachment.encode())
        assert answer is not None
        assert 0 < answer[1] <= 0.2
        await trio.sleep(0.25)
        assert _answer(mounted.fs, parent.ino, path.attachment) is None


@pytest.mark.parametrize("where", ["", "assets", "asset"])
async def test_a_refresh_ends_what_was_answered_before(estate: Estate, where: str) -> None:
    """Of everything, of a view, of an asset."""
    path = estate.one()
    async with estate.mounted() as mounted:
        await read(mounted.fs, path.path)
        parent, file = await stat(mounted.fs, path.holder.path), await stat(mounted.fs, path.path)
        await mounted.fs.refresh(path.holder.path if where == "asset" else where)
        assert _answer(mounted.fs, parent.ino, path.attachment) is None
        assert mounted.fs.open_now(file.ino) is None


async def test_an_attachment_that_has_gone_is_not_answered(estate: Estate) -> None:
    """Once its record is known to be another, by whatever way."""
    path = estate.one()
    async with estate.mounted() as mounted:
        await read(mounted.fs, path.path)
        parent, file = await stat(mounted.fs, path.holder.path), await stat(mounted.fs, path.path)
        estate.demo.edit_asset(path.holder.asset, attributes={"proof": None})
        mounted.catalog.expire(path.holder)
        await mounted.catalog.record(path.holder)
        assert _answer(mounted.fs, parent.ino, path.attachment) is None
        assert mounted.fs.open_now(file.ino) is None


async def test_a_name_that_stands_for_another_attachment_is_not_answered(estate: Estate) -> None:
    """In by-name/, what a name means is the record's; its node may be known by its UUID."""
    asset = estate.asset()[0]
    first, second = estate.blob(b"first"), estate.blob(b"second")
    names = {"a": declared(first, arc_file_name="x"), "b": declared(second, arc_file_name="y")}
    estate.demo.edit_asset(asset.asset, attributes=names)
    named = f"by-name/{directory_name('', asset.asset)}"
    async with estate.mounted() as mounted:
        assert await read(mounted.fs, f"{named}/x") == b"first"
        parent = await stat(mounted.fs, named)
        assert _answer(mounted.fs, parent.ino, "x") is not None
        names = {"a": declared(first, arc_file_name="y"), "b": declared(second, arc_file_name="x")}
        estate.demo.edit_asset(asset.asset, attributes=names)
        mounted.catalog.expire(asset)
        assert await read(mounted.fs, f"{asset.path}/{uuid_in(first)}") == b"first"
        assert _answer(mounted.fs, parent.ino, "x") is None
        assert await read(mounted.fs, f"{named}/x") == b"second"


async def test_a_right_that_is_no_longer_confirmed_opens_nothing_at_once(estate: Estate) -> None:
    """However often it has been opened within the lifetime."""
    path = estate.one()
    async with estate.mounted(metadata_ttl_s=0.2) as mounted:
        await read(mounted.fs, path.path)
        file = await stat(mounted.fs, path.path)
        opened = mounted.fs.open_now(file.ino)
        assert opened is not None
        mounted.fs.release(opened.fh)
        estate.demo.edit_asset(path.holder.asset, deny=True)
        await trio.sleep(0.25)
        assert mounted.fs.open_now(file.ino) is None
        with pytest.raises(Denied):
            await mounted.fs.open(file.ino)


async def test_bytes_found_bad_meanwhile_are_not_opened_at_once(
    estate: Estate, tmp_path: Path
) -> None:
    """Also where another process has found it out, which shares the index."""
    path, twin = estate.one(b"same"), estate.one(b"same")
    estate.demo.edit_blob(twin.attachment, scanned_status="SCANNED_BAD")
    async with trio.open_nursery() as nursery:
        indexes = [Index.open(tmp_path / "index") for _ in range(2)]
        for index in indexes:
            index.start(nursery)
        ours, theirs = indexes
        async with estate.mounted(index=ours) as mounted, estate.mounted(index=theirs) as other:
            await read(mounted.fs, path.path)
            file = await stat(mounted.fs, path.path)
            opened = mounted.fs.open_now(file.ino)
            assert opened is not None
            mounted.fs.release(opened.fh)
            await stat(other.fs, twin.path)
            await theirs.settle()
            assert mounted.fs.open_now(file.ino) is None
            with pytest.raises(BlockedByScan):
                await mounted.fs.open(file.ino)
        for index in indexes:
            index.close()


async def test_with_the_policy_allow_what_is_bad_is_opened_at_once(estate: Estate) -> None:
    """As it is the long way."""
    path = estate.one()
    estate.demo.edit_blob(path.attachment, scanned_status="SCANNED_BAD")
    async with estate.mounted(policy=ScanPolicy.ALLOW) as mounted:
        assert await read(mounted.fs, path.path) == b"evidence"
        assert await read(mounted.fs, path.path) == b"evidence"
        assert mounted.fs.open_now((await stat(mounted.fs, path.path)).ino) is not None


async def test_an_inode_that_the_kernel_has_forgotten_is_known_again(estate: Estate) -> None:
    """By a lookup that is answered at once: it is counted as any other."""
    path = estate.one()
    async with estate.mounted() as mounted:
        parent, file = await stat(mounted.fs, path.holder.path), await stat(mounted.fs, path.path)
        mounted.fs.forget(file.ino, 1)
        with pytest.raises(Stale):
            mounted.fs.open_now(file.ino)
        assert _answer(mounted.fs, parent.ino, path.attachment) is not None
        assert (await mounted.fs.getattr(file.ino))[:4] == file[:4]
        mounted.fs.forget(file.ino, 1)
        assert len(mounted.fs._inodes) == 3


async def test_no_more_nodes_are_kept_than_there_may_be(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ones go, and are looked up the long way again."""
    monkeypatch.setattr("attachfs.tree.filesystem._MAX_NODES", 3)
    holder, ids = estate.asset(*[bytes([number]) for number in range(5)])
    async with estate.mounted() as mounted:
        for name in ids:
            await stat(mounted.fs, f"{holder.path}/{name}")
        assert len(mounted.fs._nodes) == len(mounted.fs._children) == 3
        assert (await stat(mounted.fs, f"{holder.path}/{ids[0]}")).size_bytes == 1
