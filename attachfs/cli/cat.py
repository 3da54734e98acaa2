"""`attachfs cat`: the bytes of files on standard output, with or without a mount."""

from typing import TYPE_CHECKING, Any

import click

from attachfs.cli.jobs import path_argument
from attachfs.cli.options import archive_options, log_options
from attachfs.cli.output import complain

if TYPE_CHECKING:
    from attachfs.audit.events import Event


@click.command("cat")
@path_argument
@archive_options
@log_options
@click.pass_context
def command(context: click.Context, /, *, paths: tuple[str, ...], **options: Any) -> int:
    """Write the bytes of each PATH to standard output.

    PATH is in a mount, which then does the work; or, where nothing is mounted, in the archive: such
    as assets/<UUID>/<ATTACHMENT>. The exit status is 1 where not all bytes can be had: those of a
    large file that came before are on the output already.
    """
    import sys

    from attachfs.audit.copy_out import CopyOut
    from attachfs.audit.events import Bytes, Failed
    from attachfs.cli.jobs import worker
    from attachfs.cli.progress import problem

    work = worker(context, options, paths)
    failures = 0

    def take(event: "Event") -> None:
        nonlocal failures
        if isinstance(event, Failed):
            failures += 1
            complain(problem(work.shown(event.path), event.reason))
        elif isinstance(event, Bytes):
            sys.stdout.buffer.write(event.data)

    work.do(CopyOut(work.paths), take)
    sys.stdout.buffer.flush()
    return 1 if failures else 0
