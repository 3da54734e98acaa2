"""Real mounts by the real program, and an archive that can be steered."""

from collections.abc import Callable, Iterator

import pytest

from attachfs.demo.launch import ArchiveConfig
from tests.conftest import serving
from tests.support.mounts import (
    Mount,
    Steering,
    archive,
    attachfs,
    bare_environment,
    clocks,
    environment,
    mount,
    mounted,
    mounting,
    run,
)

__all__ = ["archive", "attachfs", "clocks", "environment", "mount", "mounted", "run"]


@pytest.fixture(scope="module")
def shared_archive() -> Iterator[Steering]:
    """An archive with the sample estate, one for all tests of a file that ask for it."""
    with serving(ArchiveConfig()) as running, Steering(running) as steering:
        yield steering


@pytest.fixture(scope="module")
def shared_mount(
    shared_archive: Steering, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Mount]]:
    """Mount the shared archive, as `mount` does its own."""
    directory = tmp_path_factory.mktemp("shared")
    with mounting(shared_archive, bare_environment(directory), directory) as start:
        yield start


@pytest.fixture(scope="module")
def shared(shared_mount: Callable[..., Mount]) -> Mount:
    """The shared archive, mounted: for tests that leave it, and one another, alone."""
    return shared_mount("--timeout", "4s")
