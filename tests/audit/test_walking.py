"""Finding every attachment below paths."""

from datetime import UTC, datetime
from functools import partial

import pytest
import trio

from attachfs.archive.identities import Holder
from attachfs.audit.walking import walk
from attachfs.errors import AttachfsError, Denied, NotFound, UsageError
from attachfs.tree.filesystem import FileSystem
from attachfs.tree.naming import directory_name
from attachfs.tree.nodes import Node
from attachfs.tree.places import Kind
from tests.support.archives import uuid_in
from tests.support.estates import Estate
from tests.support.jobs import paths_of
from tests.support.trees import entries


async def _found(
    fs: FileSystem, *paths: str, troubles: dict[str, AttachfsError] | None = None
) -> list[str]:
    async def on_trouble(path: str, _: Node | None, error: AttachfsError) -> None:
        assert troubles is not None, error
        troubles[path] = error

    async with trio.open_nursery() as nursery:
        receive = await nursery.start(partial(walk, fs, paths, on_trouble=on_trouble))
        return sorted([found.path async for found in receive])


async def _listed(fs: FileSystem, path: str) -> list[str]:
    """Return the paths of attachments below a path, as a kernel would find them."""
    found = []
    for entry in await entries(fs, path):
        below = f"{path}/{entry.name}"
        if entry.node.is_directory:
            found += await _listed(fs, below)
        elif entry.node.kind is Kind.ATTACHMENT:
            found.append(below)
    return found


async def test_every_attachment_is_found_once(estate: Estate) -> None:
    """Of assets and events, many or none; sidecars, records and sums are none."""
    made = set()
    for number in range(40):
        holder, uuids = estate.asset(*(b"%d %d" % (number, n) for n in range(number % 3)))
        event, more = estate.event(holder, b"proof %d" % number)
        made |= {*paths_of(holder, uuids), *paths_of(event, more)}
    async with estate.mounted() as mounted:
        expected = await _listed(mounted.fs, "assets")
        assert made < set(expected)  # each asset began with an event
        for paths in (
            ("",),
            ("assets",),
            (".", "assets/"),
            ("/assets//", ""),
            ("assets", "assets"),
        ):
            assert await _found(mounted.fs, *paths) == sorted(expected)


async def test_other_views_are_looked_into_where_they_are_asked_for(estate: Estate) -> None:
    """Under their names there."""
    holder, _ = estate.asset(b"one", arc_display_name="door")
    async with estate.mounted() as mounted:
        path = f"by-name/{directory_name('door', holder.asset)}/0.bin"
        assert path in await _found(mounted.fs, "by-name")
        assert await _found(mounted.fs, path) == [path]


async def test_paths_may_name_files_and_what_is_in_one_another(estate: Estate) -> None:
    """A sidecar stands for its attachment."""
    holder, (one, two) = estate.asset(b"one", b"two")
    other, (three,) = estate.asset(b"three")
    third = f"{other.path}/{three}"
    async with estate.mounted() as mounted:
        first, second = f"{holder.path}/{one}", f"{holder.path}/{two}"
        assert await _found(mounted.fs, first) == [first]
        sidecar = f"{second}.info.json"
        assert await _found(mounted.fs, sidecar, first, second) == sorted([first, second])
        below = await _listed(mounted.fs, holder.path)
        assert await _found(mounted.fs, first, holder.path) == sorted(below)
        assert await _found(mounted.fs, third, holder.path) == sorted([*below, third])
        everything = await _listed(mounted.fs, "assets")
        assert await _found(mounted.fs, third, "assets", holder.path) == sorted(everything)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("nothing", NotFound),
        ("assets/nothing", NotFound),
        ("assets/00000000-0000-0000-0000-000000000001", NotFound),
        ("{asset}/asset.json", UsageError),
        ("{asset}/asset.json/more", NotFound),
        ("{asset}/SHA256SUMS", UsageError),
        ("..", NotFound),
        ("assets/\0", NotFound),
    ],
)
async def test_what_names_no_attachments_is_an_error(
    estate: Estate, path: str, error: type[AttachfsError]
) -> None:
    """Before anything is found."""
    holder, _ = estate.asset(b"one")
    async with estate.mounted() as mounted:
        with pytest.RaisesGroup(error):
            await _found(mounted.fs, path.format(asset=holder.path), "assets")


async def test_a_directory_that_is_denied_does_not_hide_the_others(estate: Estate) -> None:
    """It is told of."""
    good, (one,) = estate.asset(b"one")
    bad, _ = estate.asset(b"two")
    estate.event(bad, b"three")
    estate.demo.edit_asset(bad.asset, deny="record")
    troubles: dict[str, AttachfsError] = {}
    async with estate.mounted() as mounted:
        found = await _found(mounted.fs, "assets", troubles=troubles)
    assert f"{good.path}/{one}" in found
    assert all(path.startswith(bad.path) for path in troubles)


async def test_what_may_not_be_seen_of_the_past_is_told(estate: Estate) -> None:
    """Nobody can say then whether it had been recorded; the others are found."""
    asset = Holder(uuid_in(estate.demo.create_asset({}, at=datetime(2020, 1, 1, tzinfo=UTC))))
    estate.asset(b"later")
    event, attached = estate.event(asset, b"one", at="2021-01-01T00:00:00Z")
    withheld, _ = estate.event(asset, b"two", at="2021-02-01T00:00:00Z")
    async with estate.mounted() as mounted:
        await (await mounted.catalog.events(asset)).whole()
        estate.demo.edit_event(str(withheld.event), deny=True)
        mounted.catalog._records.forget(withheld)
        troubles: dict[str, AttachfsError] = {}
        past = "as-of/2021-12-31/assets"
        found = await _found(mounted.fs, past, troubles=troubles)
    assert found == [f"{past}/{asset.asset}/events/{event.event}/{uuid}" for uuid in attached]
    assert {path: type(error) for path, error in troubles.items()} == {
        f"{past}/{asset.asset}/events": Denied
    }
