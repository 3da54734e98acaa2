"""What was read and kept, and is no longer what it was: each is refused within its lifetime."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.archives import sha256
from tests.support.clocks import Clocks
from tests.support.evidence import attach
from tests.support.mounts import Mount, Steering, archive, clocks, environment, mount
from tests.support.outcomes import WELL, outcome
from tests.support.reliability import Row, record

__all__ = ["archive", "clocks", "environment", "mount"]

pytestmark = pytest.mark.mount

_GROUP = "Lifetimes"
_METADATA_TTL_S = 60.0  # the default
_SCAN_TTL_S = 3600.0  # of what was not scanned (`catalog/infos.py`)


@pytest.fixture
def mounted(mount: Callable[..., Mount], clocks: Clocks) -> Mount:
    """A mount with the lifetimes that it has by default, but for refusals."""
    return mount("--negative-ttl", "0s", program=clocks.program())


def _refused(
    clocks: Clocks, fault: str, path: Path, errno: str, ttl_s: float = _METADATA_TTL_S
) -> None:
    """Read to the end of the lifetime, and beyond, where it is refused each time."""
    clocks.advance(ttl_s - 1)
    assert outcome(path.read_bytes) == WELL
    clocks.advance(1)
    assert [outcome(path.read_bytes) for _ in range(3)] == [errno] * 3
    ended = f"right bytes until its lifetime of {ttl_s:g} s is over, then an error"
    record(Row(_GROUP, fault, "a file that was read before", 1, ended, errno, ttl_s))


def test_a_digest_that_has_become_another_is_refused(
    mounted: Mount, archive: Steering, clocks: Clocks
) -> None:
    """The bytes that are kept are no longer those that are recorded."""
    evidence = attach(archive.running, 5000)
    mounted.expected_warnings.add("SHA-256")
    path = mounted.path / evidence.path
    assert path.read_bytes() == evidence.content
    attributes = archive.record(evidence.directory)["attributes"]
    attributes["proof 0"]["arc_blob_hash_value"] = sha256(b"something else")
    archive.edit("assets", evidence.asset, attributes=attributes)
    _refused(clocks, "the record names another digest", path, "EIO")
    assert b"SHA-256" in os.getxattr(path, "user.archivist.last_error")


def test_what_turns_bad_after_it_was_kept_is_refused(
    mounted: Mount, archive: Steering, clocks: Clocks
) -> None:
    """By the scan policy, under its own name and any other, though the bytes are there."""
    evidence = attach(archive.running, 5000)
    mounted.expected_warnings.add("SCANNED_BAD")
    path = mounted.path / evidence.path
    assert path.read_bytes() == evidence.content
    archive.edit("blobs", path.name, scanned_status="SCANNED_BAD")
    _refused(clocks, "a scan finds it bad", path, "EACCES", _SCAN_TTL_S)


@pytest.mark.parametrize("how", ["deny", "delete"])
def test_a_right_that_is_withdrawn_ends(
    mounted: Mount, archive: Steering, clocks: Clocks, how: str
) -> None:
    """Who may no longer see an asset may no longer read what is kept of it."""
    evidence = attach(archive.running, 5000)
    mounted.expected_warnings.add("the server answered 403")
    path = mounted.path / evidence.path
    assert path.read_bytes() == evidence.content
    archive.edit("assets", evidence.asset, **{how: True})
    errno = {"deny": "EACCES", "delete": "ENOENT"}[how]
    fault = {"deny": "the right to read is withdrawn", "delete": "the asset is deleted"}[how]
    _refused(clocks, fault, path, errno)
