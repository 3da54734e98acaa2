"""What exists and who may read it: asked once within its lifetime, confirmed by rights."""

from pathlib import Path

import pytest
import trio

from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.catalog.index import Index
from attachfs.errors import AttachfsError, Denied, NotFound, ServerFault, Unauthenticated
from tests.support.archives import (
    ASSET,
    ATTACHMENT,
    EVENT,
    OTHER,
    PATH,
    declared,
    settled,
    sha256,
)
from tests.support.estates import INFO_PATHS, Estate


async def test_a_record_is_asked_for_once(estate: Estate) -> None:
    """However many want it, at once or one after the other."""
    holder, _ = estate.asset(b"evidence")
    async with estate.mounted() as mounted:
        catalog = mounted.catalog
        assert catalog.known_record(holder) is None
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(catalog.record, holder)
        assert await catalog.record(holder) is catalog.known_record(holder)
        assert await estate.count() == 1
        assert catalog.server == estate.running.url


async def test_a_listing_tells_the_records_of_what_it_lists(estate: Estate) -> None:
    """Whoever listed assets or events need not ask for each of them."""
    holder, _ = estate.asset(b"evidence")
    event, _ = estate.event(holder, b"more")
    async with estate.mounted() as mounted:
        assert await (await mounted.catalog.assets()).upto(1) == [holder.asset]
        events = await (await mounted.catalog.events(holder)).upto(9)
        assert event.event in events
        await mounted.catalog.record(holder)
        await mounted.catalog.record(event)
        assert await estate.count() == 2


async def test_listings_are_shared_within_their_lifetime(estate: Estate) -> None:
    """Two readers of a directory share its pages."""
    estate.asset()
    async with estate.mounted() as mounted:
        assert await mounted.catalog.assets() is await mounted.catalog.assets()
        assert await estate.count() == 1
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        assert await mounted.catalog.assets() is not await mounted.catalog.assets()


@pytest.mark.parametrize(("untracked", "listed"), [(False, 1), (True, 2)])
async def test_untracked_assets_are_listed_on_demand(
    estate: Estate, *, untracked: bool, listed: int
) -> None:
    """They hide by default, as on the service."""
    holder, _ = estate.asset()
    estate.asset()
    estate.demo.create_event(holder.asset, {"behaviour": "Builtin", "operation": "StopTracking"})
    async with estate.mounted(untracked=untracked) as mounted:
        assert len(await (await mounted.catalog.assets()).upto(9)) == listed
        await mounted.catalog.record(holder)


async def test_the_newest_event_known_is_that_of_listing_and_records(estate: Estate) -> None:
    """It only ever grows, and knows nothing before it was told."""
    holder, _ = estate.asset()
    old, _ = estate.event(holder, at="2024-01-01T00:00:00Z")
    new, _ = estate.event(holder, at="2040-01-01T00:00:00Z")
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        catalog = mounted.catalog
        assert catalog.newest_event_ns(holder) == 0
        await catalog.record(old)
        assert catalog.newest_event_ns(holder) == 1_704_067_200 * 10**9
        await catalog.events(holder)
        assert catalog.newest_event_ns(holder) == 2_208_988_800 * 10**9
        await catalog.record(old)
        await catalog.record(new)
        assert catalog.newest_event_ns(holder) == 2_208_988_800 * 10**9


async def test_info_is_asked_for_once_while_its_scan_is_believed(estate: Estate) -> None:
    """The lifetime of records does not matter to it; the rest of it cannot change."""
    path = estate.one()
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        assert mounted.catalog.known_info(path) is None
        for _ in range(3):
            info = await mounted.catalog.info(path)
        assert mounted.catalog.known_info(path) is info
        assert await estate.count() == 1


async def test_the_right_to_read_is_confirmed_by_the_record_that_names(estate: Estate) -> None:
    """Within the lifetime of records nothing is asked; after it the record alone."""
    path = estate.one()
    async with estate.mounted(metadata_ttl_s=60) as mounted:
        for _ in range(3):
            await mounted.catalog.confirmed_info(path)
        assert await estate.count() == 2
    await estate.reset()
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        for _ in range(3):
            await mounted.catalog.confirmed_info(path)
        assert (await estate.count(), await estate.count(INFO_PATHS)) == (4, 1)


