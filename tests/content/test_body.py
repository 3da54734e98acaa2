"""Reading an object of the store that is verified while it is read."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import trio

from attachfs.content.body import DiskBody
from attachfs.content.stored import PIECE_BYTES, Damaged, StoredBody, trailer_of
from tests.support.archives import sha256

_KEY = bytes(range(32))
_BLOCK = 128 * 1024


@cache
def _content() -> bytes:
    return os.urandom(256) * (20 * PIECE_BYTES // 256) + b"tail"


@pytest.fixture(scope="module", autouse=True)
def _forgotten_content() -> Iterator[None]:
    """Let go of the content with the last of these tests."""
    yield
    _content.cache_clear()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An object as the store keeps it."""
    path = tmp_path / sha256(_content())
    path.write_bytes(_content())
    with path.open("r+b") as file:
        trailer = trailer_of(file.fileno(), len(_content()), path.name, _KEY)
        os.pwrite(file.fileno(), trailer, len(_content()))
    return path


def _opened(path: Path, nursery: trio.Nursery) -> tuple[DiskBody, StoredBody]:
    stored = StoredBody(os.open(path, os.O_RDONLY), path.name, len(_content()), _KEY)
    return DiskBody(stored, trio.CapacityLimiter(4), nursery), stored


async def test_whoever_reads_on_reads_what_is_verified(path: Path, nursery: trio.Nursery) -> None:
    """Every byte, in order, and the object is known to be good at the end."""
    body, stored = _opened(path, nursery)
    for offset in range(0, len(_content()), _BLOCK):
        assert await body.read(offset, _BLOCK) == _content()[offset : offset + _BLOCK]
    assert stored.verified
    body.close()


async def test_many_readers_wait_for_one_verification(path: Path, nursery: trio.Nursery) -> None:
    """Wherever they read, and whoever comes first."""
    body, _ = _opened(path, nursery)
    got: dict[int, bytes] = {}

    async def read(offset: int) -> None:
        got[offset] = bytes(await body.read(offset, 4096))

    async with trio.open_nursery() as readers:
        for offset in range(len(_content()) - 4096, 0, -PIECE_BYTES):
            readers.start_soon(read, offset)
    assert all(data == _content()[offset : offset + 4096] for offset, data in got.items())
    assert len(got) == 20


async def test_damage_is_told_to_whoever_reads_there_and_to_nobody_before(
    path: Path, nursery: trio.Nursery
) -> None:
    """What was verified ahead of it stays readable."""
    damaged_at = 15 * PIECE_BYTES + 7
    with path.open("r+b") as file:
        file.seek(damaged_at)
        file.write(bytes([_content()[damaged_at] ^ 1]))
    body, _ = _opened(path, nursery)
    for offset in range(0, 15 * PIECE_BYTES, _BLOCK):
        assert await body.read(offset, _BLOCK) == _content()[offset : offset + _BLOCK]
    for _ in range(2):
        with pytest.raises(Damaged):
            await body.read(15 * PIECE_BYTES, 1)
    assert await body.read(0, _BLOCK) == _content()[:_BLOCK]


async def test_a_change_after_verification_is_noticed(path: Path, nursery: trio.Nursery) -> None:
    """The file's times give it away."""
    body, stored = _opened(path, nursery)
    assert await body.read(0, len(_content())) == _content()
    assert stored.verified
    with path.open("r+b") as file:
        file.write(bytes([_content()[0] ^ 1]))
    os.utime(path, ns=(1, 1))
    with pytest.raises(Damaged):
        await body.read(0, 1)


async def test_reading_goes_on_while_everything_ends(path: Path) -> None:
    """Where no task can be started any more, the reader's own thread verifies."""
    async with trio.open_nursery() as nursery:
        body, _ = _opened(path, nursery)
    assert await body.read(5, 10) == _content()[5:15]
