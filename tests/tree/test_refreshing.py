"""What is asked for again after a refresh, at every kind of path."""

from collections.abc import Callable

import pytest

from attachfs.archive.identities import Holder
from attachfs.errors import Denied, NotFound
from attachfs.tree.naming import directory_name, short_id
from tests.support.archives import ASSET, EVENT, OTHER, Mounted, declared, uuid_in
from tests.support.estates import Estate
from tests.support.trees import read, stat

_DOOR = "door"
# Paths of an asset, its event and their files; `asset`, `event`, `named`, `proof` are filled in.
_OF_ASSET = [
    "assets/{asset}", "assets/{asset}/asset.json", "assets/{asset}/SHA256SUMS",
    "assets/{asset}/events", "assets/{asset}/{proof}", "assets/{asset}/{proof}.info.json",
    "assets/{asset}/" + OTHER, "by-name/{named}", "by-name/{named}/asset.json",
    "by-name/{named}/events", "by-name/{named}/proof.pdf", "by-name/{named}/SHA256SUMS",
    "as-of/2100-01-01/assets/{asset}/events",
]  # fmt: skip
_OF_EVENT = [
    "assets/{asset}/events/{event}", "assets/{asset}/events/{event}/event.json",
    "assets/{asset}/events/{event}/SHA256SUMS",
    "by-name/{named}/events/2024-06-01T12:00:00Z Record~{short}",
    "as-of/2100-01-01/assets/{asset}/events/{event}",
]  # fmt: skip
_OF_ALL = ["", "assets", "by-name", "publicassets", "as-of", "as-of/2024-06-01",
           "as-of/2024-06-01/assets"]  # fmt: skip
_NOTHING = [
    "nothing", ".git", "assets/nothing", "by-name/door", "as-of/today", "as-of/2024-06-01/events",
    "assets/{asset}/nothing", "assets/{asset}/event.json", "assets/{asset}/asset.json/x",
    "assets/{asset}/{proof}/x", "by-name/{named}/nothing.pdf", "publicassets/nothing",
    "assets/{asset}/events/x", "by-name/{named}/events/x", "by-name/other~000000000000",
]  # fmt: skip
Fill = Callable[[str], str]


class _Kernel:
    """Remember which names are to be forgotten."""

    def __init__(self) -> None:
        self.names: set[tuple[int, str]] = set()

    def forget_name(self, parent: int, name: str) -> None:
        self.names.add((parent, name))

    def forget_inode(self, ino: int) -> None:
        """Do nothing."""


def _door(estate: Estate) -> tuple[Holder, Holder, Fill]:
    """Create an asset with an event, both with evidence; return them, and what fills paths in."""
    proof = estate.blob(b"proof")
    attributes = {"arc_display_name": _DOOR, "proof": declared(proof, arc_file_name="proof.pdf")}
    asset = Holder(uuid_in(estate.demo.create_asset({"attributes": attributes})))
    event, _ = estate.event(asset, b"own")

    def fill(path: str) -> str:
        return path.format(
            asset=asset.asset,
            event=event.event,
            proof=uuid_in(proof),
            named=directory_name(_DOOR, asset.asset),
            short=short_id(str(event.event)),
        )

    return asset, event, fill


async def _asked_for(estate: Estate, mounted: Mounted, *holders: Holder) -> list[Holder]:
    """Return whose records are asked for when all are wanted."""
    await estate.reset()
    for holder in holders:
        await mounted.catalog.confirmed_record(holder)
    asked = {request.path for request in await estate.requests()}
    return [holder for holder in holders if f"/archivist/v2/{holder.path}" in asked]


