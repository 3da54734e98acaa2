"""What the kernel is told to forget."""

import pytest

from attachfs.errors import NotFound
from attachfs.tree.naming import directory_name
from tests.support.archives import declared, uuid_in
from tests.support.estates import Estate
from tests.support.trees import ls, read, readdir, stat


class _Kernel:
    """Remember what is to be forgotten."""

    def __init__(self) -> None:
        self.names: set[tuple[int, str]] = set()
        self.inodes: set[int] = set()

    def forget_name(self, parent: int, name: str) -> None:
        self.names.add((parent, name))

    def forget_inode(self, ino: int) -> None:
        self.inodes.add(ino)


async def test_attachments_that_come_and_go_are_forgotten_by_name(estate: Estate) -> None:
    """In every view that the kernel knows, with the record and the sums."""
    holder, (first,) = estate.asset(b"one", arc_display_name="door")
    kernel = _Kernel()
    async with estate.mounted(metadata_ttl_s=0, kernel=kernel) as mounted:
        directory = (await stat(mounted.fs, holder.path)).ino
        named = (await stat(mounted.fs, f"by-name/{directory_name('door', holder.asset)}")).ino
        record = (await stat(mounted.fs, f"{holder.path}/asset.json")).ino
        sums = (await stat(mounted.fs, f"{holder.path}/SHA256SUMS")).ino
        assert (kernel.names, kernel.inodes) == (set(), set())
        new = estate.blob(b"two")
        attributes = {"attachment 0": None, "proof": declared(new, arc_file_name="new.bin")}
        estate.demo.edit_asset(holder.asset, attributes=attributes)
        await stat(mounted.fs, holder.path)
        ids = (first, uuid_in(new))
        expected = {(directory, f"{i}{end}") for i in ids for end in ("", ".info.json")}
        files = ("0.bin", "new.bin")
        expected |= {(named, f"{file}{end}") for file in files for end in ("", ".info.json")}
        assert kernel.names == expected
        assert {directory, named, record, sums} <= kernel.inodes


async def test_an_asset_that_goes_is_forgotten(estate: Estate) -> None:
    """Under its UUID and under its name."""
    holder, _ = estate.asset(arc_display_name="door")
    kernel = _Kernel()
    async with estate.mounted(metadata_ttl_s=0, negative_ttl_s=0, kernel=kernel) as mounted:
        name = directory_name("door", holder.asset)
        await stat(mounted.fs, f"by-name/{name}")
        await stat(mounted.fs, holder.path)
        parents = [(await stat(mounted.fs, view)).ino for view in ("assets", "by-name")]
        estate.demo.edit_asset(holder.asset, delete=True)
        with pytest.raises(NotFound):
            await stat(mounted.fs, holder.path)
        assert {(parents[0], holder.asset), (parents[1], name)} <= kernel.names


async def test_a_refresh_asks_again_whatever_the_lifetime(estate: Estate) -> None:
    """Of one path, or of everything; what cannot be there is refused."""
    holder, _ = estate.asset(colour="blue")
    kernel = _Kernel()
    async with estate.mounted(metadata_ttl_s=3600, kernel=kernel) as mounted:
        await readdir(mounted.fs, "assets")
        path = f"{holder.path}/asset.json"
        for number, refreshed in enumerate((holder.path, "", "assets")):
            estate.demo.edit_asset(holder.asset, attributes={"colour": f"red {number}"})
            assert f"red {number}".encode() not in await read(mounted.fs, path)
            await mounted.fs.refresh(refreshed)
            assert f"red {number}".encode() in await read(mounted.fs, path)
        assert len(await ls(mounted.fs, "assets")) == 1
        estate.asset()
        assert len(await ls(mounted.fs, "assets")) == 1
        await mounted.fs.refresh("")
        assert len(await ls(mounted.fs, "assets")) == 2
        views = await ls(mounted.fs, "")
        assert {(1, view) for view in views} <= kernel.names
        assert ((await stat(mounted.fs, "assets")).ino, holder.asset) in kernel.names
        for impossible in ("nothing", "assets/nothing", f"{path}/below"):
            with pytest.raises(NotFound):
                await mounted.fs.refresh(impossible)


async def test_what_is_new_appears_and_what_went_disappears(estate: Estate) -> None:
    """Within the lifetime of metadata: here, at once."""
    holder, (first,) = estate.asset(b"one")
    async with estate.mounted(metadata_ttl_s=0, negative_ttl_s=0) as mounted:
        before = set(await ls(mounted.fs, "assets"))
        assert len(await ls(mounted.fs, f"{holder.path}/events")) == 1
        other, _ = estate.asset()
        event, (own,) = estate.event(holder, b"three")
        blob = estate.blob(b"four")
        estate.demo.edit_asset(
            holder.asset, attributes={"attachment 0": None, "new": declared(blob)}
        )
        assert set(await ls(mounted.fs, "assets")) == {*before, other.asset}
        assert event.event in await ls(mounted.fs, f"{holder.path}/events")
        assert own in await ls(mounted.fs, event.path)
        names = await ls(mounted.fs, holder.path)
        assert uuid_in(blob) in names
        assert first not in names
        estate.demo.edit_asset(other.asset, deny=True)
        assert other.asset not in await ls(mounted.fs, "assets")
