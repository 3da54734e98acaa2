"""A store that hosts share is never waited for long, and never holds much."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from attachfs.content import shared as shared_module
from attachfs.content.shared import SharedStore
from attachfs.content.shared_folder import SharedFolder
from attachfs.content.store import Store
from attachfs.content.stored import RunningDigest, StoredBody


@contextmanager
def _hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have writes hang until the end of the block."""
    over = threading.Event()
    monkeypatch.setattr(SharedFolder, "put", lambda *_, **__: over.wait())
    try:
        yield
    finally:
        over.set()


def _body(tmp_path: Path, number: int) -> StoredBody:
    store = Store(tmp_path / "objects", max_bytes=1 << 30, min_free_fraction=0)
    store.prepare()
    content = number.to_bytes(4, "big")
    digest = RunningDigest()
    draft = store.create(len(content))
    draft.write(content, 0)
    digest.update(content)
    return store.keep(draft, digest)


def _shared(nursery: trio.Nursery, tmp_path: Path) -> SharedStore:
    return SharedStore(SharedFolder.at(str(tmp_path / "shared")), nursery)


@pytest.mark.parametrize("declared_bytes", [3, 5])
async def test_a_wrong_size_says_nothing_of_an_object(
    nursery: trio.Nursery, tmp_path: Path, declared_bytes: int
) -> None:
    """It is a miss, and the object is left as it is."""
    shared = _shared(nursery, tmp_path)
    store = Store(tmp_path / "local", max_bytes=1 << 30, min_free_fraction=0)
    store.prepare()
    digest = hashlib.sha256(b"data").hexdigest()
    shared.offer(digest, b"data")
    await shared.settle()
    assert await shared.get(digest, declared_bytes) is None
    assert await shared.fetch(digest, declared_bytes, store) is None
    assert await shared.get(digest, 4) == b"data"
    assert await shared.fetch(digest, 4, store) is not None


async def test_an_object_of_another_length_is_written_again(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Once its body has come from the archive."""
    shared = _shared(nursery, tmp_path)
    digest = hashlib.sha256(b"data").hexdigest()
    shared.offer(digest, b"dat")
    await shared.settle()
    assert await shared.get(digest, 4) is None
    shared.offer(digest, b"data")
    await shared.settle()
    assert await shared.get(digest, 4) == b"data"


async def test_nobody_waits_for_a_write_that_hangs(
    nursery: trio.Nursery,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: set[str],
) -> None:
    """What had been offered is not there then, which is said."""
    expected_warnings.add("the shared store is out of reach or slow")
    monkeypatch.setattr(shared_module, "_SETTLE_S", 0.2)
    shared = _shared(nursery, tmp_path)
    with _hung(monkeypatch), trio.fail_after(10):
        shared.offer("ab" * 32, b"data")
        await shared.settle()
    nursery.cancel_scope.cancel()


async def test_few_files_are_held_for_a_slow_store(
    nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that waits to be written is an open file."""
    shared = _shared(nursery, tmp_path)
    with _hung(monkeypatch):
        for number in range(100):
            shared.offer_stored(_body(tmp_path, number))
        assert shared._waiting_files == shared_module._MAX_WAITING_FILES
        nursery.cancel_scope.cancel()
