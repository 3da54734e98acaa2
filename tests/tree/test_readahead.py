"""What is fetched before it is asked for, and what is not."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import pytest
import trio
import trio.testing

from attachfs.archive.identities import is_uuid
from attachfs.content import content
from tests.support.archives import Mounted
from tests.support.estates import BLOB_PATHS, INFO_PATHS, Estate
from tests.support.trees import ls, read, stat

_FILES = 40
_WINDOW = 4  # the first one (`tree/sequences.py`)
_MAX_GAP = 8


async def _names(mounted: Mounted, holder: str) -> list[str]:
    """Return the names of a directory's attachments in its own order."""
    return [name for name in await ls(mounted.fs, holder) if is_uuid(name)]


async def _quiet() -> None:
    """Wait until nothing is under way any more."""
    await trio.testing.wait_all_tasks_blocked(0.1)


async def _fetched(estate: Estate, paths: str, number: int) -> int:
    """Wait until so many have been asked for and nothing more comes; return how many did."""
    with trio.fail_after(30):
        while await estate.count(paths) < number:
            await _quiet()
    await _quiet()
    return await estate.count(paths)


def _by_file_name(ids: Sequence[str]) -> list[str]:
    """Return attachments by the names that `Estate.asset` gives them."""
    return [ids[number] for number in sorted(range(_FILES), key=lambda n: f"{n}.bin")]


def _step(order: Sequence[str], *others: Sequence[str]) -> tuple[str, str]:
    """Return two files that follow one another in an order, and are a step in none of the others.

    The other orders are those of random numbers, and of hashes with the archive's port.
    """
    return next(
        (first, second)
        for first, second in pairwise(order)
        if not any(0 < other.index(second) - other.index(first) <= _MAX_GAP for other in others)
    )


async def test_whoever_stats_in_order_finds_info_there_already(estate: Estate) -> None:
    """After two steps the next ones are fetched, and nobody asks twice."""
    holder, ids = estate.asset(*(bytes([n]) for n in range(_FILES)))
    async with estate.mounted(read_ahead_files=64) as mounted:
        listed = [name for name in await ls(mounted.fs, holder.path) if is_uuid(name[:36])]
        # Whichever comes first, attachment or sidecar, needs the `/info` of both.
        either = list(dict.fromkeys(name[:36] for name in listed))
        for name in _step(either[:-_WINDOW], sorted(ids), _by_file_name(ids)):
            await stat(mounted.fs, f"{holder.path}/{name}")
        ahead = 2 + _WINDOW
        assert await _fetched(estate, INFO_PATHS, ahead) == ahead
        for name in listed:
            await stat(mounted.fs, f"{holder.path}/{name}")
        await _quiet()
        assert await estate.count(INFO_PATHS) == _FILES
        assert await estate.count(BLOB_PATHS) == 0


@pytest.mark.parametrize("by_name", [False, True])
async def test_whoever_reads_in_order_finds_the_bytes_there_already(
    estate: Estate,
    by_name: bool,  # noqa: FBT001 - pytest gives it by name
) -> None:
    """By the order of the listing, as cp does, or by name, as a shell's `*` does."""
    holder, ids = estate.asset(*(bytes([n]) * 100 for n in range(_FILES)))
    async with estate.mounted(read_ahead_files=64) as mounted:
        numbered = await _names(mounted, holder.path)
        order, other = (sorted(ids), numbered) if by_name else (numbered, sorted(ids))
        for name in _step(order[:-_WINDOW], other, _by_file_name(ids)):
            await read(mounted.fs, f"{holder.path}/{name}")
        ahead = 2 + _WINDOW
        assert await _fetched(estate, BLOB_PATHS, ahead) == ahead
        for name in order:
            await read(mounted.fs, f"{holder.path}/{name}")
        assert await estate.count(BLOB_PATHS) == _FILES
        assert mounted.content.wasted_bytes == 0


async def test_nothing_is_fetched_ahead_where_that_is_not_wanted(estate: Estate) -> None:
    """`--read-ahead 0`."""
    holder, _ = estate.asset(*(bytes([n]) for n in range(_FILES)))
    async with estate.mounted(read_ahead_files=0) as mounted:
        for name in (await _names(mounted, holder.path))[:5]:
            await read(mounted.fs, f"{holder.path}/{name}")
        await _quiet()
        assert (await estate.count(INFO_PATHS), await estate.count(BLOB_PATHS)) == (5, 5)


async def test_single_files_are_no_order(estate: Estate) -> None:
    """Reading here and there fetches nothing else."""
    holder, ids = estate.asset(*(bytes([n]) for n in range(_FILES)))
    async with estate.mounted(read_ahead_files=64) as mounted:
        names = await _names(mounted, holder.path)
        listed = [name.split(".")[0] for name in await ls(mounted.fs, holder.path)]
        either = [name for name in dict.fromkeys(listed) if name in names]
        orders = (names, sorted(names), either, _by_file_name(ids))
        first, second = next(
            pair
            for pair in combinations(names, 2)
            if all(abs(order.index(pair[0]) - order.index(pair[1])) > _MAX_GAP for order in orders)
        )
        for name in (first, second, first):
            await read(mounted.fs, f"{holder.path}/{name}")
        await _quiet()
        assert (await estate.count(INFO_PATHS), await estate.count(BLOB_PATHS)) == (2, 2)


async def test_what_is_blocked_is_not_fetched(estate: Estate) -> None:
    """A scan's verdict holds for read-ahead as well."""
    holder, blobs = estate.asset(*(bytes([n]) for n in range(_FILES)))
    async with estate.mounted(read_ahead_files=64) as mounted:
        names = await _names(mounted, holder.path)
        for name in names[2:]:
            estate.demo.edit_blob(name, scanned_status="SCANNED_BAD")
        for name in names[:2]:
            await read(mounted.fs, f"{holder.path}/{name}")
        await _quiet()
        assert len(blobs) == _FILES
        assert await estate.count(BLOB_PATHS) == 2


async def test_what_is_held_for_nobody_is_bounded(estate: Estate) -> None:
    """By half the memory cache: what was asked for is not driven out."""
    size = 10_000
    holder, _ = estate.asset(*(bytes([n]) * size for n in range(_FILES)))
    async with estate.mounted(read_ahead_files=64, memory_bytes=10 * size) as mounted:
        for name in (await _names(mounted, holder.path))[:3]:
            await read(mounted.fs, f"{holder.path}/{name}")
        assert 3 < await _fetched(estate, BLOB_PATHS, 4) <= 3 + 2 + 5


async def test_what_nobody_asks_for_in_time_is_counted(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As wasted bytes; and it no longer keeps others from being fetched."""
    monkeypatch.setattr(content, "_AHEAD_S", 0.0)
    holder, _ = estate.asset(*(bytes([n]) * 100 for n in range(_FILES)))
    async with estate.mounted(read_ahead_files=64) as mounted:
        for name in (await _names(mounted, holder.path))[:3]:
            await read(mounted.fs, f"{holder.path}/{name}")
        with trio.fail_after(30):
            while mounted.content.wasted_bytes < 100:
                await _quiet()
