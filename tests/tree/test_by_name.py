"""The view by-name/, where names are odd, missing, shared or changed (beside test_views)."""

import json

import pytest

from attachfs.archive.identities import Holder
from attachfs.errors import Denied, NotFound
from attachfs.tree.naming import directory_name, short_id
from tests.support.archives import declared, sha256, uuid_in
from tests.support.estates import Estate
from tests.support.trees import entries, ls, read, readdir, stat

_HOSTILE = [
    "../../etc/passwd", "..", ".", "/", "a\nb", "nul\0l", "\u202eexe.fdp", "-rf", ".git",
    "x" * 4096, "漢" * 300, " ", "events", "asset.json", "SHA256SUMS", "a.info.json",
    "e\u0301", "é", "\t",
    "x~0123456789ab", "\x1b[31mred", "\u200d",
]  # fmt: skip
_TWINS = ("aaaaaaaa-aaaa-4aaa-8aaa-000000000001", "aaaaaaaa-aaaa-4aaa-8aaa-000000000002")


def _named(estate: Estate, name: str, **fixed: str) -> Holder:
    body = {"attributes": {"arc_display_name": name}}
    return Holder(uuid_in(estate.demo.create_asset(body, **fixed)))


async def test_attachments_have_the_best_name_there_is(estate: Estate) -> None:
    """The file name, else the display name, else the attribute's key; sidecar and sums alike."""
    attributes = {
        "one": declared(estate.blob(b"1"), arc_file_name="a.jpg", arc_display_name="A photo"),
        "two": declared(estate.blob(b"2"), arc_display_name="Invoice 3/4"),
        "doors/images/front_jpg": declared(estate.blob(b"3")),
        "four": declared(estate.blob(b"4"), arc_file_name="", arc_display_name=""),
    }
    asset = uuid_in(estate.demo.create_asset({"attributes": attributes}))
    files = {"a.jpg": b"1", "Invoice 3_4": b"2", "front_jpg": b"3", "four": b"4"}
    async with estate.mounted() as mounted:
        path = f"by-name/{directory_name('', asset)}"
        sidecars = {f"{name}.info.json" for name in files}
        names = {"asset.json", "events", "SHA256SUMS", *files, *sidecars}
        assert set(await ls(mounted.fs, path)) == names
        for name, content in files.items():
            assert await read(mounted.fs, f"{path}/{name}") == content
            info = json.loads(await read(mounted.fs, f"{path}/{name}.info.json"))
            assert info["hash"]["value"] == sha256(content)
        lines = (await read(mounted.fs, f"{path}/SHA256SUMS")).decode().splitlines()
        assert sorted(lines) == sorted(f"{sha256(data)}  {name}" for name, data in files.items())


async def test_files_of_one_name_all_carry_their_ids(estate: Estate) -> None:
    """None of them is the one that has the name."""
    blobs = [estate.blob(bytes([n])) for n in range(3)]
    attributes = {f"{n}": declared(blob, arc_file_name="a.pdf") for n, blob in enumerate(blobs)}
    asset = uuid_in(estate.demo.create_asset({"attributes": attributes}))
    async with estate.mounted() as mounted:
        path = f"by-name/{directory_name('', asset)}"
        for number, blob in enumerate(blobs):
            name = f"a~{short_id(uuid_in(blob))}.pdf"
            assert await read(mounted.fs, f"{path}/{name}") == bytes([number])
        with pytest.raises(NotFound):
            await stat(mounted.fs, f"{path}/a.pdf")


async def test_hostile_names_are_names_that_are_found(estate: Estate) -> None:
    """Of assets, events and files: what is listed fits into a directory and can be looked up."""
    for number, name in enumerate(_HOSTILE):
        attachment = declared(estate.blob(bytes([number])), arc_file_name=name)
        asset = uuid_in(
            estate.demo.create_asset(
                {"attributes": {"arc_display_name": name, "proof": attachment}}
            )
        )
        event = {"operation": "Record", "behaviour": "RecordEvidence",
                 "event_attributes": {"arc_display_type": name}}  # fmt: skip
        estate.demo.create_event(asset, event)
    async with estate.mounted() as mounted:
        pending, met = ["by-name"], 0
        while pending:
            path = pending.pop()
            listed = await entries(mounted.fs, path)
            assert len({entry.name for entry in listed}) == len(listed)
            for entry in listed:
                assert 0 < len(entry.name.encode()) <= 255
                assert not {"/", "\0", "\n", "\x1b", "\u202e"} & set(entry.name)
                assert entry.name[0] not in ".- "
                attrs = await stat(mounted.fs, f"{path}/{entry.name}")
                assert attrs.ino == entry.node.ino
                met += 1
                if attrs.is_directory:
                    pending.append(f"{path}/{entry.name}")
        # The asset, five in it, two events: that which created it has the attachment as well.
        assert met == len(_HOSTILE) * (1 + 5 + 2 + 1 + 4)


