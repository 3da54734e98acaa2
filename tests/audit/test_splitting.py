"""What is at and below paths, in pieces that together are all of it."""

import pytest

from attachfs.audit.splitting import Trouble, pieces
from attachfs.errors import NotFound
from attachfs.tree.filesystem import FileSystem
from tests.support.estates import Estate


async def _found(fs: FileSystem, *paths: str) -> list[str | Trouble]:
    return [piece async for piece in pieces(fs, paths)]


async def test_a_directory_of_assets_is_its_assets(estate: Estate) -> None:
    """The root is all of them once, not those views that show them again."""
    holders = [estate.asset(b"one")[0], estate.asset()[0]]
    expected = {holder.path for holder in holders}
    async with estate.mounted() as mounted:
        for path in ("assets", ""):
            found = await _found(mounted.fs, path)
            assert len(found) == len(set(found))
            assert expected <= set(found)
            assert {str(piece).partition("/")[0] for piece in found} <= {"assets", "publicassets"}


async def test_what_is_in_another_is_no_piece_of_its_own(estate: Estate) -> None:
    """Whatever the order; an attachment is named for its sidecar."""
    holder, (uuid, *_) = estate.asset(b"one", b"two")
    other, (sidecar, *_) = estate.asset(b"three")
    async with estate.mounted() as mounted:
        found = await _found(
            mounted.fs,
            f"{holder.path}/{uuid}",
            f"{holder.path}/events",
            holder.path,
            f"{other.path}/{sidecar}.info.json",
        )
    assert found == [holder.path, f"{other.path}/{sidecar}"]


async def test_what_is_not_there_is_told_before_anything(estate: Estate) -> None:
    """It is a mistake of whoever named it."""
    holder, _ = estate.asset(b"one")
    async with estate.mounted() as mounted:
        with pytest.raises(NotFound):
            await _found(mounted.fs, holder.path, "assets/00000000-0000-4000-8000-000000000000")


async def test_a_listing_that_is_refused_is_trouble(estate: Estate) -> None:
    """It does not end the others."""
    estate.asset(b"one")
    async with estate.mounted() as mounted:
        estate.demo.fail_next(path_regex="/assets$", status=403, times=99)
        trouble, *others = await _found(mounted.fs, "assets", "publicassets")
    assert isinstance(trouble, Trouble)
    assert (trouble.path, others) == ("assets", [])
