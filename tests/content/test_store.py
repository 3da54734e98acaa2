"""The disk store: kept, found, bounded, shared, and never in the way."""

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from attachfs import files
from attachfs.content import quota, stored_files
from attachfs.content import store as store_module
from attachfs.content.inspection import inspect
from attachfs.content.store import Store
from attachfs.content.stored import PIECE_BYTES, RunningDigest, StoredBody
from tests.support.archives import sha256
from tests.support.disks import read_only
from tests.support.locks import before_next_lock
from tests.support.oddities import ODDITIES, put_in_place
from tests.support.sessions import locked

_MIB = 1024 * 1024


def _store(root: Path, *, max_bytes: int = 100 * _MIB, min_free: float = 0.0) -> Store:
    store = Store(root, max_bytes=max_bytes, min_free_fraction=min_free)
    store.prepare()
    return store


def _content(number: int, size: int = _MIB) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


def _keep(store: Store, content: bytes) -> StoredBody:
    draft = store.create(len(content))
    running = RunningDigest()
    draft.write(content, 0)
    running.update(content)
    return store.keep(draft, running)


def _used(root: Path) -> int:
    return sum(
        path.stat().st_size for path in root.rglob("*") if path.parent.parent.name == "sha256"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a store may be."""
    return tmp_path / "cache" / "objects"


def test_what_was_kept_is_found_again(root: Path) -> None:
    """In this process and after a restart; what was not is not."""
    content = _content(1, 3 * PIECE_BYTES)
    store = _store(root)
    body = _keep(store, content)
    assert body.verified
    assert body.read(0, len(content)) == content
    for again in (store, _store(root)):
        found = again.find(sha256(content), len(content))
        assert found is not None
        assert found.read(5, 100) == content[5:105]
    assert store.find(sha256(b"other"), 5) is None
    assert store.get(sha256(b"other"), 5) is None


def test_small_bodies_are_put_and_got_whole(root: Path, expected_warnings: set[str]) -> None:
    """Verified each time."""
    expected_warnings.add("an object of the store is damaged")
    store = _store(root)
    store.put(b"evidence", sha256(b"evidence"))
    store.put(b"evidence", sha256(b"evidence"))
    assert store.get(sha256(b"evidence"), 8) == b"evidence"
    (path,) = [
        path for path in root.rglob("*") if path.is_file() and path.parent.parent.name == "sha256"
    ]
    path.write_bytes(b"evidencf")
    assert store.get(sha256(b"evidence"), 8) is None
    assert not path.exists()


def test_nobody_finds_a_body_whose_file_is_being_closed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing lets other threads run, one of which may look for the same."""
    store = _store(root)
    content = _content(1, 2 * PIECE_BYTES)
    body = _keep(store, content)
    found: list[StoredBody | None] = []
    close = os.close

    def find_and_close(descriptor: int) -> None:
        monkeypatch.setattr(os, "close", close)
        found.append(store.find(sha256(content), len(content)))
        close(descriptor)

    monkeypatch.setattr(os, "close", find_and_close)
    del body
    (other,) = found
    assert other is not None
    assert other.read(0, len(content)) == content


@pytest.mark.parametrize("size_bytes", [PIECE_BYTES // 2, PIECE_BYTES, 2 * PIECE_BYTES + 4])
@pytest.mark.parametrize("declared_bytes", [-1, 1, PIECE_BYTES, 2**42])
def test_a_wrong_size_is_a_miss_and_leaves_the_object(
    root: Path, size_bytes: int, declared_bytes: int
) -> None:
    """It is the declared size that is wrong: nothing is warned of."""
    store = _store(root)
    content = _content(1, size_bytes)
    _keep(store, content)
    for each in (store, _store(root)):
        assert each.find(sha256(content), max(0, size_bytes + declared_bytes)) is None
        assert each.get(sha256(content), max(0, size_bytes + declared_bytes)) is None
        body = each.find(sha256(content), size_bytes)
        assert body is not None
        assert body.read(0, size_bytes) == content


@pytest.mark.parametrize("size_bytes", [PIECE_BYTES // 2, 2 * PIECE_BYTES])
def test_an_object_that_was_cut_short_is_removed(
    root: Path, size_bytes: int, expected_warnings: set[str]
) -> None:
    """So that the next download takes its place."""
    expected_warnings.add("an object of the store is damaged")
    store = _store(root)
    content = _content(1, size_bytes)
    _keep(store, content)
    path = store._path(sha256(content))
    os.truncate(path, path.stat().st_size - 1)
    assert _store(root).find(sha256(content), size_bytes) is None
    assert not path.exists()


def test_a_damaged_object_that_cannot_be_removed_is_read_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that has become read-only: it is a miss from then on, until it is stored anew."""
    store = _store(root)
    content = _content(1, 1000)
    store.put(content, sha256(content))
    store._path(sha256(content)).write_bytes(bytes(1000))
    said: list[str] = []
    monkeypatch.setattr(
        "attachfs.content.store._log.warning", lambda event, **_: said.append(event)
    )
    with read_only(root):
        for _ in range(3):
            assert store.get(sha256(content), 1000) is None
    assert said == ["an object of the store is damaged, it is fetched again"]
    store.put(content, sha256(content))
    assert store.get(sha256(content), 1000) == content


def test_a_size_that_is_declared_and_never_comes_evicts_little(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is made as bytes come, and none where there is not enough for all of them."""
    monkeypatch.setattr(store_module, "_STEP_BYTES", _MIB)
    store = _store(root, max_bytes=16 * _MIB)
    for number in range(10):
        _keep(store, _content(number))
    draft = store.create(1 << 30)
    assert _used(root) == 10 * _MIB
    for number in range(4):
        draft.write(bytes(_MIB), number * _MIB)
    assert _used(root) == 10 * _MIB
    for number in range(4, 10):
        draft.write(bytes(_MIB), number * _MIB)
    assert 4 * _MIB <= _used(root) <= 6 * _MIB
    draft.drop()
    assert store.used_bytes() == _used(root)
    with pytest.raises(OSError, match="almost full"):
        store.create(1 << 60)
    assert _used(root) >= 4 * _MIB


def test_files_are_private(root: Path) -> None:
    """0700 and 0600: what a token may read, other users may not."""
    _keep(_store(root), _content(1))
    for path in (root, *root.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_bound_is_kept_and_the_oldest_goes(root: Path) -> None:
    """Never more than one object above it; what was used last stays."""
    store = _store(root, max_bytes=16 * _MIB)
    for number in range(64):
        _keep(store, _content(number))
        os.utime(store._path(sha256(_content(number))), ns=(0, number * 10**9))
        assert _used(root) <= 17 * _MIB
    assert store.find(sha256(_content(63)), _MIB) is not None
    assert _store(root).get(sha256(_content(0)), _MIB) is None


def test_one_that_is_larger_than_the_bound_is_let_in(root: Path) -> None:
    """It is gone with the next."""
    store = _store(root, max_bytes=2 * _MIB)
    big = _content(1, 8 * _MIB)
    assert _keep(store, big).read(0, 4) == big[:4]
    _keep(store, _content(2))
    assert _used(root) == _MIB


def test_what_was_found_lately_is_not_the_oldest(root: Path) -> None:
    """Finding counts as use."""
    store = _store(root, max_bytes=4 * _MIB)
    for number in range(4):
        _keep(store, _content(number))
        os.utime(store._path(sha256(_content(number))), ns=(0, number * 10**9))
    fresh = _store(root, max_bytes=4 * _MIB)
    assert fresh.get(sha256(_content(0)), _MIB) is not None
    _keep(fresh, _content(9))
    assert fresh.get(sha256(_content(0)), _MIB) is not None
    assert fresh.get(sha256(_content(1)), _MIB) is None


def test_free_space_is_left(root: Path) -> None:
    """A disk that is too full takes nothing, and what is there makes room first."""
    store = _store(root)
    _keep(store, _content(1))
    full = _store(root, min_free=1.0)
    with pytest.raises(OSError, match="almost full"):
        full.create(10)
    assert _used(root) == _MIB  # it would not be enough


def test_drafts_of_the_dead_are_removed(root: Path) -> None:
    """Those of the living are not."""
    store = _store(root)
    draft = store.create(10)
    (root / "drafts" / "orphan").write_bytes(b"x" * 100)
    _store(root)
    assert [path.name for path in (root / "drafts").iterdir()] == [draft._path.name]
    draft.drop()
    assert list((root / "drafts").iterdir()) == []


def test_a_draft_taken_for_an_orphan_is_made_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process starts between the making of one and its lock."""
    store = _store(root)
    before_next_lock(monkeypatch, lambda: _store(root))
    body = _keep(store, b"evidence")
    assert store.get(body.digest, len(b"evidence")) == b"evidence"
    assert list((root / "drafts").iterdir()) == []


def test_two_stores_share_a_directory(root: Path) -> None:
    """At once, from several threads, with every byte right and one bound."""
    stores = [_store(root, max_bytes=16 * _MIB) for _ in range(2)]
    wrong: list[int] = []

    def work(store: Store, first: int) -> None:
        for number in range(first, first + 40):
            content = _content(number % 50, 2 * _MIB)
            body = store.find(sha256(content), len(content)) or _keep(store, content)
            if body.read(0, len(content)) != content:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(stores[n % 2], n * 10)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert _used(root) <= (16 + 4 * 2) * _MIB + 64 * 1024


@pytest.mark.process
def test_what_cannot_be_removed_is_a_miss_all_the_same(
    root: Path, expected_warnings: set[str]
) -> None:
    """As on a disk that became read-only: whoever looks for it is not to find it for ever."""
    expected_warnings.add("is damaged")
    store = _store(root)
    content = _content(1, 2 * PIECE_BYTES)
    digest = sha256(content)
    _keep(store, content)
    with read_only(root):
        store.discard(digest, "damaged")
        assert store.find(digest, len(content)) is None
    _keep(store, content)
    assert store.find(digest, len(content)) is not None


def test_a_draft_that_is_kept_while_all_is_removed_is_no_trouble(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there when the directory is listed, and not when it is looked at."""
    store = _store(root)
    draft = store.create(10)
    (root / "drafts" / "orphan").write_bytes(b"x")
    stat = Path.stat

    def drop_and_stat(path: Path, **options: Any) -> os.stat_result:
        if path.name == draft._path.name:
            draft.drop()
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", drop_and_stat)
    files, _ = store.remove(time.time_ns())
    assert files == 1


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have locks given up at once; how long each would have been waited for."""
    asked: list[float] = []

    def impatient(descriptor: int, *, limit_s: float) -> bool:
        asked.append(limit_s)
        return files.lock(descriptor, limit_s=0)

    monkeypatch.setattr(quota, "lock", impatient)
    monkeypatch.setattr(stored_files, "lock", impatient)
    return asked


def test_a_held_ledger_is_waited_for_once_and_done_without(
    root: Path, pauses: list[float], expected_warnings: set[str]
) -> None:
    """Bodies are kept, found, dropped, evicted and removed; all is counted once it is let go."""
    expected_warnings.add("holds the lock of the cache")
    max_bytes = 10 * _MIB
    store = _store(root, max_bytes=max_bytes)
    _keep(store, _content(0))
    pauses.clear()
    with locked(root / "ledger"):
        assert _keep(store, _content(1, 2 * _MIB)).verified
        store.put(_content(2), sha256(_content(2)))
        store.create(_MIB).drop()
        assert store.get(sha256(_content(2)), _MIB) == _content(2)
        found = _store(root, max_bytes=max_bytes).find(sha256(_content(1, 2 * _MIB)), 2 * _MIB)
        assert found is not None
        for number in range(3, 20):
            _keep(store, _content(number))
        assert _used(root) <= max_bytes + _MIB
        assert store.remove(0) == (0, 0)
    ledger_waits = [pause for pause in pauses if pause > 0]
    drafts = 2 + 1 + 17
    assert len(ledger_waits) == drafts + 2  # one for each draft of its own, and once in each store
    _keep(store, _content(20))
    assert store.used_bytes() == _used(root)


def test_a_draft_that_another_holds_is_not_waited_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever took it for an orphan, and was stopped then, may have it."""
    monkeypatch.setattr(stored_files, "_LOCK_S", 0.01)
    store = _store(root)
    held = []

    def hold() -> None:
        (draft,) = (root / "drafts").iterdir()
        context = locked(draft)
        context.__enter__()
        held.append(context)

    before_next_lock(monkeypatch, hold)
    assert _keep(store, _content(1)).verified
    held[0].__exit__(None, None, None)
    assert list((root / "drafts").iterdir()) == []


@pytest.mark.parametrize("oddity", ODDITIES)
@pytest.mark.parametrize("size", [_MIB, 3 * _MIB])
def test_an_oddity_in_place_of_an_object_is_a_miss(
    root: Path, oddity: str, size: int, expected_warnings: set[str]
) -> None:
    """It is neither waited for nor in the way of others, of an inspection or of `cache clear`."""
    expected_warnings.add("is damaged")
    content = _content(1, size)
    digest = sha256(content)
    store = _store(root)
    _keep(store, content)
    again = _store(root)
    with put_in_place(root / "sha256" / digest[:2] / digest[2:], oddity):
        assert again.find(digest, size) is None
        assert again.get(digest, size) is None
        inspect(root, most_s=1)
        _keep(_store(root), _content(2))
        again.remove(2**62)
    _keep(again, content)
    assert _store(root).find(digest, size) is not None


@pytest.mark.parametrize("oddity", ODDITIES)
def test_an_oddity_among_drafts_or_for_a_ledger_is_an_error_at_most(
    root: Path, oddity: str
) -> None:
    """Which the mount does without; nothing is waited for."""
    store = _store(root)
    with put_in_place(root / "drafts" / "x", oddity):
        assert _keep(_store(root), _content(1)).verified
    with put_in_place(root / "ledger", oddity):
        assert store.used_bytes() == 0
        with pytest.raises(OSError, match=r"."):
            store.create(_MIB)
        with pytest.raises(OSError, match=r"."):
            store.prepare()
    assert store.find(sha256(_content(1)), _MIB) is not None


def test_processes_that_share_a_store_share_its_key(root: Path) -> None:
    """Made once, private, and made anew where something else is in its place."""
    content = _content(1, 3 * PIECE_BYTES)
    first = _store(root)
    _keep(first, content)
    key = root / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert _store(root).key == first.key
    body = _store(root).find(sha256(content), len(content))
    assert body is not None
    assert body.read(2 * PIECE_BYTES, 10) == content[:10]
    for oddity in (b"", b"short"):
        key.write_bytes(oddity)
        assert len(_store(root).key) == 32
        assert _store(root).key == _store(root).key
    assert list(root.glob("key-*")) == []


def test_without_its_key_an_object_is_a_miss(root: Path, expected_warnings: set[str]) -> None:
    """And fetched again."""
    expected_warnings.add("an object of the store is damaged")
    content = _content(1, 3 * PIECE_BYTES)
    _keep(_store(root), content)
    (root / "key").unlink()
    assert _store(root).find(sha256(content), len(content)) is None
    assert _used(root) == 0


def test_an_object_of_an_older_format_is_a_miss_without_a_word(root: Path) -> None:
    """It had a running SHA-256 behind it, which tells nothing of its middle alone."""
    content = _content(1, 3 * PIECE_BYTES)
    store = _store(root)
    _keep(store, content)
    path = store._path(sha256(content))
    ends = (PIECE_BYTES, 2 * PIECE_BYTES, 3 * PIECE_BYTES)
    path.write_bytes(content + b"".join(hashlib.sha256(content[:end]).digest() for end in ends))
    assert _store(root).find(sha256(content), len(content)) is None
    assert not path.exists()
