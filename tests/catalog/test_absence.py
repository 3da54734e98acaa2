"""What "not found" says of a list: that its owner is gone, or nothing."""

import pytest

from attachfs.errors import BadReply, Denied, NotFound
from tests.support.estates import Estate


async def test_events_are_gone_with_their_asset(estate: Estate) -> None:
    """Which is asked for again at once, whatever was cached: nothing of it is left."""
    holder, _ = estate.asset(b"one")
    async with estate.mounted() as mounted:
        await mounted.catalog.record(holder)
        estate.demo.edit_asset(holder.asset, delete=True)
        with pytest.raises(NotFound):
            await mounted.catalog.events(holder)
        assert mounted.catalog.known_record(holder) is None
        with pytest.raises(NotFound):
            await mounted.catalog.record(holder)


@pytest.mark.parametrize("page", [0, 1])
async def test_events_of_an_asset_that_exists_are_not_taken_for_none(
    estate: Estate, page: int
) -> None:
    """Neither at their start nor half-way; where the asset is denied, that is the error."""
    estate.demo.set_switches(max_page_limit=1)
    holder, _ = estate.asset(b"one")
    estate.event(holder)
    async with estate.mounted() as mounted:
        for deny, error in ((False, BadReply), ("record", Denied)):
            estate.demo.edit_asset(holder.asset, deny=deny)
            estate.demo.fail_next(path_regex="/events$", status=404, skip=page * (not deny))
            with pytest.raises(error):
                await (await mounted.catalog.events(holder)).whole()
            await estate.reset()


@pytest.mark.parametrize("page", [0, 1])
async def test_a_list_of_assets_that_is_not_found_is_not_taken_for_empty(
    estate: Estate, page: int
) -> None:
    """Neither at its start nor half-way; asked again, it goes on."""
    estate.demo.set_switches(max_page_limit=1)
    made = [estate.asset()[0].asset for _ in range(3)]
    async with estate.mounted() as mounted:
        estate.demo.fail_next(path_regex="/assets$", status=404, skip=page)
        with pytest.raises(BadReply):
            await (await mounted.catalog.assets()).whole()
        assert sorted(await (await mounted.catalog.assets()).whole()) == sorted(made)
