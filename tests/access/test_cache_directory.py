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
