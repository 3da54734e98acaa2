"""Catalogs beside one that knows much: one that believes nothing of it, one that asks nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from attachfs.archive.identities import AttachmentPath
from attachfs.catalog.catalog import Catalog
from attachfs.errors import Denied, NotFound, Unreachable
from tests.support.archives import HOLDER, index_in_memory
from tests.support.estates import Estate


@asynccontextmanager
async def _both(estate: Estate) -> AsyncIterator[tuple[Catalog, Catalog]]:
    """Offer a catalog that believes what it knows for an hour, and one that begins anew."""
    async with estate.mounted(metadata_ttl_s=3600.0) as mounted, trio.open_nursery() as nursery:
        yield mounted.catalog, mounted.catalog.anew(nursery, index_in_memory(nursery))
        nursery.cancel_scope.cancel()


async def test_nothing_older_is_believed(estate: Estate) -> None:
    """Records, listings, events and /info are asked for, each once."""
    holder, (uuid,) = estate.asset(b"one")
    path = AttachmentPath(holder, uuid)
    async with _both(estate) as (catalog, anew):
        for one, requests in ((catalog, 3), (anew, 3), (anew, 0), (catalog, 0)):
            await estate.reset()
            assert list(await (await one.assets()).whole()) == [holder.asset]
            assert len(await (await one.events(holder)).whole()) == 1
            assert (await one.confirmed_info(path)).size_bytes == 3
            assert await estate.count() == requests
        origin = anew.info_origin(path)
        assert origin is not None
        assert origin.source == "server"


async def test_what_it_is_told_the_other_one_learns(estate: Estate) -> None:
    """With all who watch it: a mount shows what a verification found."""
    holder, (uuid,) = estate.asset(b"one")
    path = AttachmentPath(holder, uuid)
    labels: list[str] = []
    async with _both(estate) as (catalog, anew):
        await catalog.record(holder)
        await catalog.info(path)
        catalog.watch(lambda _holder, _old, new: labels.append(new.label if new else ""))
        estate.demo.edit_asset(holder.asset, attributes={"arc_display_name": "new"})
        estate.demo.edit_blob(uuid, scanned_status="SCANNED_BAD")
        later, _ = estate.asset(b"two")
        await (await anew.assets()).whole()
        await anew.info(path)
        await estate.reset()
        assert labels == ["new"]
        assert (await catalog.record(holder)).label == "new"
        assert (await catalog.info(path)).scanned_status == "SCANNED_BAD"
        assert later.asset in await (await catalog.assets()).whole()
        assert await estate.count() == 0


async def test_what_has_gone_the_other_one_forgets(
    estate: Estate, expected_warnings: set[str]
) -> None:
    """Or what may no longer be seen."""
    expected_warnings.add("403")
    gone, _ = estate.asset(b"one")
    denied, _ = estate.asset(b"two")
    async with _both(estate) as (catalog, anew):
        for holder in (gone, denied):
            await catalog.record(holder)
        estate.demo.edit_asset(gone.asset, delete=True)
        estate.demo.edit_asset(denied.asset, deny=True)
        with pytest.raises(NotFound):
            await anew.record(gone)
        with pytest.raises(Denied):
            await anew.record(denied)
        assert catalog.known_record(gone) is None
        assert catalog.known_record(denied) is None


async def test_offline_all_that_is_known_is_served_and_nothing_is_asked(estate: Estate) -> None:
    """However old; the rest is out of reach."""
    holder, (uuid,) = estate.asset(b"one")
    path = AttachmentPath(holder, uuid)
    async with (
        estate.mounted(metadata_ttl_s=0.0, stale_ok_s=0.0) as mounted,
        trio.open_nursery() as nursery,
    ):
        record = await mounted.catalog.record(holder)
        await mounted.catalog.info(path)
        await (await mounted.catalog.assets()).whole()
        await estate.reset()
        offline = mounted.catalog.offline(nursery)
        assert (await offline.confirmed_record(holder)).raw == record.raw
        assert (await offline.confirmed_info(path)).size_bytes == 3
        assert list(await (await offline.assets()).whole()) == [holder.asset]
        for origin in (offline.record_origin(path), offline.info_origin(path)):
            assert origin is not None
            assert origin.source == "index"
        with pytest.raises(Unreachable, match="--offline asks no server"):
            await offline.record(HOLDER)
        with pytest.raises(Unreachable):
            await offline.events(holder)
        assert await estate.count() == 0
        nursery.cancel_scope.cancel()
