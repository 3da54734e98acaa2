"""The views beside assets/: by name, in public, and as it was."""

import hashlib
from datetime import UTC, datetime

import pytest

from attachfs.archive.identities import Holder
from attachfs.errors import NotFound
from attachfs.tree.naming import directory_name, short_id
from tests.support.archives import declared, sha256, uuid_in
from tests.support.estates import INFO_PATHS, Estate
from tests.support.trees import ls, read, stat

_LATER = "2041-01-01T00:00:00Z"


def _named(estate: Estate, name: str, *contents: bytes, **attributes: object) -> Holder:
    holder, _ = estate.asset(*contents, arc_display_name=name, **attributes)
    return holder


def _old(estate: Estate) -> Holder:
    created = datetime(2023, 1, 1, tzinfo=UTC)
    return Holder(uuid_in(estate.demo.create_asset({"attributes": {}}, at=created)))


async def test_assets_stand_under_their_display_names(estate: Estate) -> None:
    """With attachments under their file names, sidecars and sums of the same names."""
    holder = _named(estate, "Front door", b"one", b"two")
    async with estate.mounted() as mounted:
        name = directory_name("Front door", holder.asset)
        assert await ls(mounted.fs, "by-name") == [name]
        names = set(await ls(mounted.fs, f"by-name/{name}"))
        files = {"0.bin", "1.bin"}
        sidecars = {f"{file}.info.json" for file in files}
        assert names == {"asset.json", "events", "SHA256SUMS", *files, *sidecars}
        assert await read(mounted.fs, f"by-name/{name}/1.bin") == b"two"
        sums = await read(mounted.fs, f"by-name/{name}/SHA256SUMS")
        expected = f"{sha256(b'one')}  0.bin\n{sha256(b'two')}  1.bin\n"
        assert sums.decode() == expected


async def test_files_have_one_inode_and_directories_one_a_view(estate: Estate) -> None:
    """Bytes are shared; a directory in two places would move under its readers."""
    holder, (first,) = estate.asset(b"one", arc_display_name="door")
    async with estate.mounted() as mounted:
        here, there = holder.path, f"by-name/{directory_name('door', holder.asset)}"
        for a, b in ((first, "0.bin"), (f"{first}.info.json", "0.bin.info.json")):
            own = (await stat(mounted.fs, f"{here}/{a}")).ino
            assert (await stat(mounted.fs, f"{there}/{b}")).ino == own
        for name in ("", "/events", "/SHA256SUMS"):
            own = (await stat(mounted.fs, here + name)).ino
            assert (await stat(mounted.fs, there + name)).ino != own


async def test_events_stand_under_their_time_and_type(estate: Estate) -> None:
    """And are found by that name alone."""
    holder = _named(estate, "door")
    body = {
        "operation": "Record",
        "behaviour": "RecordEvidence",
        "event_attributes": {"arc_display_type": "Inspection"},
    }
    event = uuid_in(estate.demo.create_event(holder.asset, body))
    async with estate.mounted() as mounted:
        events = f"by-name/{directory_name('door', holder.asset)}/events"
        found = [name for name in await ls(mounted.fs, events) if "Inspection" in name]
        assert [name.partition(" ")[2] for name in found] == [f"Inspection~{short_id(event)}"]
    async with estate.mounted() as fresh:
        assert b"Inspection" in await read(fresh.fs, f"{events}/{found[0]}/event.json")
        with pytest.raises(NotFound):
            await stat(fresh.fs, f"{events}/{found[0].replace('Inspection', 'Burglary')}")


async def test_two_assets_of_one_name_are_told_apart(estate: Estate) -> None:
    """Each keeps its name whatever comes later."""
    holders = [_named(estate, "twin", bytes([n])) for n in range(3)]
    async with estate.mounted() as mounted:
        names = await ls(mounted.fs, "by-name")
        assert len(set(names)) == 3
        for number, holder in enumerate(holders):
            path = f"by-name/{directory_name('twin', holder.asset)}/0.bin"
            assert await read(mounted.fs, path) == bytes([number])


async def test_a_name_is_found_before_anything_was_listed(estate: Estate) -> None:
    """The listing is read until it is met, and no further; then it is known."""
    estate.demo.set_switches(max_page_limit=2)
    holders = [_named(estate, f"asset {n}") for n in range(20)]
    async with estate.mounted() as mounted:
        path = f"by-name/{directory_name('asset 17', holders[17].asset)}"
        assert (await stat(mounted.fs, path)).is_directory
        assert 2 <= await estate.count() <= 4  # newest first: it is on the second page
        await estate.reset()
        await stat(mounted.fs, path)
        assert await estate.count() == 0


@pytest.mark.parametrize("name", ["door", ".git", "autorun.inf", "x~0123", "x~0123456789AB", "~"])
async def test_a_name_without_a_short_id_costs_no_request(estate: Estate, name: str) -> None:
    """Desktops look for such names all day."""
    _named(estate, "door")
    async with estate.mounted() as mounted:
        with pytest.raises(NotFound):
            await stat(mounted.fs, f"by-name/{name}")
        assert await estate.count() == 0


async def test_an_asset_that_is_renamed_is_found_by_its_new_name(estate: Estate) -> None:
    """And no longer by the old one."""
    holder = _named(estate, "old")
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        await ls(mounted.fs, "by-name")
        estate.demo.edit_asset(holder.asset, attributes={"arc_display_name": "new"})
        assert (await stat(mounted.fs, f"by-name/{directory_name('new', holder.asset)}")).ino
        with pytest.raises(NotFound):
            await stat(mounted.fs, f"by-name/{directory_name('old', holder.asset)}")