async def test_assets_that_share_a_short_id_are_told_apart_by_their_names(estate: Estate) -> None:
    """Met first or last in the listing."""
    first, second = (_named(estate, f"asset {uuid[-1]}", uuid=uuid) for uuid in _TWINS)
    for holder, label in ((first, "asset 1"), (second, "asset 2")):
        async with estate.mounted() as mounted:
            name = directory_name(label, holder.asset)
            record = await read(mounted.fs, f"by-name/{name}/asset.json")
            assert json.loads(record)["identity"] == holder.path
            with pytest.raises(NotFound):
                await stat(mounted.fs, f"by-name/{directory_name('asset 3', holder.asset)}")


async def test_an_asset_that_is_not_listed_is_found_once_it_was_met(estate: Estate) -> None:
    """An untracked one hides from the listing alone."""
    holder = _named(estate, "door")
    estate.demo.create_event(holder.asset, {"behaviour": "Builtin", "operation": "StopTracking"})
    name = directory_name("door", holder.asset)
    async with estate.mounted(negative_ttl_s=0) as mounted:
        with pytest.raises(NotFound):
            await stat(mounted.fs, f"by-name/{name}")
        await stat(mounted.fs, holder.path)
        assert (await stat(mounted.fs, f"by-name/{name}")).is_directory


async def test_a_token_that_may_not_list_is_denied_and_told_nothing_wrong(estate: Estate) -> None:
    """Whether there is an asset of that name cannot be known."""
    holder = _named(estate, "door")
    estate.demo.set_switches(deny_listing=True)
    async with estate.mounted() as mounted:
        with pytest.raises(Denied):
            await stat(mounted.fs, f"by-name/{directory_name('door', holder.asset)}")
        with pytest.raises(Denied):
            await ls(mounted.fs, "by-name")


async def test_listing_and_lookup_agree_after_a_name_has_changed(estate: Estate) -> None:
    """The new name is listed and found, the old one neither; the directory stays the same."""
    holder = _named(estate, "old")
    old, new = (directory_name(label, holder.asset) for label in ("old", "new"))
    async with estate.mounted(metadata_ttl_s=0, negative_ttl_s=0) as mounted:
        ((name, attrs),) = [(e.name, e.attrs) for e in await readdir(mounted.fs, "by-name")]
        assert name == old
        estate.event(holder, on_asset={"arc_display_name": "new"})
        assert await ls(mounted.fs, "by-name") == [new]
        assert (await stat(mounted.fs, f"by-name/{new}")).ino == attrs.ino
        with pytest.raises(NotFound):
            await stat(mounted.fs, f"by-name/{old}")


async def test_events_of_one_time_and_type_are_told_apart(estate: Estate) -> None:
    """Each is found by its name, and its attachments are under theirs."""
    holder = _named(estate, "door")
    made = [estate.event(holder, bytes([n]))[0] for n in range(3)]
    async with estate.mounted() as mounted:
        path = f"by-name/{directory_name('door', holder.asset)}/events"
        names = [name for name in await ls(mounted.fs, path) if name.startswith("2024-06-01T12:00")]
        assert len(set(names)) == 3
        for name in names:
            number = [short_id(event.event or "") for event in made].index(name[-12:])
            assert await read(mounted.fs, f"{path}/{name}/attachment 0") == bytes([number])
        await estate.reset()
        for impossible in ("event", ".git", made[0].event or "", f"{names[0]}0"):
            with pytest.raises(NotFound):
                await stat(mounted.fs, f"{path}/{impossible}")
        assert await estate.count() == 0
