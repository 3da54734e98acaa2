"""The options that have a job done by many workers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from attachfs.cli.output import complain
from attachfs.errors import ClusterTrouble, NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

    from attachfs.access.settings import Settings
    from attachfs.audit.events import Event
    from attachfs.audit.parts import PartialJob
    from attachfs.cluster.crew import Crew


@dataclass(frozen=True)
class Team:
    """Do jobs on a cluster, by `settings`.

    With `own_cache`, each of its machines has a cache directory of its own; with `refetch`, what
    it holds is not used.
    """

    crew: "Crew"
    settings: "Settings"
    own_cache: bool
    refetch: bool = False

    def do(
        self, job: "PartialJob", on_event: Callable[["Event"], object], done: "Container[str]"
    ) -> None:
        """Do a job to its end; raises `AttachfsError`, and what `on_event` raises."""
        from attachfs.cluster.run import run

        try:
            run(
                job,
                self.settings,
                self.crew,
                on_event,
                done=done,
                refetch=self.refetch,
                own_cache=self.own_cache,
                on_note=complain,
            )
        except NotFound as error:
            raise UsageError(str(error)) from error


def cluster_options(command: Any) -> Any:
    """Declare the options; `team` makes of them who works."""
    for declare in (
        click.option(
            "--cluster-jobs",
            type=click.IntRange(1, 65_536),
            default=64,
            show_default=True,
            metavar="N",
            help="Attachments under way at the same time in all workers together, at most.",
        ),
        click.option(
            "--dashboard",
            is_flag=True,
            help="With --workers, serve Dask's dashboard on a port of 127.0.0.1, which any user of "
            "this machine can look at.  [default: no]",
        ),
        click.option(
            "--scheduler",
            metavar="URL",
            help="Have the workers of a Dask cluster do it, by the URL of its scheduler, such as "
            "tcp://10.0.0.1:8786; extra [dask].  [default: none]",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1, 256),
            metavar="N",
            help="Have so many processes on this machine do it; extra [dask].  "
            "[default: this process]",
        ),
    ):
        command = declare(command)
    return command


def team(
    settings: "Settings | None",
    *,
    cache_dir: "Path | None",
    workers: int | None,
    scheduler: str | None,
    cluster_jobs: int,
    dashboard: bool,
    jobs: int,
) -> Team | None:
    """Return who works, if not this process; raises `UsageError`.

    `cache_dir` is the one that was asked for. Raises `ClusterTrouble` where Dask is missing.
    """
    if workers is None and scheduler is None:
        return None
    if workers is not None and scheduler is not None:
        raise UsageError("give --workers or --scheduler, not both")
    if settings is None:
        raise UsageError(
            "a mount does all by itself; for --workers or --scheduler, give paths in the archive, "
            "such as assets/, outside of a mount"
        )
    try:
        from attachfs.cluster.crew import Crew, check_url
    except ImportError as error:
        raise ClusterTrouble(
            f"there is no Dask ({error.name}); run: pip install 'attachfs[dask]'"
        ) from error
    if scheduler is not None:
        check_url(scheduler)
    crew = Crew(
        workers=workers,
        scheduler=scheduler,
        jobs=jobs,
        most_jobs=cluster_jobs,
        dashboard=dashboard,
    )
    return Team(crew, settings, own_cache=scheduler is not None and cache_dir is None)