async def test_the_right_to_read_is_confirmed_by_info_where_no_record_names(
    estate: Estate,
) -> None:
    """A token that may not see the record is asked for by /info, each time."""
    path = estate.one()
    estate.demo.edit_asset(path.holder.asset, deny="record")
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        for _ in range(3):
            assert (await mounted.catalog.confirmed_info(path)).size_bytes == 8
        assert await estate.count(INFO_PATHS) == 3


async def test_an_attachment_that_is_real_but_not_listed_is_confirmed_by_info(
    estate: Estate,
) -> None:
    """An attribute that the token may not see need not keep it from the bytes."""
    holder, (first,) = estate.asset(b"one")
    estate.demo.set_switches(asset_url_serves_superseded=True)
    other = estate.blob(b"two")
    estate.event(holder, on_asset={"attachment 0": declared(other)})
    path = AttachmentPath(holder, first)
    async with estate.mounted() as mounted:
        record = await mounted.catalog.record(holder)
        assert record.attachment(first) is None
        assert (await mounted.catalog.confirmed_info(path)).size_bytes == 3


@pytest.mark.parametrize(
    ("deny", "kind"), [(True, Denied), ("delete", NotFound)], ids=["denied", "deleted"]
)
async def test_a_right_that_is_withdrawn_is_withdrawn_at_once(
    estate: Estate, deny: object, kind: type[AttachfsError]
) -> None:
    """What was known does not outlive a 403 or 404, however fresh it was."""
    path = estate.one()
    async with estate.mounted(metadata_ttl_s=0, negative_ttl_s=0) as mounted:
        await mounted.catalog.confirmed_info(path)
        changes = {"delete": True} if deny == "delete" else {"deny": deny}
        estate.demo.edit_asset(path.holder.asset, **changes)
        with pytest.raises(kind):
            await mounted.catalog.confirmed_info(path)
        assert mounted.catalog.known_record(path.holder) is None


@pytest.mark.usefixtures("quick_retries")
async def test_trouble_with_a_record_is_not_taken_for_a_refusal(estate: Estate) -> None:
    """A server that fails confirms nothing and denies nothing."""
    path = estate.one()
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        await mounted.catalog.confirmed_info(path)
        estate.demo.fail_next(path_regex="/assets/", status=500, times=4)
        with pytest.raises(ServerFault):
            await mounted.catalog.confirmed_info(path)
        assert mounted.catalog.known_record(path.holder) is not None
        await mounted.catalog.confirmed_info(path)


@pytest.mark.parametrize(
    ("holder", "kind"), [(Holder(ASSET), NotFound), (Holder(ASSET, EVENT), NotFound)]
)
async def test_what_is_not_there_is_remembered_as_such(
    estate: Estate, holder: Holder, kind: type[AttachfsError]
) -> None:
    """A desktop that looks again and again costs one request."""
    async with estate.mounted() as mounted:
        for _ in range(5):
            with pytest.raises(kind):
                await mounted.catalog.record(holder)
            with pytest.raises(kind):
                await mounted.catalog.confirmed_info(AttachmentPath(holder, ATTACHMENT))
        assert await estate.count() == 1


async def test_a_refused_token_is_a_refusal_for_a_while(estate: Estate) -> None:
    """Hundreds of lookups with a bad token do not become hundreds of requests."""
    holder, _ = estate.asset()
    async with estate.mounted() as mounted:
        estate.demo.fail_next(status=401)
        for _ in range(5):
            with pytest.raises(Unauthenticated):
                await mounted.catalog.record(holder)
        assert await estate.count() == 1


async def test_equal_answers_keep_their_bytes(estate: Estate) -> None:
    """The server's order of keys is random; what was told once stays."""
    estate.demo.set_switches(key_order_shuffle=True)
    path = estate.one(colour="blue", weight="1kg")
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        record = await mounted.catalog.record(path.holder)
        for _ in range(5):
            assert await mounted.catalog.record(path.holder) is record
        estate.demo.edit_asset(path.holder.asset, attributes={"weight": "2kg"})
        assert await mounted.catalog.record(path.holder) is not record


