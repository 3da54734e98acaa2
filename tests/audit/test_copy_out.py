"""Handing out the bytes of files."""

from attachfs.audit.copy_out import CopyOut
from attachfs.audit.events import Bytes, Failed
from tests.support.estates import BLOB_PATHS, Estate
from tests.support.jobs import LARGE, of_kind, told_by


async def test_bytes_come_whole_and_in_order(estate: Estate) -> None:
    """Of every kind of file, one after the other; the last ones are marked."""
    holder, (small, large) = estate.asset(b"small", LARGE)
    paths = tuple(f"{holder.path}/{name}" for name in (large, small, "asset.json"))
    async with estate.mounted() as mounted:
        told = of_kind(Bytes, await told_by(mounted.fs, CopyOut(paths)))
    assert list(dict.fromkeys(event.path for event in told)) == list(paths)
    bodies = [b"".join(e.data for e in told if e.path == path) for path in paths]
    assert bodies[:2] == [LARGE, b"small"]
    assert bodies[2].startswith(b"{")
    for path in paths:
        lasts = [event.last for event in told if event.path == path]
        assert lasts == [False] * (len(lasts) - 1) + [True]


async def test_what_cannot_be_read_is_told_and_the_others_come(
    estate: Estate, expected_warnings: set[str]
) -> None:
    """Directories, what is not there, what is damaged."""
    expected_warnings |= {"not what", "SHA-256", "mismatch"}
    holder, (good, damaged) = estate.asset(b"good", b"damaged")
    estate.demo.edit_blob(damaged, flip_body_byte=3)
    paths = (holder.path, "nothing", f"{holder.path}/{damaged}", f"{holder.path}/{good}")
    async with estate.mounted() as mounted:
        told = await told_by(mounted.fs, CopyOut(paths))
    assert [failed.path for failed in of_kind(Failed, told)] == list(paths[:3])
    assert [event.data for event in of_kind(Bytes, told)] == [b"good"]


async def test_what_is_larger_than_wanted_is_left_where_it_is(estate: Estate) -> None:
    """Without a word: who asks knows the sizes."""
    holder, (small, large) = estate.asset(b"12345", b"123456")
    paths = tuple(f"{holder.path}/{name}" for name in (large, small))
    async with estate.mounted() as mounted:
        told = await told_by(mounted.fs, CopyOut(paths, max_bytes=5))
        assert told == [Bytes(paths[1], b"12345", last=True)]
        assert await estate.count(BLOB_PATHS) == 1
