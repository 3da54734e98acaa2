"""What is new appears, what has gone goes, and half a listing is none."""

import pytest

from attachfs.errors import Denied, NotFound, ServerFault
from attachfs.tree.naming import directory_name
from tests.support.archives import declared, uuid_in
from tests.support.estates import Estate
from tests.support.trees import ls, read, stat

_ASSETS = "/v2/assets$"
_EVENTS = "/events$"


async def test_what_is_new_is_looked_up_at_once(estate: Estate) -> None:
    """A lifetime holds back names that were listed, not those that nobody has looked for."""
    holder, _ = estate.asset()
    async with estate.mounted(metadata_ttl_s=3600) as mounted:
        assert await ls(mounted.fs, "assets") == [holder.asset]
        await ls(mounted.fs, f"{holder.path}/events")
        other, (first,) = estate.asset(b"one", arc_display_name="new")
        event, (second,) = estate.event(holder, b"two")
        assert await ls(mounted.fs, "assets") == [holder.asset]
        assert await read(mounted.fs, f"{other.path}/{first}") == b"one"
        assert await read(mounted.fs, f"{event.path}/{second}") == b"two"
        named = f"by-name/{directory_name('new', other.asset)}/0.bin"
        assert await read(mounted.fs, named) == b"one"


async def test_what_is_new_is_listed_in_every_view(estate: Estate) -> None:
    """Once names may not be believed any longer."""
    holder, _ = estate.asset(b"one", arc_display_name="door")
    name = directory_name("door", holder.asset)
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        paths = (holder.path, f"by-name/{name}")
        for path in paths:
            assert len(await ls(mounted.fs, path)) == 5
            assert len(await ls(mounted.fs, f"{path}/events")) == 1
        new = estate.blob(b"two")
        attribute = declared(new, arc_file_name="two.bin")
        event, _ = estate.event(holder, at="2024-06-01T12:00:00Z", on_asset={"new": attribute})
        other, _ = estate.asset(arc_display_name="gate")
        for path, file in zip(paths, (uuid_in(new), "two.bin"), strict=True):
            assert file in await ls(mounted.fs, path)
            assert len(await ls(mounted.fs, f"{path}/events")) == 2
        assert await read(mounted.fs, f"by-name/{name}/two.bin") == b"two"
        assert event.event in await ls(mounted.fs, f"{holder.path}/events")
        assert other.asset in await ls(mounted.fs, "assets")
        assert directory_name("gate", other.asset) in await ls(mounted.fs, "by-name")


async def test_a_right_that_was_taken_away_is_gone(estate: Estate) -> None:
    """Bytes that are still here are not read either, in any view."""
    path = estate.one(b"evidence")
    asset = path.holder.asset
    named = f"by-name/{directory_name('', asset)}"
    async with estate.mounted(metadata_ttl_s=0, negative_ttl_s=0) as mounted:
        (file,) = [name for name in await ls(mounted.fs, named) if name.startswith("proof")
                   and not name.endswith(".json")]  # fmt: skip
        assert await read(mounted.fs, path.path) == b"evidence"
        assert await read(mounted.fs, f"{named}/{file}") == b"evidence"
        estate.demo.edit_asset(asset, deny=True)
        for denied in (path.path, f"{path.path}.info.json", f"{path.holder.path}/asset.json"):
            with pytest.raises(Denied):
                await read(mounted.fs, denied)
        with pytest.raises((Denied, NotFound)):
            await read(mounted.fs, f"{named}/{file}")
        assert asset not in await ls(mounted.fs, "assets")
        estate.demo.edit_asset(asset, deny=False)
        assert await read(mounted.fs, path.path) == b"evidence"
        assert await ls(mounted.fs, "assets") == [asset]


async def test_an_attachment_that_was_removed_is_gone(estate: Estate) -> None:
    """From the listing and from under its name, though its bytes were read."""
    path = estate.one(b"evidence")
    async with estate.mounted(metadata_ttl_s=0, negative_ttl_s=0) as mounted:
        assert await read(mounted.fs, path.path) == b"evidence"
        estate.demo.edit_asset(path.holder.asset, attributes={"proof": None})
        assert set(await ls(mounted.fs, path.holder.path)) == {"asset.json", "events"}
        for name in (path.path, f"{path.path}.info.json"):
            with pytest.raises(NotFound):
                await read(mounted.fs, name)


