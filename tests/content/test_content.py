"""Verified bytes: from memory, or else from one download that all readers share."""

import shutil
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from attachfs.archive.digests import EMPTY_SHA256
from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.identities import AttachmentPath
from attachfs.content.content import SMALL_BYTES, Content
from attachfs.content.reader import Reader
from attachfs.content.verification import Expected
from attachfs.errors import AttachfsError, Mismatch, NotFound, Unreachable
from tests.support.archives import sha256
from tests.support.estates import BLOB_PATHS, Estate

_BIG = bytes(range(256)) * 400


def _expected(content: bytes, size: int | None = None) -> Expected:
    digest = sha256(content)
    return Expected(len(content) if size is None else size, (digest,), digest)


def _reader(content: Content, path: AttachmentPath, data: bytes) -> Reader:
    return content.open(path, _expected(data))


async def test_nothing_is_downloaded_before_a_byte_is_asked_for(estate: Estate) -> None:
    """Opening is free; the first read downloads, the following do not."""
    path = estate.one(b"evidence")
    async with estate.mounted() as mounted:
        reader = _reader(mounted.content, path, b"evidence")
        assert (reader.size_bytes, reader.digest) == (8, sha256(b"evidence"))
        assert await reader.read(8, 5) == b""
        assert await estate.count() == 0
        assert await reader.read(0, 100) == b"evidence"
        assert await reader.read(2, 3) == b"ide"
        assert await _reader(mounted.content, path, b"evidence").read(7, 1) == b"e"
        assert await estate.count() == 1


async def test_readers_at_once_share_one_download(estate: Estate) -> None:
    """However many, each gets its bytes."""
    path = estate.one(_BIG)
    got: list[bytes | bytearray] = []
    async with estate.mounted() as mounted:

        async def read(number: int) -> None:
            reader = _reader(mounted.content, path, _BIG)
            got.append(await reader.read(number * 10, 10))

        async with trio.open_nursery() as readers:
            for number in range(20):
                readers.start_soon(read, number)
        assert sorted(got) == sorted(_BIG[n * 10 : n * 10 + 10] for n in range(20))
        assert await estate.count() == 1


async def test_equal_bytes_are_downloaded_once_whatever_their_path(estate: Estate) -> None:
    """Their digest is what they are kept by."""
    paths = [estate.one(b"evidence") for _ in range(3)]
    async with estate.mounted() as mounted:
        for path in paths:
            assert await _reader(mounted.content, path, b"evidence").read(0, 8) == b"evidence"
        assert await estate.count() == 1


async def test_a_size_told_wrongly_is_no_match_for_bytes_in_memory(estate: Estate) -> None:
    """A read is answered in full or with an error, whatever another path had cached."""
    good, bad = estate.one(b"evidence"), estate.one(b"evidence")
    async with estate.mounted() as mounted:
        assert await _reader(mounted.content, good, b"evidence").read(0, 8) == b"evidence"
        for size in (7, 9, 1000):
            reader = mounted.content.open(bad, _expected(b"evidence", size))
            with pytest.raises(Mismatch, match="8 bytes"):
                await reader.read(0, size)
            assert "8 bytes" in (mounted.content.last_error(bad) or "")
        assert await _reader(mounted.content, good, b"evidence").read(0, 8) == b"evidence"


@pytest.mark.parametrize("size_bytes", [8, SMALL_BYTES + 8])
@pytest.mark.parametrize("more_bytes", [-1, 1, 1000])
async def test_a_size_told_wrongly_joins_no_download(
    estate: Estate, size_bytes: int, more_bytes: int
) -> None:
    """Under way, or stored: who declares another length is told, and nobody else is disturbed."""
    content = bytes(size_bytes)
    good, bad = estate.one(content), estate.one(content)
    outcomes: list[object] = []
    async with estate.mounted(stored=True) as mounted:

        async def read_wrongly() -> None:
            declared_bytes = size_bytes + more_bytes
            reader = mounted.content.open(bad, _expected(content, declared_bytes))
            try:
                outcomes.append(await reader.read(declared_bytes - 1, 1))
            except Mismatch as error:
                outcomes.append(type(error))
            reader.close()

        async def read_well() -> None:
            reader = mounted.content.open(good, _expected(content))
            assert await reader.read(0, size_bytes) == content
            reader.close()

        estate.demo.fail_next(path_regex=good.attachment, status=0, delay_s=0.2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_well)
            await wait_all_tasks_blocked(0.01)
            nursery.start_soon(read_wrongly)
        await read_wrongly()
        await read_well()
    assert outcomes == [Mismatch, Mismatch]


