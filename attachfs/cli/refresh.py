"""`attachfs refresh`: make mounts forget what the server may have changed."""

from pathlib import Path
from typing import Any, Final

import click

_TIMEOUT_S: Final = 30.0


class _UntouchedPath(click.ParamType[Path]):
    """Take a path and make it absolute without looking at it: that might wait for a server."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, links and `..` in it left alone."""
        if not str(value):
            self.fail("an empty path names nothing", param, ctx)
        try:
            return Path(value).absolute()
        except FileNotFoundError:
            self.fail(f"{value} is relative to a working directory that is gone", param, ctx)


@click.command("refresh")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=_UntouchedPath())
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
            click.echo(f"attachfs: {other}", err=True)
        raise first


def _chosen(paths: tuple[Path, ...]) -> list[tuple[Path, str]]:
    """Return what to refresh: mount points, and paths within; raises `NotMounted`."""
    import os

    from attachfs.errors import NotMounted
    from attachfs.mount.mountpoint import attachfs_mounts, locate

    mounts = attachfs_mounts()
    if not paths:
        ours = [mountpoint for mountpoint, owner in mounts.items() if owner == os.getuid()]
        if not ours:
            raise NotMounted("no attachfs of yours is mounted; run: attachfs mount")
        return [(mountpoint, "") for mountpoint in ours]
    chosen = [locate(path) for path in paths]
    for mountpoint, _ in chosen:
        owner = mounts.get(mountpoint)
        if owner not in (os.getuid(), None):
            raise NotMounted(
                f"the attachfs on {mountpoint} is not yours; run this as the user with id {owner}"
            )
    return chosen


def _refresh(mountpoint: Path, path: str) -> None:
    from attachfs.errors import UsageError
    from attachfs.mount.control import ask

    try:
        ask(mountpoint, {"command": "refresh", "path": path}, timeout_s=_TIMEOUT_S)
    except UsageError as error:
        raise UsageError(f"cannot refresh {mountpoint / path}: {error}") from error
