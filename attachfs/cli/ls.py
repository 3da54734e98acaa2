"""`attachfs ls`: what a directory holds, with or without a mount."""

from typing import TYPE_CHECKING, Any, Final

import click

from attachfs.cli.mounts import complete_mounted_path
from attachfs.cli.options import archive_options, log_options
from attachfs.cli.output import complain, say, say_json

if TYPE_CHECKING:
    from attachfs.audit.events import Event, Listed

_FILES: Final = frozenset({"attachment", "sidecar", "record", "checksums"})


@click.command("ls")
@click.argument("path", default=".", shell_complete=complete_mounted_path)
@click.option("--long", "-l", "details", is_flag=True, help="Show kind, size in bytes and time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.  [default: no]")
@archive_options
@log_options
@click.pass_context
def command(
    context: click.Context, /, *, path: str, details: bool, as_json: bool, **options: Any
) -> int:
    """List PATH, a directory or file.

    PATH is in a mount, which then does the work; or, where nothing is mounted, in the archive: such
    as assets/<UUID>. Without PATH, the top is listed, or the working directory in a mount.
    The exit status is 1 where some of the details cannot be had.
    """
    from attachfs.audit.events import Failed, Listed
    from attachfs.audit.look import List
    from attachfs.cli.jobs import worker
    from attachfs.cli.progress import problem

    work = worker(context, options, [path])
    listed: list[Listed] = []
    failures = 0

    def take(event: "Event") -> None:
        nonlocal failures
        if isinstance(event, Failed):
            failures += 1
            complain(problem(work.shown(event.path), event.reason))
        elif isinstance(event, Listed):
            listed.append(event)
            if not as_json:
                say(_line(event, details=details))

    work.do(List(work.paths[0], details), take)
    if as_json:
        say_json([_fields(entry, details=details) for entry in listed])
    return 1 if failures else 0


def _line(entry: "Listed", *, details: bool) -> str:
    name = entry.name + ("" if entry.kind in _FILES else "/")
    if not details:
        return name
    size = "" if entry.size_bytes is None else str(entry.size_bytes)
    return f"{entry.kind:<10} {size:>12} {entry.modified:<20} {name}"


def _fields(entry: "Listed", *, details: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": entry.name, "kind": entry.kind}
    if details:
        fields |= {"size_bytes": entry.size_bytes, "modified": entry.modified or None}
    return fields