async def test_memory_is_never_exceeded(estate: Estate) -> None:
    """The bound is in bytes, and the least recently used go first."""
    bodies = [bytes([number]) * 1000 for number in range(6)]
    paths = [estate.one(body) for body in bodies]
    async with estate.mounted(memory_bytes=2500) as mounted:

        async def read(number: int) -> None:
            reader = _reader(mounted.content, paths[number], bodies[number])
            assert await reader.read(0, 1000) == bodies[number]
            assert mounted.content._memory.currsize <= 2500

        for number in (0, 1, 0, 2, 0, 1):
            await read(number)
        assert [entry.path[-36:] for entry in await estate.requests()] == [
            paths[number].attachment for number in (0, 1, 2, 1)
        ]
        for number in range(6):
            await read(number)


@pytest.mark.parametrize("memory_bytes", [0, 1, 7])
async def test_bodies_beyond_the_memory_come_from_the_store(
    estate: Estate, memory_bytes: int
) -> None:
    """They are verified as well, downloaded once, and not kept in memory."""
    path = estate.one(b"evidence")
    async with estate.mounted(memory_bytes=memory_bytes, stored=True) as mounted:
        for _ in range(3):
            reader = _reader(mounted.content, path, b"evidence")
            assert await reader.read(0, 4) == b"evid"
            assert await reader.read(4, 4) == b"ence"
        assert mounted.content._memory.currsize == 0
        assert await estate.count() == 1