async def test_public_assets_are_asked_for_without_a_token(estate: Estate) -> None:
    """Record, events, sidecars and bytes; listed once they were named or met."""
    blob = estate.blob(b"open to all")
    body = {"public": True, "attributes": {"proof": declared(blob)}}
    asset = uuid_in(estate.demo.create_asset(body))
    private, _ = estate.asset(b"secret")
    attachment = uuid_in(blob)
    async with estate.mounted(public_assets=[asset], public_only=True) as mounted:
        assert await ls(mounted.fs, "") == ["publicassets"]
        assert await ls(mounted.fs, "publicassets") == [asset]
        path = f"publicassets/{asset}"
        assert attachment in await ls(mounted.fs, path)
        assert await read(mounted.fs, f"{path}/{attachment}") == b"open to all"
        (event,) = await ls(mounted.fs, f"{path}/events")
        assert attachment in await ls(mounted.fs, f"{path}/events/{event}")
        assert b"NewAsset" in await read(mounted.fs, f"{path}/events/{event}/event.json")
        with pytest.raises(NotFound):
            await stat(mounted.fs, f"publicassets/{private.asset}")
        requests = await estate.requests()
        assert len(requests) > 4
        assert not any(request.has_authorization for request in requests)
    async with estate.mounted() as other:
        assert await ls(other.fs, "publicassets") == []
        await stat(other.fs, f"publicassets/{asset}")
        assert await ls(other.fs, "publicassets") == [asset]


async def test_the_past_shows_what_there_was(estate: Estate) -> None:
    """Attachments of then, events until then; an asset created later is not there."""
    estate.demo.set_switches(asset_url_serves_superseded=True)
    holder, (first,) = estate.asset(b"first")
    new = estate.blob(b"second")
    event, _ = estate.event(holder, at=_LATER, on_asset={"attachment 0": declared(new)})
    async with estate.mounted() as mounted:
        then, later = "as-of/2040-12-31/assets", "as-of/2041-01-01T01:00:00+01:00/assets"
        assert await ls(mounted.fs, "as-of") == []
        assert await ls(mounted.fs, "as-of/2040-12-31") == ["assets"]
        assert first in await ls(mounted.fs, f"{then}/{holder.asset}")
        assert await read(mounted.fs, f"{then}/{holder.asset}/{first}") == b"first"
        assert uuid_in(new) in await ls(mounted.fs, f"{later}/{holder.asset}")
        assert event.event not in await ls(mounted.fs, f"{then}/{holder.asset}/events")
        assert event.event in await ls(mounted.fs, f"{later}/{holder.asset}/events")
        with pytest.raises(NotFound):
            await stat(mounted.fs, f"{then}/{holder.asset}/events/{event.event}")
        before = "as-of/2001-01-01/assets"
        assert await ls(mounted.fs, before) == []
        with pytest.raises(NotFound):
            await stat(mounted.fs, f"{before}/{holder.asset}")


async def test_what_is_past_is_asked_for_once(estate: Estate) -> None:
    """Whatever the lifetimes are: it cannot change any more."""
    holder = _old(estate)
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        path = f"as-of/2024-06-02/assets/{holder.asset}"
        for _ in range(3):
            await stat(mounted.fs, path)
        assert len([r for r in await estate.requests() if "at_time" in r.query]) == 1
        with pytest.raises(NotFound):
            await stat(mounted.fs, "as-of/yesterday")
        await estate.reset()
        with pytest.raises(NotFound):
            await stat(mounted.fs, "as-of/2024-13-01/assets")
        assert await estate.count() == 0


@pytest.mark.parametrize("event_serves", [True, False])
@pytest.mark.parametrize("asset_serves", [True, False])
async def test_what_an_event_set_on_its_asset_is_read_wherever_it_is(
    estate: Estate, *, event_serves: bool, asset_serves: bool
) -> None:
    """By the event's URL, the asset's or the blob's: also once a later event has replaced it."""
    estate.demo.set_switches(
        event_url_serves_asset_attributes=event_serves, asset_url_serves_superseded=asset_serves
    )
    holder = _old(estate)
    contents = [b"edition 1", b"edition 2"]
    blobs = [estate.blob(content) for content in contents]
    events = [
        estate.event(holder, at=f"2024-0{n + 1}-01T00:00:00Z", on_asset={"doc": declared(blob)})[0]
        for n, blob in enumerate(blobs)
    ]
    async with estate.mounted() as mounted:
        for event, blob, content in zip(events, blobs, contents, strict=True):
            assert await read(mounted.fs, f"{event.path}/{uuid_in(blob)}") == content
        old = f"as-of/2024-01-15/assets/{holder.asset}/{uuid_in(blobs[0])}"
        assert await read(mounted.fs, old) == contents[0]
        assert hashlib.sha256(contents[0]).hexdigest().encode() in await read(
            mounted.fs, f"{old}.info.json"
        )


async def test_a_listing_costs_no_info_in_any_view(estate: Estate) -> None:
    """Sizes are asked for by who looks at a file."""
    holder = _named(estate, "door", b"one", b"two")
    async with estate.mounted() as mounted:
        await ls(mounted.fs, f"by-name/{directory_name('door', holder.asset)}")
        await ls(mounted.fs, f"as-of/2040-01-01/assets/{holder.asset}")
        assert await estate.count(INFO_PATHS) == 0
