"""The tree: what stands where, what is listed, what exists without being listed."""

import json
import uuid
from pathlib import Path

import pytest
import trio

from attachfs.archive.identities import Holder
from attachfs.errors import Denied, IsADirectory, NotADirectory, NotFound, Unauthenticated
from attachfs.tree.attrs import FOREVER_S
from attachfs.tree.inodes import ROOT_INO
from tests.support.archives import (
    ASSET,
    ATTACHMENT,
    EVENT,
    OTHER,
    build,
    client,
    declared,
    uuid_in,
)
from tests.support.canned import reply, start_canned
from tests.support.estates import INFO_PATHS, Estate
from tests.support.trees import entries, ls, read, readdir, stat


async def test_the_root_holds_the_views(estate: Estate) -> None:
    """And costs no request."""
    async with estate.mounted() as mounted:
        assert await ls(mounted.fs, "/") == ["assets", "by-name", "publicassets", "as-of"]
        root = await mounted.fs.getattr(ROOT_INO)
        assert (root.ino, root.is_directory) == (ROOT_INO, True)
        assert (await stat(mounted.fs, "assets")).is_directory
        assert await estate.count() == 0


async def test_assets_are_listed_in_the_servers_order(estate: Estate) -> None:
    """Page by page, each a directory under its UUID."""
    estate.demo.set_switches(max_page_limit=2)
    made = [estate.asset()[0].asset for _ in range(5)]
    async with estate.mounted() as mounted:
        assert await ls(mounted.fs, "assets") == made[::-1]
        assert await estate.count() == 3
        for entry in await entries(mounted.fs, "assets"):
            assert mounted.fs.listed_attrs(entry).is_directory
        assert await estate.count() == 3


async def test_a_listing_is_read_little_further_than_somebody_looks(estate: Estate) -> None:
    """The first page is there when the directory is open; later ones before they are wanted."""
    estate.demo.set_switches(max_page_limit=2)
    for _ in range(15):
        estate.asset()
    async with estate.mounted() as mounted:
        fh = await mounted.fs.opendir((await stat(mounted.fs, "assets")).ino)
        listed = mounted.fs.entries(fh)
        assert await listed.wait(0) is not None
        assert listed.ready(1) is not None
        assert listed.ready(2) is None
        assert await estate.count() == 1
        assert await listed.wait(2) is not None
        assert await estate.count() == 3
        assert listed.ready(5) is not None
        assert listed.ready(6) is None


async def test_an_asset_has_its_record_attachments_sidecars_sums_and_events(
    estate: Estate,
) -> None:
    """The same kinds of file as an event, and the directory of its events."""
    holder, ids = estate.asset(b"one", b"two")
    event, (own,) = estate.event(holder, b"three")
    async with estate.mounted() as mounted:
        names = {"asset.json", "events", "SHA256SUMS", *ids, *(f"{i}.info.json" for i in ids)}
        assert set(await ls(mounted.fs, holder.path)) == names
        assert set(await ls(mounted.fs, event.path)) == {
            "event.json", "SHA256SUMS", own, f"{own}.info.json",
        }  # fmt: skip
        events = await ls(mounted.fs, f"{holder.path}/events")
        assert len(events) == 2  # its creation is one
        assert events[0] == event.event


async def test_an_events_attachments_are_its_own_and_those_it_set_on_the_asset(
    estate: Estate,
) -> None:
    """Under the event they are read by the event's URL."""
    holder, _ = estate.asset()
    blob = estate.blob(b"latest")
    event, (own,) = estate.event(holder, b"own", on_asset={"latest": declared(blob)})
    async with estate.mounted() as mounted:
        assert {own, uuid_in(blob)} <= set(await ls(mounted.fs, event.path))
        assert await read(mounted.fs, f"{event.path}/{uuid_in(blob)}") == b"latest"
        assert await read(mounted.fs, f"{holder.path}/{uuid_in(blob)}") == b"latest"


async def test_a_holders_directory_is_listed_in_inode_order(estate: Estate) -> None:
    """GNU cp opens files in that order, other programs in the listing's: the two are one."""
    holder, _ = estate.asset(*(bytes([n]) for n in range(20)))
    async with estate.mounted() as mounted:
        inos = [listed.attrs.ino for listed in await readdir(mounted.fs, holder.path)]
        assert inos == sorted(inos)
        assert len(set(inos)) == len(inos) == 43


