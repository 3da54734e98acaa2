"""fsspec's own suite for file systems: what is read is what it expects, what would write is EROFS.

Its scenarios are directories of its own, three deep; attachments stand in for the files.
"""

import errno
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import pytest
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

from attachfs.demo.launch import ArchiveConfig
from tests.conftest import serving
from tests.fsspec.conftest import options_of
from tests.support.estates import Estate
from tests.support.folders import VIEW, StagedFileSystem

_WRITING = (AbstractCopyTests, AbstractOpenTests, AbstractPipeTests, AbstractPutTests)


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StagedFileSystem]:
    """An archive that all tests here fill and empty again, lest each start one."""
    tmp_path = tmp_path_factory.mktemp("staged")
    with serving(ArchiveConfig(empty=True)) as running:
        options = options_of(running) | {"cache_dir": str(tmp_path / "cache")}
        yield StagedFileSystem.of(Estate(running, tmp_path), **options)


class _OnArchive(AbstractFixtures):  # type: ignore[misc]  # fsspec has no types
    """Say which file system is tested, and below which path."""

    @pytest.fixture
    def fs(self, staged: StagedFileSystem) -> StagedFileSystem:
        """The archive."""
        return staged

    @pytest.fixture
    def fs_path(self) -> str:
        """Where scenarios are."""
        return VIEW


class TestGet(_OnArchive, AbstractGetTests):  # type: ignore[misc]
    """Copies to this machine are those that fsspec expects of anybody."""


def _refused(test: Callable[..., None]) -> Callable[..., None]:
    """Return a test of fsspec's as one that the archive has to refuse to take part in."""

    @wraps(test)
    def refused(*args: Any, **fixtures: Any) -> None:
        with pytest.raises(OSError, match="read-only") as caught:
            test(*args, **fixtures)
        assert caught.value.errno == errno.EROFS

    return refused


TestWriting = type(
    "TestWriting",
    (_OnArchive,),
    {
        name: _refused(test)
        for suite in _WRITING
        for name, test in vars(suite).items()
        if name.startswith("test_")
    }
    | {"__doc__": "What writes is refused, whatever fsspec's scenario."},
)
