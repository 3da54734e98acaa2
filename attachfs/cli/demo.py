"""`attachfs demo`: the embedded archive and a mount of it, to try things."""

import shlex
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attachfs.cli.mounts import UntouchedPath, complete_directory
from attachfs.cli.output import say, warn
from attachfs.errors import MountpointMissing

if TYPE_CHECKING:
    from attachfs.demo.launch import RunningArchive


@click.command("demo")
@click.argument(
    "mountpoint", type=UntouchedPath(), required=False, shell_complete=complete_directory
)
def command(*, mountpoint: Path | None) -> None:
    """Mount a sample archive on MOUNTPOINT until Ctrl-C.

    The directory is made where it is missing; without MOUNTPOINT, it is a temporary one. Nothing
    is left behind.
    """
    from attachfs.access.settings import Settings
    from attachfs.archive.credentials import TokenFile
    from attachfs.cli.embedded import run_embedded
    from attachfs.cli.logs import configure
    from attachfs.mount.mountpoint import check, check_fuse
    from attachfs.mount.mounts import absolute, mounted_at
    from attachfs.mount.session import run

    check_fuse()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="attachfs-demo-")))
        target = absolute(mountpoint or scratch / "evidence")
        if mounted_at(target) is None and not target.exists():
            _make(target)
            stack.callback(target.rmdir)
        check(target)
        stack.callback(_take_down, target)
        configure("error")

        async def mount(archive: "RunningArchive") -> None:
            settings = Settings(
                url=archive.url,
                credentials=TokenFile(archive.token_file),
                cache_dir=scratch / "cache",
            )
            await run(
                settings,
                target,
                on_warning=warn,
                on_ready=lambda: say(*_guide(target).split("\n")),
            )

        run_embedded(mount)


def _make(directory: Path) -> None:
    try:
        directory.mkdir()
    except OSError as error:
        raise MountpointMissing(
            f"cannot make {directory}: {error.strerror}; choose a directory of your own"
        ) from error


def _take_down(mountpoint: Path) -> None:
    """Unmount what a crash would leave mounted: a demonstration has no readers to warn."""
    from attachfs.mount.mountpoint import unmount
    from attachfs.mount.mounts import mounted_at

    if mounted_at(mountpoint) is not None:
        unmount(mountpoint)


def _guide(mountpoint: Path) -> str:
    from attachfs.demo.estate import SAMPLE

    root = shlex.quote(str(mountpoint))
    container = f"{root}/assets/{SAMPLE['asset:container']}"
    return f"""
A sample archive is mounted on {mountpoint}

Five things to try, in another terminal:

  ls -l {root}/by-name/*
  cp -r {root}/by-name /tmp/evidence   # all of it; one file is refused: it is marked SCANNED_BAD
  grep -rl "pallets vaccines" {root}/assets
  (cd {container} && sha256sum -c SHA256SUMS)
  getfattr -d {container}/{SAMPLE["blob:container-photo"]}

Ctrl-C here unmounts it and leaves nothing behind.
"""
