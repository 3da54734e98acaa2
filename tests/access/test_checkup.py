"""Checks are gone through to their end, whatever they do."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from attachfs.access.checkup.findings import (
    Check,
    Finding,
    Outcome,
    failed,
    in_thread,
    ok,
    skipped,
)
from attachfs.content.inspection import inspect
from attachfs.content.store import Store
from attachfs.content.stored import PIECE_BYTES, RunningDigest, body_size, trailer_size
from attachfs.errors import AttachfsError, Denied, MountFailed, NoFuseDevice
from tests.support.archives import sha256
from tests.support.checkups import examined


def _raising(error: Exception) -> Callable[[], Awaitable[Finding]]:
    async def check() -> Finding:
        raise error

    return check


async def _well() -> Finding:
    return ok("well")


async def _endless() -> Finding:
    await trio.sleep_forever()
    raise AssertionError


async def _needless() -> Finding:
    return skipped("not asked for")


async def test_what_depends_on_a_failure_is_skipped() -> None:
    """And what depends on that; what depends on a check that was not needed is made."""
    checks = (
        Check("fuse", _raising(NoFuseDevice("it is not there; run: modprobe fuse"))),
        Check("mount", _well, after=("fuse",)),
        Check("files", _well, after=("mount",)),
        Check("sharing", _needless),
        Check("others", _well, after=("sharing",)),
    )
    found = await examined(checks)
    assert found["fuse"] == Finding(Outcome.FAILED, "it is not there", "run: modprobe fuse", 40)
    assert found["mount"].found == "needs fuse"
    assert found["files"].found == "needs mount"
    assert found["others"].outcome is Outcome.OK


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (MountFailed("one; two; three"), Finding(Outcome.FAILED, "one; two", "three", 42)),
        (Denied("no"), Finding(Outcome.FAILED, "no", "", 1)),
    ],
)
def test_a_mistake_is_told_as_a_mount_would(error: AttachfsError, found: Finding) -> None:
    """The end of its sentence is what to do."""
    assert failed(error) == found
    assert failed(error, "help").advice == "help"


async def test_no_check_ends_the_others() -> None:
    """Neither by an error, whose text might hold a secret, nor by waiting for ever."""
    checks = (
        Check("wrong", _raising(RuntimeError("hunter2"))),
        Check("disk", _raising(OSError(5, "Input/output error"))),
        Check("endless", _endless),
        Check("well", in_thread(lambda: ok("well"))),
    )
    found = await examined(checks, longest_s=0.05)
    assert "RuntimeError" in found["wrong"].found
    assert "hunter2" not in str(found)
    assert "Input/output error" in found["disk"].found
    assert "did not end within 0.05 s" in found["endless"].found
    assert found["well"].outcome is Outcome.OK
    assert {check.exit_code for check in found.values()} == {0, 1}


def test_a_store_is_looked_at_and_left_alone(tmp_path: Path) -> None:
    """Objects are verified by their names and trailers, drafts by their locks."""
    assert inspect(tmp_path / "none", most_s=1).objects == 0
    store = Store(tmp_path, max_bytes=1 << 30, min_free_fraction=0)
    store.prepare()
    large = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"end"
    draft, digest = store.create(len(large)), RunningDigest()
    draft.write(large, 0)
    digest.update(large)
    store.keep(draft, digest)
    for content in (b"", b"small"):
        store.put(content, sha256(content))
    unfinished = store.create(10)
    well = inspect(tmp_path, most_s=60)
    assert (well.objects, well.verified, well.damaged, well.orphans) == (3, 3, (), 0)
    path = tmp_path / "sha256" / sha256(large)[:2] / sha256(large)[2:]
    with path.open("r+b") as file:
        file.seek(2 * PIECE_BYTES)
        file.write(b"x")
    (tmp_path / "drafts" / "left").write_bytes(b"x")
    bad = inspect(tmp_path, most_s=60)
    assert (bad.damaged, bad.orphans, bad.used_bytes) == ((sha256(large),), 1, well.used_bytes)
    assert path.exists()
    unfinished.drop()


@pytest.mark.parametrize("pieces", [0, 1, 2, 3, 40_000])
@pytest.mark.parametrize("beyond", [0, 1, 33, PIECE_BYTES - 1])
def test_a_file_of_the_store_tells_how_long_its_body_is(pieces: int, beyond: int) -> None:
    """Whatever trailer stands behind it."""
    size_bytes = pieces * PIECE_BYTES + beyond
    assert body_size(size_bytes + trailer_size(size_bytes)) == size_bytes
