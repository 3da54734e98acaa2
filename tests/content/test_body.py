"""Verified bodies, read by position."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.content.body import Body, FileBody, MemoryBody
from attachfs.errors import Stale

_CONTENT = bytes(range(256)) * 40


def _in_file(content: bytes) -> FileBody:
    descriptor = os.memfd_create("body")
    os.write(descriptor, content)
    return FileBody(descriptor, len(content))


@given(offset=st.integers(0, 12_000), size=st.integers(0, 12_000))
def test_both_kinds_read_alike_at_every_position(offset: int, size: int) -> None:
    """All bytes asked for, fewer only at the end, none behind it."""
    for body in (MemoryBody(_CONTENT), _in_file(_CONTENT)):
        assert body.read(offset, size) == _CONTENT[offset : offset + size]


@pytest.mark.parametrize("make", [MemoryBody, _in_file])
def test_an_empty_body_has_nothing_to_read(make: type[MemoryBody]) -> None:
    """At no position."""
    body: Body = make(b"")
    assert body.read(0, 10) == b""
    assert body.read(10, 10) == b""


def test_the_length_of_a_body_in_memory_is_its_bytes() -> None:
    """It is what the cache counts."""
    assert len(MemoryBody(_CONTENT)) == len(_CONTENT)


def test_a_file_cut_short_is_an_error_and_never_a_short_read(tmp_path: Path) -> None:
    """A short answer would shrink the file in the kernel."""
    path = tmp_path / "body"
    path.write_bytes(_CONTENT)
    body = FileBody(os.open(path, os.O_RDONLY), len(_CONTENT))
    os.truncate(path, 100)
    assert body.read(0, 100) == _CONTENT[:100]
    for offset, size in [(0, 101), (99, 2), (100, 1), (5000, 10)]:
        with pytest.raises(Stale):
            body.read(offset, size)


def test_a_file_is_closed_with_its_last_reader() -> None:
    """Nothing else frees the space of a file without name."""
    body = _in_file(_CONTENT)
    descriptor = body._descriptor
    os.fstat(descriptor)
    del body
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
