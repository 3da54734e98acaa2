"""Names in by-name/ that change: what the kernel is told, and what it costs to know them."""

from collections.abc import Sequence

import pytest

from attachfs.archive.attachments import Attachment
from attachfs.archive.identities import Holder
from attachfs.errors import NotFound
from attachfs.tree import places
from attachfs.tree.naming import attachment_names, directory_name, short_id
from tests.support.archives import declared, uuid_in
from tests.support.estates import Estate
from tests.support.trees import ls, read, readdir, stat


class _Kernel:
    """Remember which names are to be forgotten."""

    def __init__(self) -> None:
        self.names: set[tuple[int, str]] = set()

    def forget_name(self, parent: int, name: str) -> None:
        self.names.add((parent, name))

    def forget_inode(self, ino: int) -> None:
        """Do nothing."""


async def test_a_new_label_is_a_new_name_in_by_name_alone(estate: Estate) -> None:
    """The old one is forgotten there; whoever works in assets/ is not put out of it."""
    asset, _ = estate.asset(b"one", arc_display_name="old")
    kernel = _Kernel()
    async with estate.mounted(metadata_ttl_s=0, kernel=kernel) as mounted:
        for view in ("assets", "by-name"):
            await readdir(mounted.fs, view)
        named = (await stat(mounted.fs, "by-name")).ino
        estate.demo.edit_asset(asset.asset, attributes={"arc_display_name": "new"})
        await mounted.catalog.confirmed_record(asset)
        assert kernel.names == {(named, directory_name("old", asset.asset))}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"attributes": {"arc_display_type": "Loading"}}, "2024-06-01T12:00:00Z Loading"),
        ({"timestamp_accepted": "2024-06-01T12:00:01Z"}, "2024-06-01T12:00:01Z Record"),
        ({"attributes": {"colour": "red"}}, None),
    ],
)
async def test_an_event_has_its_time_and_type_in_its_name(
    estate: Estate, changes: dict[str, object], name: str | None
) -> None:
    """Whichever of the two is another, the old is forgotten, and the directory is the same."""
    asset, _ = estate.asset(arc_display_name="door")
    event, _ = estate.event(asset)
    digits = short_id(str(event.event))
    events = f"by-name/{directory_name('door', asset.asset)}/events"
    kernel = _Kernel()
    async with estate.mounted(metadata_ttl_s=0, negative_ttl_s=0, kernel=kernel) as mounted:
        old = f"{events}/2024-06-01T12:00:00Z Record~{digits}"
        ino = (await stat(mounted.fs, old)).ino
        parent = (await stat(mounted.fs, events)).ino
        estate.demo.edit_event(str(event.event), **changes)
        await mounted.catalog.confirmed_record(event)
        if name is None:
            assert kernel.names == set()
            return
        new = f"{events}/{name}~{digits}"
        assert kernel.names == {(parent, old.rpartition("/")[2])}
        assert (await stat(mounted.fs, new)).ino == ino
        with pytest.raises(NotFound):
            await stat(mounted.fs, old)


async def test_names_are_worked_out_once_for_a_record(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each depends on all others: a thousand of them took 5 ms, for every lookup."""
    worked_out: list[int] = []

    def counted(attachments: Sequence[Attachment]) -> dict[str, str]:
        worked_out.append(len(attachments))
        return attachment_names(attachments)

    monkeypatch.setattr(places, "attachment_names", counted)
    blobs = [estate.blob(bytes([n])) for n in range(20)]
    attributes = {f"key {n}": declared(b, arc_file_name=f"{n}.txt") for n, b in enumerate(blobs)}
    asset = Holder(uuid_in(estate.demo.create_asset({"attributes": attributes})))
    path = f"by-name/{directory_name('', asset.asset)}"
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        for _ in range(2):
            for number in range(20):
                await stat(mounted.fs, f"{path}/{number}.txt")
        assert worked_out == [20]
        twin = declared(estate.blob(b"twin"), arc_file_name="3.txt")
        estate.demo.edit_asset(asset.asset, attributes={"twin": twin})
        assert await read(mounted.fs, f"{path}/3~{short_id(uuid_in(blobs[3]))}.txt") == b"\3"
        with pytest.raises(NotFound):
            await stat(mounted.fs, f"{path}/3.txt")
        assert len(await ls(mounted.fs, path)) == 3 + 2 * 21