async def test_plain_listing_asks_for_no_info(estate: Estate) -> None:
    """Sizes that are not known are not asked for: that is stat's business."""
    holder, ids = estate.asset(b"one", b"two")
    async with estate.mounted() as mounted:
        by_name = {listed.name: listed.attrs for listed in await readdir(mounted.fs, holder.path)}
        assert await estate.count(INFO_PATHS) == 0
        for name in (*ids, f"{ids[0]}.info.json", "SHA256SUMS"):
            assert by_name[name].size_bytes is None
        assert by_name["asset.json"].size_bytes is not None
        assert by_name["events"].is_directory


@pytest.mark.parametrize("content", [b"", b"one", b"x" * 5000])
async def test_attributes_are_those_of_info(estate: Estate, content: bytes) -> None:
    """Size and time are the attachment's, and can never change; a sidecar's size is its JSON's."""
    path = estate.one(content)
    async with estate.mounted(metadata_ttl_s=7) as mounted:
        attrs = await stat(mounted.fs, path.path)
        assert (attrs.size_bytes, attrs.is_directory) == (len(content), False)
        assert attrs.mtime_ns == 1_714_953_600 * 10**9
        assert 1 <= attrs.entry_ttl_s <= 7  # as long as the record is believed
        assert attrs.attr_ttl_s == FOREVER_S
        sidecar = await stat(mounted.fs, f"{path.path}.info.json")
        text = await read(mounted.fs, f"{path.path}.info.json")
        assert (sidecar.size_bytes, sidecar.mtime_ns) == (len(text), attrs.mtime_ns)
        assert 1 <= sidecar.entry_ttl_s <= sidecar.attr_ttl_s == 7
        assert json.loads(text)["size"] == len(content)


async def test_times_are_the_records_and_never_now(estate: Estate) -> None:
    """An event's is its own, an asset's that of its newest event known; else a constant."""
    holder, _ = estate.asset()
    event, _ = estate.event(holder, at="2040-01-01T00:00:00Z")
    at_ns = 2_208_988_800 * 10**9
    async with estate.mounted() as mounted:
        assert (await stat(mounted.fs, "assets")).mtime_ns == 0
        assert (await stat(mounted.fs, holder.path)).mtime_ns == 0
        for path in (event.path, f"{event.path}/event.json", holder.path):
            assert (await stat(mounted.fs, path)).mtime_ns == at_ns
        for path in (f"{holder.path}/asset.json", f"{holder.path}/events"):
            assert (await stat(mounted.fs, path)).mtime_ns == at_ns


async def test_records_are_read_as_served(estate: Estate) -> None:
    """asset.json and event.json are the server's own bytes."""
    holder, _ = estate.asset(b"one")
    event, _ = estate.event(holder, b"two")
    async with estate.mounted() as mounted:
        for path, name in ((holder, "asset.json"), (event, "event.json")):
            text = await read(mounted.fs, f"{path.path}/{name}")
            assert text == (await mounted.catalog.record(path)).raw
            assert (await stat(mounted.fs, f"{path.path}/{name}")).size_bytes == len(text)
            assert json.loads(text)["identity"] == path.path


async def test_what_is_not_listed_is_still_readable_by_name(estate: Estate) -> None:
    """An untracked asset hides from the listing alone."""
    path = estate.one(b"evidence")
    body = {"behaviour": "Builtin", "operation": "StopTracking"}
    estate.demo.create_event(path.holder.asset, body)
    async with estate.mounted() as mounted:
        assert await ls(mounted.fs, "assets") == []
        assert await read(mounted.fs, path.path) == b"evidence"


async def test_a_token_that_may_not_see_records_may_read_attachments(estate: Estate) -> None:
    """Directories exist tentatively then, and cannot be listed."""
    holder, (first,) = estate.asset(b"one")
    event, (second,) = estate.event(holder, b"two")
    estate.demo.set_switches(deny_records=True)
    async with estate.mounted() as mounted:
        for path in (holder.path, f"{holder.path}/events", event.path):
            assert (await stat(mounted.fs, path)).is_directory
            with pytest.raises(Denied):
                await ls(mounted.fs, path)
        with pytest.raises(Denied):
            await ls(mounted.fs, "assets")
        with pytest.raises(Denied):
            await stat(mounted.fs, f"{holder.path}/asset.json")
        assert await read(mounted.fs, f"{holder.path}/{first}") == b"one"
        assert await read(mounted.fs, f"{event.path}/{second}") == b"two"
        assert json.loads(await read(mounted.fs, f"{event.path}/{second}.info.json"))["size"] == 3
        with pytest.raises(NotFound):
            await stat(mounted.fs, f"{holder.path}/{second}")


