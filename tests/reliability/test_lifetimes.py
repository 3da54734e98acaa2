"""What was read and kept, and is no longer what it was: each is refused within its lifetime."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.archives import sha256
from tests.support.evidence import attach
from tests.support.mounts import Mount, Steering, archive, environment, mount
from tests.support.outcomes import WELL, outcome, until
from tests.support.reliability import Row, record

__all__ = ["archive", "environment", "mount"]

pytestmark = pytest.mark.mount

_GROUP = "Lifetimes"
_METADATA_TTL_S = 2.0
_SCAN_TTL_S = 1.0
# Scans are believed for hours.
_SHORT_SCANS = f"""
from attachfs.catalog import infos
from attachfs.cli.app import main
infos._UNSCANNED_TTL_S = infos._SCANNED_TTL_S = {_SCAN_TTL_S}
main()
"""
# For what a machine that is busy takes to notice.
_MOMENT_S = 1.0


@pytest.fixture
def mounted(mount: Callable[..., Mount]) -> Mount:
    """A mount that believes what it was told for two seconds, and a scan for one."""
    lifetimes = ("--metadata-ttl", f"{_METADATA_TTL_S:g}s", "--negative-ttl", "0s")
    return mount(*lifetimes, program=("-c", _SHORT_SCANS))


def _refused_after_s(path: Path, errno: str) -> float:
    """Read until it is refused, and twice more; return how long it was not."""
    begun_s = time.monotonic()
    until(lambda: outcome(path.read_bytes) != WELL)
    refused_s = time.monotonic() - begun_s
    assert [outcome(path.read_bytes) for _ in range(2)] == [errno] * 2
    return refused_s


def _refused(fault: str, errno: str, refused_s: float, ttl_s: float) -> None:
    assert refused_s < ttl_s + _MOMENT_S
    outcome = f"right bytes until its lifetime of {ttl_s:g} s is over, then an error"
    record(Row(_GROUP, fault, "a file that was read before", 1, outcome, errno, refused_s))


def test_a_digest_that_has_become_another_is_refused(mounted: Mount, archive: Steering) -> None:
    """The bytes that are kept are no longer those that are recorded."""
    evidence = attach(archive.running, 5000)
    mounted.expected_warnings.add("SHA-256")
    path = mounted.path / evidence.path
    assert path.read_bytes() == evidence.content
    attributes = archive.record(evidence.directory)["attributes"]
    attributes["proof 0"]["arc_blob_hash_value"] = sha256(b"something else")
    archive.edit("assets", evidence.asset, attributes=attributes)
    refused_s = _refused_after_s(path, "EIO")
    _refused("the record names another digest", "EIO", refused_s, _METADATA_TTL_S)
    assert b"SHA-256" in os.getxattr(path, "user.archivist.last_error")


def test_what_turns_bad_after_it_was_kept_is_refused(mounted: Mount, archive: Steering) -> None:
    """By the scan policy, under its own name and any other, though the bytes are there."""
    evidence = attach(archive.running, 5000)
    mounted.expected_warnings.add("SCANNED_BAD")
    path = mounted.path / evidence.path
    assert path.read_bytes() == evidence.content
    archive.edit("blobs", path.name, scanned_status="SCANNED_BAD")
    refused_s = _refused_after_s(path, "EACCES")
    _refused("a scan finds it bad", "EACCES", refused_s, _METADATA_TTL_S)


@pytest.mark.parametrize("how", ["deny", "delete"])
def test_a_right_that_is_withdrawn_ends(mounted: Mount, archive: Steering, how: str) -> None:
    """Who may no longer see an asset may no longer read what is kept of it."""
    evidence = attach(archive.running, 5000)
    mounted.expected_warnings.add("the server answered 403")
    path = mounted.path / evidence.path
    assert path.read_bytes() == evidence.content
    archive.edit("assets", evidence.asset, **{how: True})
    errno = {"deny": "EACCES", "delete": "ENOENT"}[how]
    refused_s = _refused_after_s(path, errno)
    fault = {"deny": "the right to read is withdrawn", "delete": "the asset is deleted"}[how]
    _refused(fault, errno, refused_s, _METADATA_TTL_S)
