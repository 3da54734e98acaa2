"""A store that hosts share is never waited for long, and never holds much."""

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