@pytest.mark.parametrize("size", [8, 3_000_000])
async def test_a_restart_with_a_warm_store_downloads_nothing(estate: Estate, size: int) -> None:
    """The right is asked for again, the bytes are not."""
    content = bytes(range(8)) * (size // 8)
    path = estate.one(content)
    for _ in range(2):
        async with estate.mounted(stored=True) as mounted:
            reader = _reader(mounted.content, path, content)
            assert await reader.read(0, size) == content
            reader.close()
    assert await estate.count() == 1


@pytest.mark.parametrize("size", [8, 3_000_000])
async def test_a_byte_flipped_in_the_store_is_never_served(
    estate: Estate, tmp_path: Path, expected_warnings: set[str], size: int
) -> None:
    """The object is fetched again, and no reader notices."""
    expected_warnings.add("an object of the store is damaged")
    content = bytes(range(8)) * (size // 8)
    path = estate.one(content)
    for _ in range(2):
        async with estate.mounted(stored=True) as mounted:
            assert await _reader(mounted.content, path, content).read(0, size) == content
        (stored,) = (tmp_path / "objects" / "sha256").glob("*/*")
        with stored.open("r+b") as file:
            file.seek(size - 1)
            file.write(b"x")
    assert await estate.count() == 2


@pytest.mark.parametrize("size", [8, 3_000_000])
async def test_a_disk_in_trouble_is_done_without(
    estate: Estate, tmp_path: Path, expected_warnings: set[str], size: int
) -> None:
    """The bytes are held in memory, and it is said once."""
    expected_warnings.add("the cache directory is of no use")
    contents = [bytes([number]) * size for number in range(3)]
    paths = [estate.one(content) for content in contents]
    async with estate.mounted(stored=True) as mounted:
        shutil.rmtree(tmp_path / "objects")
        for path, content in zip(paths, contents, strict=True):
            assert await _reader(mounted.content, path, content).read(0, size) == content


async def test_a_body_for_which_there_is_no_room_at_all_is_an_error(estate: Estate) -> None:
    """It says which options would help."""
    content = bytes(3_000_000)
    path = estate.one(content)
    async with estate.mounted(memory_bytes=1_000_000) as mounted:
        with pytest.raises(AttachfsError, match="--memory-cache"):
            await _reader(mounted.content, path, content).read(0, 1)
        assert await estate.count() == 0


async def test_an_empty_attachment_needs_no_download(estate: Estate) -> None:
    """Where its digest is that of nothing; else it cannot be opened."""
    path = estate.one(b"")
    async with estate.mounted() as mounted:
        reader = _reader(mounted.content, path, b"")
        assert (reader.digest, await reader.read(0, 10)) == (EMPTY_SHA256, b"")
        with pytest.raises(Mismatch, match="empty"):
            mounted.content.open(path, _expected(b"something", 0))
        assert "empty" in (mounted.content.last_error(path) or "")
        assert await estate.count() == 0


@pytest.mark.parametrize(
    ("policy", "query"),
    [
        (ScanPolicy.BLOCK_BAD, ""),
        (ScanPolicy.ALLOW, "allow_insecure=true"),
        (ScanPolicy.REQUIRE_OK, "strict=true"),
    ],
)
async def test_a_download_says_what_the_policy_allows(
    estate: Estate, policy: ScanPolicy, query: str
) -> None:
    """The server is the second to check."""
    path = estate.one(b"evidence")
    estate.demo.edit_blob(path.attachment, scanned_status="SCANNED_OK")
    async with estate.mounted(policy=policy) as mounted:
        await _reader(mounted.content, path, b"evidence").read(0, 8)
        assert [entry.query for entry in await estate.requests()] == [query]


async def test_the_only_reader_to_leave_ends_the_download(estate: Estate) -> None:
    """The next one starts it anew."""
    path = estate.one(b"evidence")
    estate.demo.fail_next(path_regex=BLOB_PATHS, status=0, delay_s=30.0)
    async with estate.mounted() as mounted:
        reader = _reader(mounted.content, path, b"evidence")
        with trio.move_on_after(0.1) as scope:
            await reader.read(0, 8)
        assert scope.cancelled_caught
        await wait_all_tasks_blocked(0.005)
        assert mounted.content._flights._flights == {}
        assert mounted.content.last_error(path) is None
        assert await reader.read(0, 8) == b"evidence"


async def test_a_reader_who_leaves_does_not_stop_the_others(estate: Estate) -> None:
    """They get their bytes from the same download."""
    path = estate.one(b"evidence")
    estate.demo.fail_next(path_regex=BLOB_PATHS, status=0, delay_s=0.2)
    got: list[bytes | bytearray] = []
    async with estate.mounted() as mounted:
        reader = _reader(mounted.content, path, b"evidence")

        async def read() -> None:
            got.append(await reader.read(0, 8))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            with trio.move_on_after(0.05):
                await reader.read(0, 8)
        assert got == [b"evidence"]
        assert await estate.count() == 1


@pytest.mark.usefixtures("quick_retries")
async def test_why_a_read_failed_is_known_until_one_succeeds(estate: Estate) -> None:
    """The last failure is told, by path."""
    path, other = estate.one(b"evidence"), estate.one(b"other")
    async with estate.mounted(negative_ttl_s=0.001) as mounted:
        reader = _reader(mounted.content, path, b"evidence")
        assert mounted.content.last_error(path) is None
        estate.demo.fail_next(status=404)
        with pytest.raises(NotFound):
            await reader.read(0, 8)
        assert "404" in (mounted.content.last_error(path) or "")
        assert mounted.content.last_error(other) is None
        await trio.sleep(0.002)
        assert await reader.read(0, 8) == b"evidence"
        assert mounted.content.last_error(path) is None
        mounted.content.note_failure(path, Unreachable("down"))
        assert mounted.content.last_error(path) == "down"
        await _reader(mounted.content, path, b"evidence").read(0, 8)
        assert mounted.content.last_error(path) is None
