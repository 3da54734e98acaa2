"""Objects of the store, verified piece by piece before they are believed."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attachfs.content.stored import (
    PIECE_BYTES,
    Damaged,
    RunningDigest,
    StoredBody,
    trailer_size,
)
from tests.support.archives import sha256

_CONTENT = os.urandom(3 * PIECE_BYTES + 12345)


def _write(path: Path, content: bytes = _CONTENT) -> Path:
    running = RunningDigest()
    running.update(content)
    path.write_bytes(content + running.trailer())
    return path


def _open(path: Path, content: bytes = _CONTENT) -> StoredBody:
    return StoredBody(os.open(path, os.O_RDONLY), sha256(content), len(content))


@given(
    size=st.sampled_from([0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES]),
    cut=st.integers(1, 2 * PIECE_BYTES),
)  # fmt: skip
@settings(max_examples=30)
def test_a_running_digest_is_the_same_however_a_body_is_cut(size: int, cut: int) -> None:
    """Its trailer holds the digest at the end of each piece, none for a single one."""
    content = _CONTENT[:size]
    running = RunningDigest()
    for begin in range(0, size, cut):
        running.update(content[begin : begin + cut])
    assert running.hexdigest() == sha256(content)
    ends = [*range(PIECE_BYTES, size, PIECE_BYTES), size] if size > PIECE_BYTES else []
    digests = [hashlib.sha256(content[:end]).digest() for end in ends]
    assert running.trailer() == b"".join(digests)
    assert len(running.trailer()) == trailer_size(size)


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
    """What stands before its piece is."""
    path = _write(tmp_path / "object")
    with path.open("r+b") as file:
        file.seek(position)
        file.write(bytes([_CONTENT[position] ^ 1]))
    body = _open(path)
    with pytest.raises(Damaged):
        body.read(position, 1)
    good = position // PIECE_BYTES * PIECE_BYTES
    assert body.read(0, good) == _CONTENT[:good]
    assert not body.verified


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
    body = StoredBody(descriptor, sha256(_CONTENT), len(_CONTENT))
    del body
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
