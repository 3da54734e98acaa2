"""Archives for programs that know nothing of trio, and file systems on them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from attachfs.demo.launch import ArchiveConfig, RunningArchive
from attachfs.fsspec import ArchivistFileSystem
from tests.conftest import serving
from tests.support.estates import Estate
from tests.support.mounts import Steering


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of whoever runs the tests, and a cache of the test's own."""
    for name in ("ATTACHFS_URL", "ATTACHFS_TOKEN_FILE", "DATATRAILS_AUTHTOKEN", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def archive() -> Iterator[Steering]:
    """The sample archive."""
    with ExitStack() as stack:
        yield stack.enter_context(Steering(stack.enter_context(serving(ArchiveConfig()))))


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Estate]:
    """An archive for what a test puts into it."""
    with serving(ArchiveConfig(empty=True)) as running:
        yield Estate(running, tmp_path)


@pytest.fixture
def options(archive: Steering) -> dict[str, Any]:
    """`storage_options` for the sample archive."""
    return options_of(archive.running)


@pytest.fixture
def fs(options: dict[str, Any]) -> ArchivistFileSystem:
    """The sample archive."""
    return ArchivistFileSystem(**options)


def options_of(running: RunningArchive) -> dict[str, Any]:
    """Return `storage_options` for an archive."""
    return {"archive": running.url, "token_file": str(running.token_file)}