@pytest.mark.parametrize("path", [*_OF_ASSET, *_OF_EVENT, *_OF_ALL])
async def test_what_a_path_is_of_is_asked_for_again(estate: Estate, path: str) -> None:
    """The asset or the event alone, or everything; the kernel forgets that name, or all views."""
    asset, event, fill = _door(estate)
    beside, _ = estate.asset()
    kernel = _Kernel()
    async with estate.mounted(metadata_ttl_s=3600, kernel=kernel) as mounted:
        await stat(mounted.fs, fill(path) if OTHER not in path and "SUMS" not in path else "")
        await mounted.catalog.events(asset)
        for holder in (asset, event, beside):
            await mounted.catalog.record(holder)
        assert await _asked_for(estate, mounted, asset, event, beside) == []
        await estate.reset()
        await mounted.fs.refresh(fill(path))
        assert await estate.count() == 0
        expected = {asset, event, beside} if path in _OF_ALL else {asset}
        expected = {event} if path in _OF_EVENT else expected
        found = await _asked_for(estate, mounted, asset, event, beside)
        assert expected - {event} <= set(found) <= expected | {event}
        assert event in found or path in _OF_ASSET
        if path in _OF_ALL:
            assert kernel.names == {
                (1, view) for view in ("assets", "by-name", "publicassets", "as-of")
            }
        else:
            parent, _, name = fill(path).rpartition("/")
            assert kernel.names == {((await stat(mounted.fs, parent)).ino, name)}


@pytest.mark.parametrize("path", _NOTHING)
async def test_what_nothing_can_be_called_is_refused(estate: Estate, path: str) -> None:
    """And nothing is forgotten for it."""
    asset, event, fill = _door(estate)
    kernel = _Kernel()
    async with estate.mounted(metadata_ttl_s=3600, kernel=kernel) as mounted:
        await mounted.catalog.events(asset)
        for holder in (asset, event):
            await mounted.catalog.record(holder)
        with pytest.raises(NotFound):
            await mounted.fs.refresh(fill(path))
        assert kernel.names == set()
        assert await _asked_for(estate, mounted, asset, event) == []


@pytest.mark.parametrize(
    "path", [f"assets/{ASSET}", "assets/{asset}/events/" + EVENT, f"publicassets/{ASSET}/{OTHER}"]
)
async def test_what_nobody_has_looked_at_yet_may_be_refreshed(estate: Estate, path: str) -> None:
    """It may have been refused, or found missing, a moment ago."""
    asset, _ = estate.asset()
    path = path.format(asset=asset.asset)
    async with estate.mounted(negative_ttl_s=3600) as mounted:
        for _ in range(2):
            await estate.reset()
            with pytest.raises(NotFound):
                await stat(mounted.fs, path)
            assert await estate.count() > 0
            await mounted.fs.refresh(path)


@pytest.mark.parametrize("scanned", [True, False])
async def test_an_asset_is_refreshed_with_all_below_it(estate: Estate, *, scanned: bool) -> None:
    """The rights to its events, and the scans of what hangs on them."""
    asset, _ = estate.asset()
    event, (own,) = estate.event(asset, b"own")
    async with estate.mounted(metadata_ttl_s=3600) as mounted:
        await mounted.catalog.events(asset)
        assert await read(mounted.fs, f"{event.path}/{own}") == b"own"
        if scanned:
            estate.demo.edit_blob(own, scanned_status="SCANNED_BAD")
        else:
            estate.demo.edit_event(str(event.event), deny=True)
        await mounted.fs.refresh(asset.path)
        with pytest.raises(Denied):
            await read(mounted.fs, f"{event.path}/{own}")


async def test_a_time_that_has_not_passed_is_refreshed(estate: Estate) -> None:
    """Today, and whatever lies ahead, may still change."""
    asset, _ = estate.asset(colour="blue")
    async with estate.mounted(metadata_ttl_s=3600) as mounted:
        path = f"as-of/2100-01-01/assets/{asset.asset}"
        assert b"blue" in await read(mounted.fs, f"{path}/asset.json")
        estate.demo.create_event(
            asset.asset,
            {
                "operation": "Record",
                "behaviour": "RecordEvidence",
                "asset_attributes": {"colour": "red"},
            },
        )
        await mounted.fs.refresh(path)
        assert b"red" in await read(mounted.fs, f"{path}/asset.json")
