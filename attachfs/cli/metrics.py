"""`attachfs metrics`: what a mount measures, for Prometheus."""

from pathlib import Path
from typing import Final

import click

from attachfs.cli.mounts import (
    UntouchedPath,
    complete_mountpoint,
    our_mount_around,
    our_mounts,
)
from attachfs.cli.output import say_text

_TIMEOUT_S: Final = 10.0


@click.command("metrics")
@click.argument(
    "mountpoint", type=UntouchedPath(), required=False, shell_complete=complete_mountpoint
)
def command(*, mountpoint: Path | None) -> None:
    """Print what the mount on MOUNTPOINT measures, in Prometheus' text format.

    Without MOUNTPOINT, it is the one mount of yours. `attachfs mount --metrics-port` serves the
    same over HTTP. docs/metrics.md says what each means.
    """
    from attachfs.errors import UsageError
    from attachfs.mount.client import ask

    if mountpoint is None:
        mounts = our_mounts()
        if len(mounts) > 1:
            raise UsageError(f"which one? give one of: {', '.join(map(str, mounts))}")
        (mount,) = mounts
    else:
        mount, _ = our_mount_around(mountpoint)
    say_text(ask(mount, {"command": "metrics"}, timeout_s=_TIMEOUT_S)["text"])