async def test_an_event_that_was_removed_is_gone(estate: Estate) -> None:
    """An event is believed for good only while it is listed."""
    holder, _ = estate.asset()
    event, _ = estate.event(holder, b"two")
    async with estate.mounted(metadata_ttl_s=0, negative_ttl_s=0) as mounted:
        assert event.event in await ls(mounted.fs, f"{holder.path}/events")
        assert event.event is not None
        estate.demo.edit_event(event.event, delete=True)
        await mounted.fs.refresh("")
        assert event.event not in await ls(mounted.fs, f"{holder.path}/events")
        with pytest.raises(NotFound):
            await stat(mounted.fs, event.path)


@pytest.mark.parametrize("view", ["assets", "by-name", "as-of/2040-01-01/assets"])
@pytest.mark.parametrize("pages", [0, 1, 2])
async def test_half_a_listing_of_assets_is_an_error(estate: Estate, view: str, pages: int) -> None:
    """Whoever counts or copies must not take it for all; the next one is whole."""
    estate.demo.set_switches(max_page_limit=2)
    for _ in range(6):
        estate.asset()
    async with estate.mounted(metadata_ttl_s=0, negative_ttl_s=0) as mounted:
        estate.demo.fail_next(path_regex=_ASSETS, status=403, skip=pages, times=100)
        with pytest.raises(Denied):
            await ls(mounted.fs, view)
        await estate.reset()
        assert len(await ls(mounted.fs, view)) == 6


@pytest.mark.usefixtures("quick_retries")
async def test_a_server_that_fails_half_way_is_an_error(estate: Estate) -> None:
    """Not the end: neither of assets nor of events."""
    estate.demo.set_switches(max_page_limit=2)
    holder, _ = estate.asset()
    for minute in range(5):
        estate.event(holder, at=f"2024-06-01T12:0{minute}:00Z")
        estate.asset()
    async with estate.mounted(metadata_ttl_s=0, negative_ttl_s=0) as mounted:
        for directory, listing in (("assets", _ASSETS), (f"{holder.path}/events", _EVENTS)):
            await stat(mounted.fs, directory)
            estate.demo.fail_next(path_regex=listing, status=500, skip=1, times=100)
            with pytest.raises(ServerFault):
                await ls(mounted.fs, directory)
            await estate.reset()
            assert len(await ls(mounted.fs, directory)) == 6


async def test_a_name_beyond_a_page_that_fails_is_not_said_to_be_missing(estate: Estate) -> None:
    """Not found is remembered by programs; that somebody could not look is not the same."""
    estate.demo.set_switches(max_page_limit=2)
    holders = [estate.asset(arc_display_name=f"asset {n}")[0] for n in range(6)]
    async with estate.mounted(negative_ttl_s=0) as mounted:
        estate.demo.fail_next(path_regex=_ASSETS, status=403, skip=1, times=100)
        path = f"by-name/{directory_name('asset 0', holders[0].asset)}"
        with pytest.raises(Denied):
            await stat(mounted.fs, path)
        await estate.reset()
        assert (await stat(mounted.fs, path)).is_directory


@pytest.mark.parametrize("metadata_ttl_s", [86_400, 86_401, 10_000_000])
async def test_what_can_change_is_never_taken_for_what_cannot(
    estate: Estate, metadata_ttl_s: float
) -> None:
    """However long it is believed."""
    holder, _ = estate.asset()
    path = f"{holder.path}/asset.json"
    async with estate.mounted(metadata_ttl_s=metadata_ttl_s) as mounted:
        before = await stat(mounted.fs, path)
        estate.demo.edit_asset(holder.asset, attributes={"more": "of it"})
        mounted.catalog.expire(holder)
        assert (await mounted.fs.getattr(before.ino)).size_bytes != before.size_bytes
