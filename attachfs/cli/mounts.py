"""The mounts that a command is about."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class UntouchedPath(click.ParamType[Path]):
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


def complete_mountpoint(
    _: click.Context, __: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    """Offer the mount points of this user's mounts, else directories."""
    return _mountpoints(incomplete, otherwise="dir")


def complete_mounted_path(
    _: click.Context, __: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    """Offer the mount points of this user's mounts, else files."""
    return _mountpoints(incomplete, otherwise="file")


def complete_directory(
    _: click.Context, __: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    """Offer directories."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


def _mountpoints(incomplete: str, *, otherwise: str) -> "list[CompletionItem[str]]":
    from click.shell_completion import CompletionItem

    from attachfs.mount.mounts import attachfs_mounts

    ours = [str(path) for path, owner in attachfs_mounts().items() if owner == os.getuid()]
    matching = [path for path in ours if path.startswith(incomplete)]
    if matching or not incomplete:
        return [CompletionItem(path) for path in matching]
    return [CompletionItem(incomplete, type=otherwise)]


def our_mounts() -> list[Path]:
    """Return the mount points of this user's mounts; raises `NotMounted` where there are none."""
    from attachfs.errors import NotMounted
    from attachfs.mount.mounts import attachfs_mounts

    ours = [mountpoint for mountpoint, owner in attachfs_mounts().items() if owner == os.getuid()]
    if not ours:
        raise NotMounted("no attachfs of yours is mounted; run: attachfs mount")
    return ours


def our_mount_around(path: Path) -> tuple[Path, str]:
    """Return the mount point that an absolute path is at or below, and the rest of the path.

    Raises `NotMounted` where there is none, or it is another user's.
    """
    from attachfs.errors import NotMounted
    from attachfs.mount.mounts import attachfs_mounts, locate

    mountpoint, rest = locate(path)
    owner = attachfs_mounts().get(mountpoint)
    if owner not in (os.getuid(), None):
        raise NotMounted(
            f"the attachfs on {mountpoint} is not yours; run this as the user with id {owner}"
        )
    return mountpoint, rest
