"""`attachfs umount`: take a mount down."""

from pathlib import Path

import click

from attachfs.cli.mounts import complete_mountpoint
from attachfs.cli.parameters import AbsolutePath


@click.command("umount")
@click.argument("mountpoint", type=AbsolutePath(), shell_complete=complete_mountpoint)
def command(*, mountpoint: Path) -> None:
    """Unmount the archive that is mounted on the directory MOUNTPOINT."""
    from attachfs.mount.mountpoint import absolute, unmount

    unmount(absolute(mountpoint))
