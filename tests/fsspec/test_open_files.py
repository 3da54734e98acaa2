"""An open file of the archive is read as Python reads one of its own."""

import gzip
import io
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from attachfs.demo.launch import ArchiveConfig
from attachfs.fsspec import ArchivistFileSystem
from tests.conftest import serving
from tests.fsspec.conftest import options_of
from tests.support.estates import Estate

_LINES = "".join(f"{number} für alle\r\n" * (number % 3) + "\n\rx" for number in range(2000))
_BYTES = _LINES.encode() + Random(2).randbytes(30_000)  # noqa: S311 - no secret
_STEPS = 100


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[ArchivistFileSystem, Estate]]:
    """An archive for all tests here."""
    tmp_path = tmp_path_factory.mktemp("open")
    with serving(ArchiveConfig(empty=True)) as running:
        options = options_of(running) | {"cache_dir": str(tmp_path / "cache")}
        yield ArchivistFileSystem(**options), Estate(running, tmp_path)


def _into(file: Any, count: int) -> tuple[int, bytes]:
    buffer = bytearray(count)
    return file.readinto(buffer), bytes(buffer)


_CALLS: tuple[Callable[[Any, int], Any], ...] = (
    lambda file, count: file.read(count),
    _into,
    lambda file, _: file.readline(),
    lambda file, _: next(iter(file), None),
    lambda file, count: file.seek(count * 3),
    lambda file, count: file.seek(-min(count, len(_BYTES)), io.SEEK_END),
    lambda file, count: file.seek(count, io.SEEK_CUR),
    lambda file, count: file.read() if count < 100 else file.tell(),
)


@pytest.mark.parametrize(
    "cache_type", ["readahead", "none", "bytes", "blockcache", "all", "first", "background"]
)
@pytest.mark.parametrize("block_size", [1000, None])
def test_in_any_order(
    filled: tuple[ArchivistFileSystem, Estate], cache_type: str, block_size: int | None
) -> None:
    """By pieces and lines, forwards and backwards and beyond the end."""
    fs, estate = filled
    path = estate.one(_BYTES).path
    chance = Random(3)  # noqa: S311 - no secret
    with fs.open(path, cache_type=cache_type, block_size=block_size) as file:
        pythons = io.BytesIO(_BYTES)
        for _ in range(_STEPS):
            call, count = chance.choice(_CALLS), int(10 ** chance.uniform(0, 5)) - 1
            assert call(file, count) == call(pythons, count)
            assert file.tell() == pythons.tell()
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        file.seek(0)
        assert file.readlines() == io.BytesIO(_BYTES).readlines()
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


@pytest.mark.parametrize("newline", [None, "", "\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_as_text(
    filled: tuple[ArchivistFileSystem, Estate], encoding: str, newline: str | None
) -> None:
    """In an encoding, with ends of lines as they are or as Python has them."""
    fs, estate = filled
    content = _LINES.encode(encoding)
    path = estate.one(content).path
    wanted = io.TextIOWrapper(io.BytesIO(content), encoding=encoding, newline=newline).read()
    for mode in ("r", "rt"):
        with fs.open(path, mode, encoding=encoding, newline=newline) as text:
            assert text.read() == wanted
    with fs.open(path, "r", encoding=encoding, newline=newline) as text:
        assert "".join(text) == wanted
    assert fs.read_text(path, encoding=encoding, newline=newline) == wanted


def test_what_is_no_text(filled: tuple[ArchivistFileSystem, Estate]) -> None:
    """It is an error, or replaced, as is asked for."""
    fs, estate = filled
    path = estate.one(b"S\xfcd").path
    with pytest.raises(UnicodeDecodeError):
        fs.read_text(path, encoding="utf-8")
    assert fs.read_text(path, encoding="utf-8", errors="replace") == "S\ufffdd"


def test_what_is_compressed(filled: tuple[ArchivistFileSystem, Estate]) -> None:
    """As bytes and as text."""
    fs, estate = filled
    path = estate.one(gzip.compress(_BYTES)).path
    with fs.open(path, compression="gzip") as file:
        assert file.read() == _BYTES
    path = estate.one(gzip.compress(_LINES.encode())).path
    with fs.open(path, "rt", compression="gzip", encoding="utf-8", newline="") as text:
        assert text.read() == _LINES
