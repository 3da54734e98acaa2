"""The program as users run it, and an archive that can be steered."""

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.mounts import (
    PATIENCE_S,
    Steering,
    archive,
    attachfs,
    environment,
    mount,
    mounted,
    run,
)
from tests.support.programs import HASTY, PROGRAM, Done, left_mounted

__all__ = ["archive", "attachfs", "environment", "mount", "mounted", "run"]


@pytest.fixture
def mountpoint(tmp_path: Path) -> Path:
    """An empty directory."""
    path = tmp_path / "mnt"
    path.mkdir()
    return path


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A private file with a token that looks well."""
    path = tmp_path / "token.txt"
    path.touch(mode=0o600)
    path.write_text("Authorization: Bearer a.good.token\n")
    return path


@pytest.fixture
def refused(
    run: Callable[..., Done], environment: dict[str, str], mountpoint: Path, token_file: Path
) -> Callable[..., Done]:
    """Run `attachfs mount` on an empty directory with a token, but for what the test changes."""

    def mount(*options: object, on: object = mountpoint, **variables: str) -> Done:
        arguments = ("mount", on, "--token-file", token_file, *options)
        return run(*HASTY, *arguments, env=environment | variables)

    return mount


@pytest.fixture
def background(
    environment: dict[str, str], archive: Steering, run: Callable[..., Done], tmp_path: Path
) -> Iterator[Callable[..., Done]]:
    """Mount into the background; the test unmounts, and then no process may be left."""
    alive, inherited = os.pipe()

    def start(
        *arguments: object,
        prefix: tuple[object, ...] = (),
        cwd: Path | None = None,
        **variables: str,
    ) -> Done:
        of_the_archive = {
            "ATTACHFS_URL": archive.url,
            "ATTACHFS_TOKEN_FILE": str(archive.token_file),
        }
        command = (*prefix, *PROGRAM, "mount", *arguments)
        env = environment | of_the_archive | variables
        return run(*command, pass_fds=[inherited], cwd=cwd, env=env)

    yield start
    os.close(inherited)
    left = left_mounted(tmp_path)
    ended, _, _ = select.select([alive], [], [], PATIENCE_S)
    os.close(alive)
    assert (left, ended) == ([], [alive])


@pytest.fixture
def broken_pipe() -> Iterator[int]:
    """A pipe to write to that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)
