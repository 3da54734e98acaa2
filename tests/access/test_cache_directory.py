"""Who owns the cache directory, and what is in place of the directories in it."""

import os
from pathlib import Path

import pytest

from attachfs.access.cache_directory import make_cache, require_own
from attachfs.access.kept import kept, remove
from attachfs.content.store import Store
from attachfs.errors import CacheUnusable

_NOBODY = 65534
_DIRECTORIES = ("objects", "objects/sha256", "objects/drafts", "index")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Return a cache directory with everything in it that attachfs makes."""
    directory = tmp_path / "cache"
    make_cache(directory)
    Store(directory / "objects", max_bytes=1 << 20, min_free_fraction=0).prepare()
    (directory / "index").mkdir()
    return directory


def _refuses(cache: Path, words: str) -> None:
    """Assert that nobody uses the directory, writes to it or removes something from it."""
    for use in (make_cache, require_own, kept, lambda path: remove(path, 2.0**33)):
        with pytest.raises(CacheUnusable, match=words) as refused:
            use(cache)
        assert refused.value.exit_code == 43


def test_an_own_cache_directory_is_accepted(cache: Path) -> None:
    """Also through a link, which its user has made, and also root's: a container's volume is."""
    require_own(cache)
    (cache.parent / "link").symlink_to(cache)
    require_own(cache.parent / "link")
    require_own(cache / "missing")


@pytest.mark.parametrize("name", [".", *_DIRECTORIES])
def test_another_users_directory_is_refused(cache: Path, name: str) -> None:
    """Whoever owns it could put links in place of files at any time."""
    os.chown(cache / name, _NOBODY, _NOBODY)
    _refuses(cache, f"belongs to the user with id {_NOBODY}")


@pytest.mark.parametrize("name", _DIRECTORIES)
def test_a_link_in_place_of_a_directory_is_refused(cache: Path, name: str) -> None:
    """Nothing is written where it leads."""
    (cache / name).rename(cache / "moved")
    (cache / name).symlink_to(cache / "moved")
    _refuses(cache, "is not a directory that attachfs made")


@pytest.mark.parametrize("name", [".", *_DIRECTORIES])
@pytest.mark.parametrize("mode", [0o777, 0o702])
def test_a_directory_that_others_may_write_to_is_refused(cache: Path, name: str, mode: int) -> None:
    """They could put a link in place of what is in it, and eviction would remove what is there."""
    (cache / name).chmod(mode)
    _refuses(cache, "other users can change what is in .*; run: chmod go-w ")
    (cache / name).chmod(mode | 0o1000)
    require_own(cache)


def test_a_group_of_others_may_not_write(cache: Path) -> None:
    """The group of this process may be its user's own."""
    cache.chmod(0o770)
    require_own(cache)
    os.chown(cache, -1, _NOBODY)
    _refuses(cache, "other users can change")


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_what_is_not_a_file_in_place_of_an_index_holds_nothing_up(cache: Path, suffix: str) -> None:
    """It is listed as an index without entries; removing says what is wrong."""
    index = cache / "index" / f"{'0' * 32}.sqlite3"
    if suffix:
        index.touch()
    os.mkfifo(f"{index}{suffix}")
    assert [file.entries for file in kept(cache).indexes] == ([None] if suffix else [])
    if suffix:
        with pytest.raises(CacheUnusable, match="not a regular file"):
            remove(cache, 2.0**33)


def test_a_folder_of_objects_that_is_a_link_is_passed_over(cache: Path) -> None:
    """What it leads to is neither counted nor removed."""
    victim = cache.parent / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_bytes(b"precious")
    (cache / "objects" / "sha256" / "aa").symlink_to(victim)
    assert remove(cache, 2.0**33).files == 0
    assert (victim / "thesis.txt").read_bytes() == b"precious"
