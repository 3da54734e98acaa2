"""What a cache directory keeps is seen, and removed, whoever uses it meanwhile."""

import fcntl
import os
import shutil
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import trio

from attachfs.access.kept import Removed, kept, remove, scratch
from attachfs.catalog import database
from attachfs.catalog.index import Index
from attachfs.catalog.index_files import Owner, sign
from attachfs.content import quota
from attachfs.content.store import Store
from attachfs.errors import CacheUnusable
from tests.support.archives import sha256
from tests.support.disks import read_only
from tests.support.locks import before_next_lock
from tests.support.oddities import ODDITIES, put_in_place
from tests.support.sessions import locked

_OWNER = Owner("https://archive.example", "an issuer/a subject")
_MONTH_S = 30 * 86400
_SECRET = b"a name that is to be forgotten" * 9
_EVERYTHING_S = 2.0**33


def _store(cache_dir: Path) -> Store:
    store = Store(cache_dir / "objects", max_bytes=1 << 20, min_free_fraction=0)
    store.prepare()
    return store


def _path(cache_dir: Path, data: bytes) -> Path:
    digest = sha256(data)
    return cache_dir / "objects" / "sha256" / digest[:2] / digest[2:]


def _age(path: Path, age_s: float) -> None:
    at_s = time.time() - age_s
    os.utime(path, (at_s, at_s))


def _index(cache_dir: Path, name: str = "one") -> Index:
    return Index.open(cache_dir / "index" / f"{name}.sqlite3")


def _fill(cache_dir: Path) -> None:
    """Keep two attachments and two entries, one of each for a month."""
    store = _store(cache_dir)
    for data in (b"old", b"young"):
        store.put(data, sha256(data))
    _age(_path(cache_dir, b"old"), _MONTH_S)
    with closing(_index(cache_dir)) as index:
        index.put(b"old", _SECRET, time.time() - _MONTH_S)
        index.put(b"young", b"value", time.time())
        sign(index, _OWNER, time.time())


def _bytes_in(cache_dir: Path) -> bytes:
    files = [path for path in cache_dir.rglob("*") if path.is_file() and path.name != "key"]
    return b"".join(path.read_bytes() for path in files)


def test_a_cache_that_is_not_there_keeps_nothing(tmp_path: Path) -> None:
    """Nor is it made."""
    missing = tmp_path / "cache"
    assert kept(missing) == ({}, 0, [], [])
    assert remove(missing, _EVERYTHING_S) == (0, 0, 0)
    assert not missing.exists()
    missing.touch()
    with pytest.raises(CacheUnusable, match="Not a directory"):
        kept(missing)


def test_what_is_kept_is_seen(tmp_path: Path) -> None:
    """Objects by their digests, with sizes and times, and whose each index is."""
    _fill(tmp_path)
    found = kept(tmp_path)
    assert {digest: file.size_bytes for digest, file in found.objects.items()} == {
        sha256(b"old"): 3,
        sha256(b"young"): 5,
    }
    ages_s = {
        data: time.time() - found.objects[sha256(data)].used_ns / 1e9 for data in (b"old", b"young")
    }
    assert ages_s[b"old"] == pytest.approx(_MONTH_S, abs=60)
    assert ages_s[b"young"] == pytest.approx(0, abs=60)
    (index,) = found.indexes
    assert (index.entries, index.owner) == (2, _OWNER)
    assert index.size_bytes > len(_SECRET)
    assert index.written_s == pytest.approx(time.time(), abs=60)


def test_all_of_it_is_removed(tmp_path: Path) -> None:
    """With the files of indexes that nobody uses, and the count of bytes is right after it."""
    _fill(tmp_path)
    assert remove(tmp_path, _EVERYTHING_S) == Removed(2, 8, 2)
    assert kept(tmp_path) == ({}, 0, [], [])
    assert _bytes_in(tmp_path).strip(b"0") == b""  # what is left is the ledger, and a key
    assert _store(tmp_path).used_bytes() == 0


def test_what_was_used_lately_stays(tmp_path: Path) -> None:
    """Where only older things are to go; and of those nothing is left on the disk."""
    _fill(tmp_path)
    assert remove(tmp_path, time.time() - _MONTH_S / 2) == Removed(1, 3, 1)
    found = kept(tmp_path)
    assert list(found.objects) == [sha256(b"young")]
    assert [(index.entries, index.owner) for index in found.indexes] == [(1, _OWNER)]
    assert _SECRET[:100] not in _bytes_in(tmp_path)
    assert _store(tmp_path).used_bytes() == 5
    with closing(_index(tmp_path)) as index:
        entry = index.get(b"young")
        assert entry is not None
        assert entry.value == b"value"


async def test_an_index_in_use_is_emptied_and_goes_on(tmp_path: Path) -> None:
    """Its mount asks again; the file stays its own."""
    _fill(tmp_path)
    async with trio.open_nursery() as nursery:
        with closing(_index(tmp_path)) as index:
            index.start(nursery)
            assert index.get(b"old") is not None
            removed = await trio.to_thread.run_sync(remove, tmp_path, _EVERYTHING_S)
            assert removed.entries == 2
            assert (index.get(b"old"), index.get(b"young")) == (None, None)
            assert _SECRET[:100] not in _bytes_in(tmp_path)
            index.put(b"new", b"value", time.time())
            await index.settle()
            assert index.persistent
    (file,) = kept(tmp_path).indexes
    assert (file.entries, file.owner) == (1, _OWNER)


