"""`attachfs mount`: mount an archive on a directory."""

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from attachfs.cli.fstab import flags
from attachfs.cli.mounts import UntouchedPath, complete_directory
from attachfs.cli.options import archive_options, configurable, mount_options, option
from attachfs.cli.output import complain, say_text, warn
from attachfs.errors import UsageError

if TYPE_CHECKING:
    from attachfs.access.settings import Settings
    from attachfs.mount.ownership import Presentation


# Closing the index may take 5 s, dropping what is half downloaded 2 s.
_END_S: Final = 10.0


class _MountCommand(click.Command):
    """Take `-o name,name=value` as the flags of these names."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        found, rest = [], []
        given = iter(args)
        for argument in given:
            if argument == "--":
                rest += [argument, *given]
            elif argument == "-o":
                with suppress(UsageError) if ctx.resilient_parsing else nullcontext():
                    found += flags([next(given, "")], configurable())
            else:
                rest.append(argument)
        return super().parse_args(ctx, found + rest)


@click.command("mount", cls=_MountCommand)
@click.argument(
    "mountpoint", type=UntouchedPath(), required=False, shell_complete=complete_directory
)
@archive_options
@mount_options
@click.option(
    "-o",
    "mount_o",
    metavar="NAME[=VALUE],...",
    expose_value=False,
    help="Any of these options as in /etc/fstab: -o ro,allow_other,cache_size=1GiB. Those of every "
    "file system are accepted; the mount is read-only, nosuid, nodev and noexec all the same.  "
    "[default: none]",
)
@click.option("--source", hidden=True)
@option("--foreground", is_flag=True, help="Stay in the foreground.  [default: no]")
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    mountpoint: Path | None,
    source: str | None,
    foreground: bool,
    **options: Any,
) -> int:
    """Mount an archive on the directory MOUNTPOINT.

    Returns once the mount answers; `attachfs umount MOUNTPOINT` ends it. Without MOUNTPOINT, it is
    the one of the profile. Sizes are written like 512MiB, durations like 30s or 10m.
    """
    import platformdirs

    from attachfs.access.cache_directory import make_cache
    from attachfs.cli.chosen import settings
    from attachfs.mount.daemon import run_in_background
    from attachfs.mount.mountpoint import check, check_fuse
    from attachfs.mount.mounts import absolute
    from attachfs.mount.ownership import Presentation

    given = mountpoint or _configured_mountpoint(context)
    chosen = settings(context, options)
    target = absolute(given)
    check_fuse(allow_other=options["allow_other"])
    check(target)
    make_cache(chosen.cache_dir)
    presentation = Presentation.chosen(
        source=source or chosen.url,
        allow_other=options["allow_other"],
        uid=options["uid"],
        gid=options["gid"],
        umask=options["umask"],
    )
    serving = Serving(
        chosen,
        target,
        presentation,
        log_level=options["log_level"],
        log_format=options["log_format"],
        metrics_port=options["metrics_port"],
    )
    if foreground:
        return serve(serving, lambda: None)
    log_file = platformdirs.user_log_path("attachfs") / _log_name(target)
    status = run_in_background(lambda on_ready: serve(serving, on_ready), log_file)
    if status == 0:
        # Line breaks can only be those of the path that was given.
        say_text(f"{chosen.url} is mounted on {target}; log: {log_file}")
        sys.stdout.flush()
        # Nothing here needs taking down, which takes a while of memory that is shared with a child.
        os._exit(0)
    return status


def _configured_mountpoint(context: click.Context) -> Path:
    from attachfs.cli.configuration import MOUNTPOINT, configuration

    setting = configuration(context).settings.get(MOUNTPOINT)
    if setting is None:
        message = "Missing argument 'MOUNTPOINT', and no profile that has a `mountpoint`."
        raise click.UsageError(message, context)
    return Path(setting.value)


@dataclass(frozen=True)
class Serving:
    """Hold what one mount is made of."""

    settings: "Settings"
    mountpoint: Path
    presentation: "Presentation"
    log_level: str
    log_format: str
    metrics_port: int | None


def serve(serving: Serving, on_ready: Callable[[], None]) -> int:
    """Serve until the mount ends; returns the exit code, mistakes printed."""
    import signal

    import trio

    from attachfs.access.limits import forbid_core_dumps, raise_descriptor_limit, share_heap
    from attachfs.cli.logs import configure
    from attachfs.errors import SetupError
    from attachfs.mount.mountpoint import detach_unless_well
    from attachfs.mount.session import run
    from attachfs.mount.watchdog import Watchdog

    configure(serving.log_level, serving.log_format)
    raise_descriptor_limit()
    forbid_core_dumps()
    share_heap()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the mount takes it, to refresh
    watchdog = Watchdog(_END_S, partial(detach_unless_well, serving.mountpoint))
    try:
        trio.run(
            lambda: run(
                serving.settings,
                serving.mountpoint,
                presentation=serving.presentation,
                metrics_port=serving.metrics_port,
                on_warning=warn,
                on_ready=on_ready,
                on_ending=watchdog.tell,
            )
        )
    except SetupError as error:
        complain(error)
        return error.exit_code
    return 0


def _log_name(mountpoint: Path) -> str:
    """Return a file name that tells mount points apart: `%2F` for each slash."""
    import os
    from urllib.parse import quote

    return quote(os.fsencode(mountpoint).strip(b"/"), safe="")[-200:] + ".log"
