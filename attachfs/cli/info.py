"""`attachfs info`: all that is known of a path, with or without a mount."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from attachfs.cli.jobs import path_argument
from attachfs.cli.options import archive_options, log_options
from attachfs.cli.output import complain, say, say_json

if TYPE_CHECKING:
    from attachfs.audit.events import Described, Event


@click.command("info")
@path_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON.  [default: no]")
@archive_options
@log_options
@click.pass_context
def command(
    context: click.Context, /, *, paths: tuple[str, ...], as_json: bool, **options: Any
) -> int:
    """Show all that is known of each PATH: of attachments, what /info and record say.

    PATH is in a mount, which then does the work; or, where nothing is mounted, in the archive: such
    as assets/<UUID>. The exit status is 1 where something is not known.
    """
    from attachfs.audit.events import Described, Failed
    from attachfs.audit.look import Describe
    from attachfs.cli.jobs import worker
    from attachfs.cli.progress import problem

    work = worker(context, options, paths)
    described: list[Described] = []
    failures = 0

    def take(event: "Event") -> None:
        nonlocal failures
        if isinstance(event, Failed):
            failures += 1
            complain(problem(work.shown(event.path), event.reason))
        elif isinstance(event, Described):
            described.append(event)
            if not as_json:
                separator = [""] if len(described) > 1 else []
                say(*separator, *_lines(work.shown(event.path), event))

    work.do(Describe(work.paths), take)
    if as_json:
        say_json([_fields(one) for one in described])
    return 1 if failures else 0


def _fields(described: "Described") -> dict[str, Any]:
    return {
        "path": described.path,
        "kind": described.kind,
        "identity": described.identity or None,
        "size_bytes": described.size_bytes,
        "modified": described.modified or None,
        **described.fields,
    }


def _lines(path: str, described: "Described") -> Iterator[str]:
    yield path
    fields = _fields(described)
    info = fields.pop("info", {})
    del fields["path"]
    yield from _rows(fields)
    if info:
        yield "  /info:"
        yield from _rows(info, indent="    ")


def _rows(fields: Mapping[str, Any], indent: str = "  ") -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}:"
            yield from _rows(value, indent + "  ")
        elif value not in (None, "", (), []):
            several = isinstance(value, list | tuple)
            text = ", ".join(map(str, value)) if several else str(value)
            yield f"{indent}{name}: {text}"
