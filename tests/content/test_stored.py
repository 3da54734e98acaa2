"""Objects of the store, verified piece by piece before they are believed."""

import os
from pathlib import Path
from threading import Thread

import pytest
from blake3 import blake3

from attachfs.content.stored import (
    PIECE_BYTES,
    Damaged,
    StoredBody,
    trailer_of,
    trailer_size,
)
from tests.support.archives import sha256

_KEY = bytes(range(32))
_CONTENT = os.urandom(3 * PIECE_BYTES + 12345)


def _write(path: Path, content: bytes = _CONTENT) -> Path:
    path.write_bytes(content)
    with path.open("r+b") as file:
        trailer = trailer_of(file.fileno(), len(content), sha256(content), _KEY)
        os.pwrite(file.fileno(), trailer, len(content))
    return path


def _open(path: Path, content: bytes = _CONTENT, *, key: bytes = _KEY) -> StoredBody:
    return StoredBody(os.open(path, os.O_RDONLY), sha256(content), len(content), key)


@pytest.mark.parametrize(
    "size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES]
)
def test_a_trailer_holds_the_digest_of_each_piece_and_a_seal(tmp_path: Path, size: int) -> None:
    """Nothing where there is but one."""
    content = _CONTENT[:size]
    trailer = _write(tmp_path / "object", content).read_bytes()[size:]
    begins = range(0, size, PIECE_BYTES) if size > PIECE_BYTES else []
    pieces = [blake3(content[at : at + PIECE_BYTES], key=_KEY).digest() for at in begins]
    assert trailer[: len(pieces) * 32] == b"".join(pieces)
    assert len(trailer) == trailer_size(size)


@pytest.mark.parametrize("size", [1, PIECE_BYTES, PIECE_BYTES + 1, len(_CONTENT)])
def test_a_good_object_is_read_at_every_position(tmp_path: Path, size: int) -> None:
    """From its start, from its end, and over it."""
    content = _CONTENT[:size]
    body = _open(_write(tmp_path / "object", content), content)
    for offset in (size - 1, 0, size // 2, size, size + 5):
        assert body.read(offset, 100) == content[offset : offset + 100]
    assert body.read(0, size + 10) == content
    assert body.verified


def test_nothing_is_handed_out_at_once_before_it_is_verified(tmp_path: Path) -> None:
    """And what is verified is, as long as the page cache has it."""
    body = _open(_write(tmp_path / "object"))
    assert body.read_now(0, 10) is None
    assert body.read(0, 10) == _CONTENT[:10]
    assert body.read_now(0, 10) == _CONTENT[:10]
    assert body.read_now(PIECE_BYTES - 1, 2) is None


@pytest.mark.parametrize("position", [0, PIECE_BYTES, 2 * PIECE_BYTES + 7, len(_CONTENT) - 1])
def test_a_flipped_byte_is_never_served(tmp_path: Path, position: int) -> None:
    """What stands before its piece and behind it is."""
    path = _write(tmp_path / "object")
    _flip(path, position)
    body = _open(path)
    with pytest.raises(Damaged):
        body.read(position, 1)
    good = position // PIECE_BYTES * PIECE_BYTES
    assert body.read(0, good) == _CONTENT[:good]
    behind = good + PIECE_BYTES
    assert body.read(behind, len(_CONTENT)) == _CONTENT[behind:]
    assert not body.verified


def _flip(path: Path, position: int) -> None:
    """Change one bit."""
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("position", [0, 31, 32, 127, 128, 159])
def test_a_flipped_byte_of_the_trailer_is_damage(tmp_path: Path, position: int) -> None:
    """Of the digests of pieces, and of their seal."""
    path = _write(tmp_path / "object")
    assert trailer_size(len(_CONTENT)) == 160
    _flip(path, len(_CONTENT) + position)
    with pytest.raises(Damaged):
        _open(path)


def test_a_trailer_of_another_key_is_damage(tmp_path: Path) -> None:
    """Who can write objects and does not know the key cannot make one that is believed."""
    path = _write(tmp_path / "object")
    with pytest.raises(Damaged):
        _open(path, key=bytes(32))


def test_a_trailer_of_another_body_is_damage(tmp_path: Path) -> None:
    """An object in the place of another one is not that."""
    path = _write(tmp_path / "object")
    other = bytes(len(_CONTENT))
    with pytest.raises(Damaged):
        _open(path, other)


def test_pieces_are_verified_in_any_order(tmp_path: Path) -> None:
    """Only those that are read are looked at."""
    path = _write(tmp_path / "object")
    _flip(path, 0)
    body = _open(path)
    seen: list[int] = []
    body.verify(2 * PIECE_BYTES, len(_CONTENT), on_piece=lambda: seen.append(1))
    assert len(seen) == 2
    assert body.is_verified(2 * PIECE_BYTES, len(_CONTENT))
    assert not body.is_verified(PIECE_BYTES, 2 * PIECE_BYTES)
    at = 3 * PIECE_BYTES - 5
    assert body.read_now(at, 10) == _CONTENT[at : at + 10]


def test_threads_verify_together(tmp_path: Path) -> None:
    """Each piece counts once, and the last one tells that all are verified."""
    whole: list[StoredBody] = []
    path = _write(tmp_path / "object")
    descriptor = os.open(path, os.O_RDONLY)
    body = StoredBody(descriptor, sha256(_CONTENT), len(_CONTENT), _KEY, on_verified=whole.append)
    threads = [Thread(target=body.verify, args=(0, len(_CONTENT))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert body.verified
    assert whole == [body]


def test_a_byte_flipped_after_the_verification_is_never_served(tmp_path: Path) -> None:
    """Whatever writes to the file shows in its times."""
    path = _write(tmp_path / "object")
    body = _open(path)
    assert body.read(0, len(_CONTENT)) == _CONTENT
    before = path.stat()
    with path.open("r+b") as file:
        file.write(bytes([_CONTENT[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # its ctime tells all the same
    assert body.read_now(0, 1) is None
    with pytest.raises(Damaged):
        body.read(0, 1)


@pytest.mark.parametrize("change", [b"", b"x", _CONTENT])
def test_another_size_is_damage(tmp_path: Path, change: bytes) -> None:
    """Cut short, or with something behind it."""
    path = tmp_path / "object"
    path.write_bytes(change)
    with pytest.raises(Damaged):
        _open(path)


def test_an_evicted_object_stays_readable(tmp_path: Path) -> None:
    """Its readers keep it; nobody else can find it."""
    path = _write(tmp_path / "object")
    body = _open(path)
    body.read(0, 10)
    path.unlink()
    assert body.read(0, len(_CONTENT)) == _CONTENT


def test_a_body_is_closed_with_its_last_reader(tmp_path: Path) -> None:
    """No descriptor is left."""
    descriptor = os.open(_write(tmp_path / "object"), os.O_RDONLY)
    body = StoredBody(descriptor, sha256(_CONTENT), len(_CONTENT), _KEY)
    del body
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