async def test_bytes_found_bad_are_known_by_their_digest(estate: Estate) -> None:
    """Until the attachment they were found at is found good again."""
    path = estate.one(b"evil")
    estate.demo.edit_blob(path.attachment, scanned_status="SCANNED_BAD")
    async with estate.mounted() as mounted:
        assert not mounted.catalog.is_bad(sha256(b"evil"))
        await mounted.catalog.info(path)
        assert mounted.catalog.is_bad(sha256(b"evil"))
        assert not mounted.catalog.is_bad(sha256(b"good"))


async def test_a_walk_over_everything_costs_pages(estate: Estate) -> None:
    """And a few requests for the assets that were come to before it was a walk."""
    for _ in range(120):
        estate.event(estate.asset()[0])
    async with estate.mounted() as mounted:
        catalog = mounted.catalog
        listing = await catalog.assets()
        while not listing.complete:
            await listing.upto(len(listing.ids) + 1)
        assert await estate.count() == 1
        for asset in listing.ids:
            await catalog.record(Holder(asset))
            events = await catalog.events(Holder(asset))
            assert len(await events.upto(99)) == 2
            for event in events.ids:
                await catalog.record(Holder(asset, event))
            await settled()
        assert await estate.count("assets/-/events") == 1
        assert await estate.count() < 20


async def test_what_is_known_outlives_a_restart(estate: Estate, tmp_path: Path) -> None:
    """Within its lifetime nothing is asked again; `untracked` listings are kept apart."""
    path = estate.one()
    hidden, _ = estate.asset()
    estate.demo.create_event(hidden.asset, {"behaviour": "Builtin", "operation": "StopTracking"})
    event, _ = estate.event(path.holder)
    for untracked, asked in [(False, 3), (False, 0), (True, 1), (True, 0), (False, 0)]:
        index = Index.open(tmp_path / "index")
        async with estate.mounted(untracked=untracked, index=index) as mounted:
            catalog = mounted.catalog
            found = await (await catalog.assets()).upto(9)
            assert (len(found), hidden.asset in found) == (1 + untracked, untracked)
            await catalog.record(path.holder)
            assert event.event in await (await catalog.events(path.holder)).upto(9)
            await catalog.record(event)
            await catalog.info(path)
            assert catalog.newest_event_ns(path.holder) > 0
            assert await estate.count() == asked
            await estate.reset()
        index.close()


async def test_what_changes_is_told(estate: Estate) -> None:
    """Once, whether a page, a single answer or a refusal says so; nothing else is."""
    holder, _ = estate.asset(colour="blue")
    other, _ = estate.asset()
    told: list[tuple[Holder, bool]] = []
    async with estate.mounted(metadata_ttl_s=0, negative_ttl_s=0) as mounted:
        catalog = mounted.catalog
        catalog.watch(lambda holder, _old, new: told.append((holder, new is not None)))
        await (await catalog.assets()).upto(9)
        await catalog.record(holder)
        assert told == []
        estate.demo.edit_asset(holder.asset, attributes={"colour": "red"})
        await (await catalog.assets()).upto(9)
        await catalog.record(holder)
        assert told == [(holder, True)]
        estate.demo.edit_asset(holder.asset, attributes={"colour": "green"})
        await catalog.record(holder)
        estate.demo.edit_asset(other.asset, deny=True)
        for _ in range(2):
            with pytest.raises(Denied):
                await catalog.record(other)
        assert told == [(holder, True), (holder, True), (other, False)]


async def test_a_short_id_is_found_among_what_is_known(estate: Estate) -> None:
    """Assets alone, not their events, and public ones apart."""
    holder, _ = estate.asset()
    async with estate.mounted() as mounted:
        catalog = mounted.catalog
        digits = holder.asset.replace("-", "")
        assert catalog.namesakes(digits[:8]) == []
        await catalog.assets()
        await (await catalog.events(holder)).upto(9)
        for length in (0, 2, 8, 32):
            assert catalog.namesakes(digits[:length]) == [holder.asset]
            assert catalog.namesakes(digits[:length], public=True) == []
        assert catalog.namesakes("00" if digits[0] != "0" else "ff") == []


async def test_nothing_is_asked_of_what_is_known(estate: Estate) -> None:
    """Peeking costs no request."""
    async with estate.mounted() as mounted:
        assert mounted.catalog.known_record(Holder(OTHER)) is None
        assert mounted.catalog.known_info(PATH) is None
        assert mounted.catalog.newest_event_ns(Holder(OTHER)) == 0
        assert await estate.count() == 0
