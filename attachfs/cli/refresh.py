"""`attachfs refresh`: make mounts forget what the server may have changed."""

from pathlib import Path
from typing import Final

import click

from attachfs.cli.mounts import (
    UntouchedPath,
    complete_mounted_path,
    our_mount_around,
    our_mounts,
)
from attachfs.cli.output import complain

_TIMEOUT_S: Final = 30.0


@click.command("refresh")
@click.argument(
    "paths",
    metavar="[PATH]...",
    nargs=-1,
    type=UntouchedPath(),
    shell_complete=complete_mounted_path,
)
def command(*, paths: tuple[Path, ...]) -> None:
    """Make mounts ask the server again for what it may have changed.

    That is what a mount knows of PATH and of all below it: listings, records, scans and the right
    to read. PATH is at or below a mount point and need not exist. Without PATH, every mount of
    yours is refreshed. Verified bytes are kept.
    """
    from attachfs.errors import SetupError

    failures: list[SetupError] = []
    for mountpoint, path in _chosen(paths):
        try:
            _refresh(mountpoint, path)
        except SetupError as error:
            failures.append(error)
    if failures:
        first, *others = failures
        for other in others:
            complain(other)
        raise first


def _chosen(paths: tuple[Path, ...]) -> list[tuple[Path, str]]:
    """Return what to refresh: mount points, and paths within; raises `NotMounted`."""
    if not paths:
        return [(mountpoint, "") for mountpoint in our_mounts()]
    return [our_mount_around(path) for path in paths]


def _refresh(mountpoint: Path, path: str) -> None:
    from attachfs.errors import UsageError
    from attachfs.mount.client import ask

    try:
        ask(mountpoint, {"command": "refresh", "path": path}, timeout_s=_TIMEOUT_S)
    except UsageError as error:
        raise UsageError(f"cannot refresh {mountpoint / path}: {error}") from error
