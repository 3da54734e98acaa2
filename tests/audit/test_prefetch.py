"""Fetching everything below paths into the store."""

import pytest
import trio

from attachfs.audit.events import Begun, Failed, Fetched, Progress, Skipped, Total
from attachfs.audit.prefetch import Prefetch
from attachfs.errors import CacheUnusable
from tests.support.estates import BLOB_PATHS, Estate
from tests.support.jobs import LARGE, of_kind, paths_of, told_by


async def test_what_is_fetched_is_there_for_readers(estate: Estate) -> None:
    """Small, large and empty; and is not fetched again."""
    holder, uuids = estate.asset(b"small", LARGE, b"")
    async with estate.mounted(stored=True) as mounted:
        told = await told_by(mounted.fs, Prefetch(paths_of(holder, uuids)))
        fetched = {event.path: event for event in of_kind(Fetched, told)}
        assert fetched.keys() == {*paths_of(holder, uuids)}
        sizes = [event.size_bytes for event in fetched.values() if not event.held]
        assert sorted(sizes) == [5, len(LARGE)]
        assert of_kind(Total, told)[-1] == Total(3, 5 + len(LARGE), final=True)
        assert sum(event.size_bytes for event in of_kind(Progress, told)) == 5 + len(LARGE)
        await estate.reset()
        again = of_kind(Fetched, await told_by(mounted.fs, Prefetch(paths_of(holder, uuids))))
        assert [event.held for event in again] == [True] * 3
        assert await estate.count(BLOB_PATHS) == 0


async def test_a_dry_run_downloads_nothing(estate: Estate) -> None:
    """It tells what would be."""
    holder, uuids = estate.asset(b"one", b"three")
    async with estate.mounted(stored=True) as mounted:
        told = await told_by(mounted.fs, Prefetch(paths_of(holder, uuids), dry_run=True))
        assert [event.held for event in of_kind(Fetched, told)] == [False, False]
        assert await estate.count(BLOB_PATHS) == 0


async def test_it_goes_on_after_what_cannot_be_had(
    estate: Estate, expected_warnings: set[str]
) -> None:
    """What the scan policy forbids is left out; what is damaged has failed."""
    expected_warnings |= {"not what", "mismatch", "SHA-256", "damaged"}
    holder, (good, damaged, bad) = estate.asset(b"good", b"damaged", b"bad")
    estate.demo.edit_blob(damaged, flip_body_byte=3)
    estate.demo.edit_blob(bad, scanned_status="SCANNED_BAD", scanned_bad_reason="worm")
    paths = paths_of(holder, (good, damaged, bad))
    async with estate.mounted(stored=True) as mounted:
        told = await told_by(mounted.fs, Prefetch(paths))
    assert [event.path for event in of_kind(Fetched, told)] == [f"{holder.path}/{good}"]
    ((skipped,), (failed,)) = of_kind(Skipped, told), of_kind(Failed, told)
    assert (skipped.path, failed.path) == (f"{holder.path}/{bad}", f"{holder.path}/{damaged}")
    assert "worm" in skipped.reason
    assert "SHA-256" in failed.reason


async def test_without_a_store_there_is_nowhere_to_fetch_to(estate: Estate) -> None:
    """That is said, and nothing done."""
    estate.asset(b"one")
    async with estate.mounted() as mounted:
        with pytest.raises(CacheUnusable, match="no cache directory"):
            await told_by(mounted.fs, Prefetch(("",)))
        assert await estate.count() == 0


async def test_cancelled_it_leaves_all_well(estate: Estate) -> None:
    """The next run goes on where this one was."""
    holder, uuids = estate.asset(*(b"%d" % number for number in range(60)))
    paths = paths_of(holder, uuids)
    async with estate.mounted(stored=True) as mounted:
        with trio.CancelScope() as scope:
            fetched = 0

            async def tell(event: object) -> None:
                nonlocal fetched
                fetched += isinstance(event, Fetched)
                if fetched == 5:
                    scope.cancel()

            await Prefetch(paths, at_once=2).run(mounted.fs, tell)
        assert scope.cancelled_caught
        told = await told_by(mounted.fs, Prefetch(paths))
    held = [event.held for event in of_kind(Fetched, told)]
    assert len(held) == 60
    assert 5 <= sum(held) < 60


async def test_it_begins_with_what_can_be_kept(estate: Estate) -> None:
    """So that too much can be warned of."""
    async with estate.mounted(stored=True) as mounted:
        begun, total = await told_by(mounted.fs, Prefetch(("assets",)))
    assert begun == Begun(estate.running.url, "block-bad", 1024**3)
    assert total == Total(0, 0, final=True)