async def test_a_token_that_may_see_nothing_is_denied_everything(estate: Estate) -> None:
    """A directory that may exist is not said to be missing; its attachments are denied."""
    path = estate.one(b"evidence")
    estate.demo.edit_asset(path.holder.asset, deny=True)
    async with estate.mounted() as mounted:
        assert (await stat(mounted.fs, path.holder.path)).is_directory
        with pytest.raises(Denied):
            await stat(mounted.fs, path.path)


async def test_a_refused_token_leaves_directories_tentative(estate: Estate) -> None:
    """A 401 says nothing of what exists (design section 2)."""
    path = estate.one(b"evidence")
    async with estate.mounted() as mounted:
        estate.demo.fail_next(status=401, times=2)
        assert (await stat(mounted.fs, path.holder.path)).is_directory
        with pytest.raises(Unauthenticated):
            await stat(mounted.fs, path.path)


async def test_what_does_not_exist_is_not_found(estate: Estate) -> None:
    """UUIDs that the server does not know, and UUIDs in the wrong place."""
    holder, (first,) = estate.asset(b"one")
    event, _ = estate.event(holder, b"two")
    stranger, _ = estate.asset()
    async with estate.mounted() as mounted:
        for path in (
            f"assets/{ASSET}",
            f"assets/{ASSET}/{ATTACHMENT}",
            f"assets/{event.event}",
            f"{holder.path}/{OTHER}",
            f"{holder.path}/{OTHER}.info.json",
            f"{holder.path}/events/{EVENT}",
            f"{stranger.path}/events/{event.event}",
            f"{stranger.path}/{first}",
            f"{event.path}/{first}",
            f"{event.path}/asset.json",
            f"{event.path}/events",
            f"{holder.path}/event.json",
            first,
        ):
            with pytest.raises(NotFound):
                await stat(mounted.fs, path)


async def test_a_file_is_no_directory_and_a_directory_no_file(estate: Estate) -> None:
    """Each is refused as what it is."""
    path = estate.one(b"evidence")
    async with estate.mounted() as mounted:
        file = await stat(mounted.fs, path.path)
        with pytest.raises(NotADirectory):
            await mounted.fs.lookup(file.ino, b"x")
        with pytest.raises(NotADirectory):
            await mounted.fs.opendir(file.ino)
        for directory in ("", "assets", path.holder.path, f"{path.holder.path}/events"):
            with pytest.raises(IsADirectory):
                await mounted.fs.open((await stat(mounted.fs, directory)).ino)


async def test_every_older_form_is_listed_and_read(estate: Estate) -> None:
    """Records before 2023 have lists; what is no attachment is not listed."""
    first, second, third = (estate.blob(content) for content in (b"one", b"two", b"three"))
    old = {
        "arc_attachment_identity": first["identity"],
        "arc_hash_alg": "sha256",
        "arc_hash_value": first["hash"]["value"],
        "arc_display_name": "x",
    }
    attributes = {
        "arc_attachments": [old],
        "functests/a/b_jpg": declared(second, arc_blob_hash_alg="SHA-256"),
        "sheets": [declared(third, arc_blob_hash_value=None)],
        "plain": first["identity"],
        "arc_blob_hash_value": "0" * 64,
        "arc_file_name": "elsewhere.pdf",
    }
    holder = Holder(uuid_in(estate.demo.create_asset({"attributes": attributes})))
    async with estate.mounted() as mounted:
        ids = [name for name in await ls(mounted.fs, holder.path) if len(name) == 36]
        assert sorted(ids) == sorted(map(uuid_in, (first, second, third)))
        for blob, content in ((first, b"one"), (second, b"two"), (third, b"three")):
            assert await read(mounted.fs, f"{holder.path}/{uuid_in(blob)}") == content


async def test_a_directory_of_very_many_attachments_lets_others_be_served(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Names are made in a thread, entries some at a time: no lookup waits for all of them."""
    attachments = {
        str(number): {
            "arc_attribute_type": "arc_attachment",
            "arc_attachment_identity": f"blobs/{uuid.UUID(int=number)}",
            "arc_file_name": "photo.jpg",
        }
        for number in range(5_000)
    }
    record = {"identity": f"assets/{ASSET}", "attributes": attachments}
    canned = await start_canned(nursery, lambda _: reply(200, {"assets": [record]} | record))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with client(canned.url) as archive:
        fs = build(archive, nursery, tmp_path / "objects").fs
        for path in (f"assets/{ASSET}", f"by-name/unnamed~{ASSET.replace('-', '')[:12]}"):
            ino = (await stat(fs, path)).ino
            turns = 0
            nursery.start_soon(count)
            fs.releasedir(await fs.opendir(ino))
            assert turns >= 40
            assert len(await ls(fs, path)) == 10_003
    nursery.cancel_scope.cancel()
