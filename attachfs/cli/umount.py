"""`attachfs umount`: take a mount down."""

from pathlib import Path

import click


@click.command("umount")
@click.argument("mountpoint", type=click.Path(path_type=Path))
def command(*, mountpoint: Path) -> None:
    """Unmount the archive that is mounted on the directory MOUNTPOINT."""
    from attachfs.mount.mountpoint import absolute, unmount

    unmount(absolute(mountpoint))