def test_an_object_that_is_open_is_read_to_its_end(tmp_path: Path) -> None:
    """Whoever found it has it; nobody finds it after."""
    store = _store(tmp_path)
    store.put(b"evidence", sha256(b"evidence"))
    body = store.find(sha256(b"evidence"), 8)
    assert body is not None
    assert remove(tmp_path, _EVERYTHING_S).files == 1
    body.verify(0, 8)
    assert body.read(0, 8) == b"evidence"
    del body
    assert store.find(sha256(b"evidence"), 8) is None


def test_a_download_under_way_is_left_alone(tmp_path: Path) -> None:
    """One whose process has ended is removed."""
    store = _store(tmp_path)
    draft = store.create(100)
    (tmp_path / "objects" / "drafts" / "orphan").write_bytes(bytes(50))
    assert kept(tmp_path).drafts == 2
    assert remove(tmp_path, _EVERYTHING_S) == Removed(1, 50, 0)
    assert kept(tmp_path).drafts == 1
    assert store.used_bytes() == 100
    draft.drop()
    assert store.used_bytes() == 0


def test_a_damaged_index_goes_with_all_else(tmp_path: Path) -> None:
    """And stays, where only older things go, as long as it is not old itself."""
    _fill(tmp_path)
    path = tmp_path / "index" / "one.sqlite3"
    path.write_bytes(b"no database at all" * 1000)
    (index,) = kept(tmp_path).indexes
    assert (index.entries, index.owner) == (None, Owner())
    with pytest.raises(CacheUnusable, match="cannot be emptied"):
        remove(tmp_path, time.time() - _MONTH_S)
    assert remove(tmp_path, _EVERYTHING_S).entries == 0
    assert not path.exists()


def test_an_index_that_others_write_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for forever."""
    monkeypatch.setattr("attachfs.catalog.index_files._BUSY_S", 0.01)
    _fill(tmp_path)
    with closing(
        sqlite3.connect(tmp_path / "index" / "one.sqlite3", isolation_level=None)
    ) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CacheUnusable, match="database is locked; try again"):
            remove(tmp_path, _EVERYTHING_S)


def test_a_scratch_cache_goes_with_its_user(tmp_path: Path) -> None:
    """One in use is no leftover; one whose user was killed is seen, and removed."""
    with scratch(tmp_path) as directory:
        _fill(directory)
        assert kept(tmp_path).leftovers == []
        remove(tmp_path, _EVERYTHING_S)
        assert len(kept(directory).objects) == 2
        shutil.copytree(directory, tmp_path / "refetch-killed")
    assert not directory.exists()
    assert kept(tmp_path).leftovers == [tmp_path / "refetch-killed"]
    remove(tmp_path, _EVERYTHING_S)
    assert list(tmp_path.glob("refetch-*")) == []


def test_a_scratch_cache_taken_for_abandoned_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody clears the cache between the making of one and its lock."""
    before_next_lock(monkeypatch, lambda: remove(tmp_path, _EVERYTHING_S))
    with scratch(tmp_path) as directory:
        _fill(directory)
        assert kept(tmp_path).leftovers == []
    assert list(tmp_path.glob("refetch-*")) == []


@pytest.mark.process
def test_a_scratch_cache_wants_to_be_written(tmp_path: Path) -> None:
    """Where nothing can be, the error says what to do."""
    tmp_path.joinpath("cache").mkdir()
    with (
        read_only(tmp_path / "cache"),
        pytest.raises(CacheUnusable, match="--cache-dir"),
        scratch(tmp_path / "cache"),
    ):
        pass


def test_what_a_stopped_process_holds_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected_warnings: set[str]
) -> None:
    """Attachments go all the same; of the index, the error says what to do."""
    expected_warnings.add("holds the lock of the cache")
    monkeypatch.setattr(quota, "_LOCK_S", 0.01)
    monkeypatch.setattr(database, "_LOCK_S", 0.01)
    _fill(tmp_path)
    directory = os.open(tmp_path / "index", os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    with (
        locked(tmp_path / "objects" / "ledger"),
        pytest.raises(CacheUnusable, match="may be stopped; let it go on, or end it"),
    ):
        remove(tmp_path, _EVERYTHING_S)
    assert kept(tmp_path).objects == {}
    os.close(directory)
    assert remove(tmp_path, _EVERYTHING_S).entries == 2


@pytest.mark.parametrize("oddity", ODDITIES)
def test_oddities_are_neither_shown_nor_waited_for(tmp_path: Path, oddity: str) -> None:
    """Wherever a file is expected; what is in good order beside them is seen, and removed."""
    _fill(tmp_path)
    with ExitStack() as stack:
        for path in (
            _path(tmp_path, b"old"),
            tmp_path / "objects" / "drafts" / "x",
            tmp_path / "index" / "odd.sqlite3",
            tmp_path / "refetch-x",
        ):
            stack.enter_context(put_in_place(path, oddity))
        found = kept(tmp_path)
        assert sha256(b"young") in found.objects
        assert [index.path.name for index in found.indexes] == ["one.sqlite3"]
        assert remove(tmp_path, _EVERYTHING_S).entries == 2
    assert kept(tmp_path).objects == {}
