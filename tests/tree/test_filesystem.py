"""Inodes and extended attributes of the file system as a whole."""

import pytest
import trio

from attachfs.errors import Mismatch, NoSuchXattr, NotFound, XattrUnsupported
from attachfs.tree.inodes import ROOT_INO, InodeTable
from tests.support.archives import sha256
from tests.support.estates import BLOB_PATHS, Estate
from tests.support.trees import ls, read, readdir, stat, xattr


async def test_inodes_are_the_same_in_every_mount(estate: Estate) -> None:
    """Of files and directories, whatever was looked at first."""
    holder, (first, second) = estate.asset(b"one", b"two")
    event, (third,) = estate.event(holder, b"three")
    paths = [
        "assets", holder.path, f"{holder.path}/asset.json", f"{holder.path}/SHA256SUMS",
        f"{holder.path}/{first}", f"{holder.path}/{second}.info.json", f"{holder.path}/events",
        event.path, f"{event.path}/event.json", f"{event.path}/{third}",
    ]  # fmt: skip
    found: list[dict[str, int]] = []
    for order in (paths, paths[::-1]):
        async with estate.mounted() as mounted:
            found.append({path: (await stat(mounted.fs, path)).ino for path in order})
    assert found[0] == found[1]
    assert len(set(found[0].values())) == len(paths)
    assert ROOT_INO not in found[0].values()


async def test_an_attachment_has_one_inode_however_it_is_reached(estate: Estate) -> None:
    """By name, by listing, in another spelling of the record."""
    path = estate.one()
    async with estate.mounted() as mounted:
        by_name = (await stat(mounted.fs, path.path)).ino
        by_list = {e.name: e.attrs.ino for e in await readdir(mounted.fs, path.holder.path)}
        assert by_list[path.attachment] == by_name


async def test_the_same_blob_under_two_holders_has_two_inodes(estate: Estate) -> None:
    """Rights are per path, so nothing but the bytes may be shared."""
    first, second = estate.one(b"same"), estate.one(b"same")
    async with estate.mounted() as mounted:
        inos = {(await stat(mounted.fs, path.path)).ino for path in (first, second)}
        assert len(inos) == 2
        assert await read(mounted.fs, first.path) == await read(mounted.fs, second.path)
        assert await estate.count(BLOB_PATHS) == 1


async def test_lookups_are_counted_and_forgotten(estate: Estate) -> None:
    """What the kernel has forgotten is gone; the root alone is left."""
    path = estate.one()
    counted: list[int] = []
    async with estate.mounted() as mounted:
        for _ in range(3):
            parent = directory = ROOT_INO
            for name in path.path.split("/"):
                directory, parent = parent, (await mounted.fs.lookup(parent, name.encode())).ino
                counted.append(parent)
        listed = mounted.fs.entries(await mounted.fs.opendir(directory))
        index = 0
        while (entry := await listed.wait(index)) is not None:
            mounted.fs.looked_up(entry.node, mounted.fs.listed_attrs(entry))
            counted.append(entry.node.ino)
            index += 1
        assert index == 5
        assert len(mounted.fs._inodes) == 1 + len(set(counted)) == 1 + 2 + 5
        for ino in counted[:-1]:
            mounted.fs.forget(ino, 1)
        assert len(mounted.fs._inodes) == 2
        mounted.fs.forget(counted[-1], 1)
        assert len(mounted.fs._inodes) == 1


