"""`attachfs umount`: take a mount down."""

from pathlib import Path

import click

from attachfs.cli.mounts import UntouchedPath, complete_mountpoint
from attachfs.cli.output import complain


@click.command("umount")
@click.argument("mountpoint", type=UntouchedPath(), shell_complete=complete_mountpoint)
def command(*, mountpoint: Path) -> None:
    """Unmount the archive that is mounted on the directory MOUNTPOINT.

    A mount that does not answer is detached even while programs use it. They get an error once its
    process has ended.
    """
    from attachfs.mount.mountpoint import unmount
    from attachfs.mount.mounts import absolute

    target = absolute(mountpoint)
    if unmount(target):
        complain(
            f"note: the mount on {target} did not answer while programs used it; it is detached, "
            "and they wait until its process has ended"
        )
