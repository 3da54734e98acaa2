"""The cache directory, looked at and left alone."""

import os
from pathlib import Path

import pytest

from attachfs.access.checkup.findings import Outcome
from attachfs.access.checkup.storage import Storage
from attachfs.access.settings import Settings
from attachfs.content.store import Store
from tests.support.archives import sha256
from tests.support.checkups import Findings, examined, having
from tests.support.disks import fill, read_only, small_disk

_NOBODY = 65534


async def _looked_at(cache_dir: Path, **options: float) -> Findings:
    settings = Settings(
        url="https://archive.example",
        credentials=None,
        cache_dir=cache_dir,
        **options,  # type: ignore[arg-type]
    )
    return await examined(Storage(settings, limit_s=5).checks())


async def test_a_cache_need_not_be_there(tmp_path: Path) -> None:
    """It is not made either."""
    found = await _looked_at(tmp_path / "some" / "cache", cache_min_free_fraction=0)
    assert having(found, Outcome.OK) == ["cache", "disk", "objects", "leftovers"]
    assert found["cache"].found.endswith("is not there yet; the first mount makes it")
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nor does a task block for long


async def test_a_cache_must_be_ours_to_write(tmp_path: Path) -> None:
    """A file is none, nor is another user's; nor what others may change."""
    (tmp_path / "file").touch()
    other, shared = tmp_path / "other", tmp_path / "shared"
    other.mkdir()
    os.chown(other, _NOBODY, _NOBODY)
    for path, reason in (
        (tmp_path / "file", "Not a directory"),
        (tmp_path / "file" / "cache", "Not a directory"),
        (other, f"belongs to the user with id {_NOBODY}"),
    ):
        found = await _looked_at(path)
        assert having(found, Outcome.FAILED) == ["cache"]
        assert having(found, Outcome.SKIPPED) == ["disk", "objects", "leftovers"]
        assert reason in found["cache"].found
        assert (found["cache"].advice, found["cache"].exit_code) == (
            "give one of yours with --cache-dir",
            43,
        )
    shared.mkdir()
    shared.chmod(0o777)
    found = await _looked_at(shared)
    assert (found["cache"].outcome, found["cache"].advice) == (
        Outcome.FAILED,
        f"run: chmod go-w {shared}",
    )


@pytest.mark.mount
async def test_a_disk_that_takes_nothing_is_a_warning(tmp_path: Path) -> None:
    """Full or read-only: a mount goes on in memory."""
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        fill(disk)
        found = await _looked_at(disk)
    assert having(found, Outcome.WARNING) == ["cache", "disk"]
    assert "No space left on device" in found["cache"].found
    assert "goes on in memory" in found["cache"].advice
    assert found["disk"].found.startswith("0 B are free, less than the 51.2 KiB")
    assert "--cache-min-free (5%)" in found["disk"].advice
    (tmp_path / "cache").mkdir()
    with read_only(tmp_path / "cache"):
        found = await _looked_at(tmp_path / "cache", cache_min_free_fraction=0)
    assert "Read-only file system" in found["cache"].found
    assert having(found, Outcome.WARNING) == ["cache"]


async def test_objects_are_sampled(tmp_path: Path) -> None:
    """What is damaged is named, and stays; so does what a killed mount left."""
    store = Store(tmp_path / "objects", max_bytes=1 << 30, min_free_fraction=0)
    store.prepare()
    for content in (b"evidence", b"more"):
        store.put(content, sha256(content))
    options = {"cache_min_free_fraction": 0, "cache_size_bytes": 12}
    found = await _looked_at(tmp_path, **options)
    assert having(found, Outcome.OK) == ["cache", "disk", "objects", "leftovers"]
    assert found["objects"].found == "2 take 12 B of 12 B; 2 were verified, none is damaged"
    digest = sha256(b"more")
    damaged = tmp_path / "objects" / "sha256" / digest[:2] / digest[2:]
    damaged.write_bytes(b"mode")
    (tmp_path / "objects" / "drafts" / "left").touch()
    found = await _looked_at(tmp_path, **options)
    assert having(found, Outcome.WARNING) == ["objects", "leftovers"]
    assert f"1 are damaged: {digest}" in found["objects"].found
    assert "fetched again" in found["objects"].advice
    assert damaged.read_bytes() == b"mode"
    damaged.unlink()
    found = await _looked_at(tmp_path, cache_min_free_fraction=0, cache_size_bytes=5)
    assert found["objects"].found == "1 take 8 B of 5 B"
    assert "evicts" in found["objects"].advice
