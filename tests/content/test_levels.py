"""The stores below memory: looked into in their order, and never a reason to fail."""

from pathlib import Path

import pytest
import structlog
import trio

from attachfs.content.levels import Levels
from attachfs.content.served import Served
from attachfs.content.shared import SharedStore
from attachfs.content.shared_folder import SharedFolder
from attachfs.content.store import Store
from attachfs.content.stored import RunningDigest
from attachfs.content.verification import Expected
from attachfs.errors import Mismatch
from tests.support.archives import sha256
from tests.support.disks import read_only

_SMALL = b"evidence"
_LARGE = bytes(3_000_000)


def _expected(content: bytes) -> Expected:
    return Expected(len(content), (sha256(content),), None)


def _store(root: Path) -> Store:
    store = Store(root, max_bytes=1 << 30, min_free_fraction=0)
    store.prepare()
    return store


def _shared(nursery: trio.Nursery, tmp_path: Path) -> SharedStore:
    folder = tmp_path / "shared"
    folder.mkdir(exist_ok=True)
    return SharedStore(SharedFolder.at(str(folder)), nursery)


async def _keep(levels: Levels, content: bytes) -> bool:
    draft = await levels.draft(len(content))
    assert draft is not None
    digest = RunningDigest()
    draft.write(content, 0)
    digest.update(content)
    return await levels.keep(draft, digest, trio.CapacityLimiter(1))


async def test_without_stores_everything_is_a_miss(nursery: trio.Nursery) -> None:
    """And what was fetched is verified all the same."""
    levels = Levels(None, None, nursery, Served())
    expected = _expected(_SMALL)
    assert levels.max_bytes == 0
    assert await levels.draft(1) is None
    assert await levels.small(expected, expected.digest()) is None
    assert await levels.large(expected.digest(), len(_SMALL)) is None
    assert not await levels.holds(expected.digest(), len(_SMALL))
    await levels.accept(_SMALL, expected, expected.digest())
    with pytest.raises(Mismatch):
        await levels.accept(b"other by", expected, expected.digest())


async def test_the_disk_comes_before_what_hosts_share(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """What one host fetched, the next has from the folder, and after that from its disk."""
    small, large = _expected(_SMALL), _expected(_LARGE)
    shared = _shared(nursery, tmp_path)
    one = Levels(_store(tmp_path / "one"), shared, nursery, Served())
    await one.accept(_SMALL, small, small.digest())
    assert await _keep(one, _LARGE)
    assert await one.holds(large.digest(), len(_LARGE))
    await shared.settle()
    served = Served()
    other = Levels(_store(tmp_path / "other"), _shared(nursery, tmp_path), nursery, served)
    for _ in range(2):
        assert await other.small(small, small.digest()) == _SMALL
        stored = await other.large(large.digest(), len(_LARGE))
        assert stored is not None
        assert stored.read(0, len(_LARGE)) == _LARGE
    assert (served.shared_store, served.disk) == (2, 2)


@pytest.mark.process
async def test_a_disk_in_trouble_is_told_once(
    nursery: trio.Nursery,
    tmp_path: Path,
    expected_warnings: set[str],
    quiet_log: list[structlog.typing.EventDict],
) -> None:
    """Nothing is kept, nothing fails, and the log has one line."""
    expected_warnings.add("the cache directory is of no use")
    levels = Levels(_store(tmp_path / "cache"), None, nursery, Served())
    expected = _expected(_SMALL)
    with read_only(tmp_path / "cache"):
        await levels.accept(_SMALL, expected, expected.digest())
        assert await levels.draft(len(_LARGE)) is None
    assert await levels.small(expected, expected.digest()) is None
    assert len(quiet_log) == 1
