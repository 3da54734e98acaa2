"""`attachfs prefetch`: fetch attachments into the cache, for when they are wanted."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from attachfs.cli.cluster import cluster_options, team
from attachfs.cli.jobs import path_argument
from attachfs.cli.options import archive_options, log_options
from attachfs.cli.output import say, say_json
from attachfs.cli.progress import Progress, files_of, problem
from attachfs.wording import rough_size

if TYPE_CHECKING:
    from attachfs.audit.events import Event
    from attachfs.cli.jobs import Worker


@click.command("prefetch")
@path_argument
@click.option("--dry-run", is_flag=True, help="Only tell how much it is.  [default: no]")
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=16,
    show_default=True,
    help="Attachments to fetch at the same time, in each worker.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.  [default: no]")
@cluster_options
@archive_options
@log_options
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    paths: tuple[str, ...],
    dry_run: bool,
    jobs: int,
    as_json: bool,
    workers: int | None,
    scheduler: str | None,
    cluster_jobs: int,
    dashboard: bool,
    **options: Any,
) -> int:
    """Fetch every attachment at and below each PATH into the cache, verified.

    PATH is in a mount, which then does the work; or, where nothing is mounted, in the archive: such
    as assets/<UUID>. What is in the cache is not fetched again: after Ctrl-C, the same command goes
    on where it was. The exit status is 1 where something cannot be fetched; what the scan policy
    forbids to read is left out. With --workers or --scheduler, many processes share the work.
    """
    from attachfs.audit.prefetch import Prefetch
    from attachfs.cli.jobs import worker

    work = worker(context, options, paths)
    work = replace(
        work,
        team=team(
            work.settings,
            cache_dir=options["cache_dir"],
            workers=workers,
            scheduler=scheduler,
            cluster_jobs=cluster_jobs,
            dashboard=dashboard,
            jobs=jobs,
        ),
    )
    with Progress("look" if dry_run else "prefetch") as progress:
        result = _Result(work, progress)
        work.do(Prefetch(work.paths, dry_run, jobs), result.take)
    if as_json:
        say_json(result.fields(dry_run=dry_run))
    else:
        say(result.text(dry_run=dry_run))
    return 1 if result.failed else 0


class _Result:
    def __init__(self, work: "Worker", progress: Progress) -> None:
        self._work = work
        self._progress = progress
        self._cache_bytes = 0
        self.fetched = self.fetched_bytes = 0
        self.held = self.held_bytes = 0
        self.skipped = self.failed = 0

    def take(self, event: "Event") -> None:
        """Take what the job tells."""
        from attachfs.audit.events import Begun, Failed, Fetched, Skipped, Total

        self._progress.take(event)
        match event:
            case Begun():
                self._cache_bytes = event.cache_bytes
            case Fetched(size_bytes=size_bytes, held=True):
                self.held += 1
                self.held_bytes += size_bytes
            case Fetched(size_bytes=size_bytes):
                self.fetched += 1
                self.fetched_bytes += size_bytes
            case Skipped(path, reason):
                self.skipped += 1
                self._tell(path, f"left out: {reason}")
            case Failed(path, reason):
                self.failed += 1
                self._tell(path, reason)
            case Total(final=True):
                self._check_room()
            case _:
                pass

    def _check_room(self) -> None:
        """Warn where the cache cannot hold all of it."""
        wanted_bytes = self._progress.total_bytes
        if wanted_bytes <= self._cache_bytes:
            return
        self._progress.complain(
            f"warning: {rough_size(wanted_bytes)} are more than the cache holds, "
            f"{rough_size(self._cache_bytes)}: what was used least recently goes again; "
            "mount with a larger --cache-size",
        )

    def fields(self, *, dry_run: bool) -> dict[str, int]:
        """Return the counts, for programs."""
        verb = "to_fetch" if dry_run else "fetched"
        return {
            f"{verb}_files": self.fetched,
            f"{verb}_bytes": self.fetched_bytes,
            "held_files": self.held,
            "held_bytes": self.held_bytes,
            "skipped_files": self.skipped,
            "failed": self.failed,
        }

    def text(self, *, dry_run: bool) -> str:
        """Return the counts in a sentence."""
        verb = "to fetch" if dry_run else "fetched"
        parts = [
            f"{verb}: {files_of(self.fetched)}, {rough_size(self.fetched_bytes)}",
            f"in the cache before: {files_of(self.held)}, {rough_size(self.held_bytes)}",
        ]
        if self.skipped:
            parts.append(f"left out: {files_of(self.skipped)}")
        if self.failed:
            parts.append(f"failed: {self.failed:,}")
        return "; ".join(parts)

    def _tell(self, path: str, reason: str) -> None:
        self._progress.complain(problem(self._work.shown(path), reason))