@pytest.fixture
def _colliding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give all files of every mount the same few hashes."""

    def few(_self: InodeTable, key: str, salt: int) -> int:
        return 1000 + (sum(map(ord, key)) + salt) % 3 + (salt // 3) * 3

    monkeypatch.setattr(InodeTable, "_hash", few)


@pytest.mark.usefixtures("_colliding")
async def test_names_whose_inodes_collide_are_still_told_apart(estate: Estate) -> None:
    """Found one after the other, each is itself."""
    contents = [bytes([65 + n]) * 5 for n in range(8)]
    holder, ids = estate.asset(*contents)
    async with estate.mounted() as mounted:
        attrs = [await stat(mounted.fs, f"{holder.path}/{name}") for name in ids]
        assert len({a.ino for a in attrs}) == 8
        for a, content in zip(attrs, contents, strict=True):
            opened = await mounted.fs.open(a.ino)
            assert await mounted.fs.read(opened.fh, 0, 100) == content


@pytest.mark.usefixtures("_colliding")
async def test_names_whose_inodes_collide_in_a_listing_are_told_apart(estate: Estate) -> None:
    """All entries of a directory are numbered before the first is looked up."""
    contents = [bytes([65 + n]) * 5 for n in range(8)]
    holder, ids = estate.asset(*contents)
    async with estate.mounted() as mounted:
        listed = await readdir(mounted.fs, holder.path)
        by_name = {entry.name: entry.attrs.ino for entry in listed}
        assert len(set(by_name.values())) == len(listed)
        for name, content in zip(ids, contents, strict=True):
            opened = await mounted.fs.open(by_name[name])
            assert await mounted.fs.read(opened.fh, 0, 100) == content


@pytest.mark.usefixtures("_colliding")
async def test_names_whose_inodes_collide_at_once_are_told_apart(estate: Estate) -> None:
    """Lookups under way at the same time get numbers before either is counted."""
    contents = [bytes([65 + n]) * 5 for n in range(8)]
    holder, ids = estate.asset(*contents)
    found: dict[str, int] = {}
    async with estate.mounted() as mounted:
        parent = (await stat(mounted.fs, holder.path)).ino

        async def look_up(name: str) -> None:
            found[name] = (await mounted.fs.lookup(parent, name.encode())).ino

        async with trio.open_nursery() as nursery:
            for name in ids:
                nursery.start_soon(look_up, name)
        assert len(set(found.values())) == 8
        for name, content in zip(ids, contents, strict=True):
            opened = await mounted.fs.open(found[name])
            assert await mounted.fs.read(opened.fh, 0, 100) == content


async def test_the_xattrs_of_an_attachment_are_listed_and_read(estate: Estate) -> None:
    """Every name listed has a value, /info's fields among them."""
    path = estate.one(b"evidence")
    async with estate.mounted() as mounted:
        ino = (await stat(mounted.fs, path.path)).ino
        names = await mounted.fs.listxattr(ino)
        values = {name.decode(): await mounted.fs.getxattr(ino, name) for name in names}
        assert values["user.archivist.size"] == b"8"
        assert values["user.archivist.hash_value"] == sha256(b"evidence").encode()
        assert values["user.archivist.verified_by"] == b"record+info"
        assert values["user.mime_type"] == values["user.archivist.mime_type"]
        url = f"{estate.running.url}/archivist/v2/attachments/{path.path}"
        assert values["user.xdg.origin.url"] == url.encode()
        assert b"user.archivist.last_error" not in names
        assert await estate.count(BLOB_PATHS) == 0


async def test_what_verifies_an_attachment_is_told(estate: Estate) -> None:
    """By /info alone where the record has no usable digest."""
    path = estate.one(b"evidence", arc_blob_hash_value=None)
    async with estate.mounted() as mounted:
        assert await xattr(mounted.fs, path.path, "user.archivist.verified_by") == "info"


async def test_the_last_error_is_told_until_a_read_succeeds(estate: Estate) -> None:
    """Listed like the others."""
    path = estate.one(b"evidence")
    estate.demo.edit_blob(path.attachment, flip_body_byte=0)
    async with estate.mounted(negative_ttl_s=0.001) as mounted:
        with pytest.raises(Mismatch):
            await read(mounted.fs, path.path)
        error = await xattr(mounted.fs, path.path, "user.archivist.last_error")
        assert f"record={sha256(b'evidence')}" in error
        ino = (await stat(mounted.fs, path.path)).ino
        assert b"user.archivist.last_error" in await mounted.fs.listxattr(ino)
        estate.demo.edit_blob(path.attachment, flip_body_byte=None)
        await trio.sleep(0.002)
        assert await read(mounted.fs, path.path) == b"evidence"
        with pytest.raises(NoSuchXattr):
            await xattr(mounted.fs, path.path, "user.archivist.last_error")


@pytest.mark.parametrize(
    "name", ["security.selinux", "security.capability", "system.posix_acl_access", "trusted.x", ""]
)
async def test_other_namespaces_cost_nothing(estate: Estate, name: str) -> None:
    """`ls -l` asks for them on every file."""
    path = estate.one()
    async with estate.mounted() as mounted:
        await stat(mounted.fs, path.path)
        await estate.reset()
        with pytest.raises(XattrUnsupported):
            await xattr(mounted.fs, path.path, name)
        assert await estate.count() == 0


async def test_what_has_no_xattrs_says_so(estate: Estate) -> None:
    """Directories and sidecars, and names that an attachment has not."""
    path = estate.one()
    async with estate.mounted() as mounted:
        for other in ("", "assets", path.holder.path, f"{path.path}.info.json"):
            assert await mounted.fs.listxattr((await stat(mounted.fs, other)).ino) == []
            with pytest.raises(NoSuchXattr):
                await xattr(mounted.fs, other, "user.archivist.size")
        with pytest.raises(NoSuchXattr):
            await xattr(mounted.fs, path.path, "user.archivist.nothing")
        with pytest.raises(NotFound):
            await mounted.fs.getxattr((await stat(mounted.fs, path.path)).ino, b"user.\xff")


async def test_a_whole_tree_is_read(estate: Estate) -> None:
    """Every file of every directory, each of the size it was told."""
    holders = [estate.asset(b"one", b"two")[0] for _ in range(3)]
    for holder in holders:
        estate.event(holder, b"three", b"")
    async with estate.mounted() as mounted:
        files = 0
        todo = ["assets"]
        while todo:
            directory = todo.pop()
            for name in await ls(mounted.fs, directory):
                attrs = await stat(mounted.fs, f"{directory}/{name}")
                if attrs.is_directory:
                    todo.append(f"{directory}/{name}")
                else:
                    content = await read(mounted.fs, f"{directory}/{name}")
                    assert len(content) == attrs.size_bytes
                    files += 1
        assert files == 3 * (6 + 6 + 6)
