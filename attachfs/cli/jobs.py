"""Have a job done on an archive: by the mount that a path is in, or by this process."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from attachfs.cli.mounts import complete_mounted_path, our_mount_around
from attachfs.cli.output import warn
from attachfs.errors import AttachfsError, NotFound, NotMounted, UsageError, first_cause

if TYPE_CHECKING:
    from attachfs.access.settings import Settings
    from attachfs.audit.events import Event
    from attachfs.audit.jobs import Job
    from attachfs.cli.cluster import Team

# They are of use, or do no harm, also where a mount does the work.
_OF_ANY_USE: Final = frozenset({"log_level", "log_format"})

path_argument = click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, shell_complete=complete_mounted_path
)


@dataclass(frozen=True)
class Worker:
    """Do jobs on the `paths` that were given; they are relative to the root of the tree.

    `mountpoint` is where it is mounted; where that is None, `settings` say how to do without. What
    can be done in parts, the `team` does, if there is one.
    """

    paths: tuple[str, ...]
    mountpoint: Path | None
    settings: "Settings | None"
    team: "Team | None" = None

    def do(
        self,
        job: "Job",
        on_event: Callable[["Event"], None],
        *,
        done: AbstractSet[str] | None = None,
    ) -> None:
        """Do a job to its end; raises `AttachfsError`, and what `on_event` raises.

        With `done`, outside of a mount, in parts, each of which ends with `Covered`; those that are
        done are left out. A team does so always.
        """
        from attachfs.audit.parts import PartialJob

        if self.team is not None and isinstance(job, PartialJob):
            # Not `done or ...`: it may be filled once the job has begun.
            self.team.do(job, on_event, frozenset() if done is None else done)
        elif self.mountpoint is not None:
            _ask(self.mountpoint, job, on_event)
        elif self.settings is not None:
            _do_here(self.settings, job, on_event, done)

    def shown(self, path: str) -> str:
        """Return a path of the tree as users would write it."""
        if self.mountpoint is not None:
            return str(self.mountpoint / path)
        return path or "/"


def worker(
    context: click.Context,
    options: Mapping[str, Any],
    paths: Sequence[str],
    *,
    heeded: AbstractSet[str] = frozenset(),
) -> Worker:
    """Return who does jobs on paths that a user wrote.

    Raises `UsageError` for paths of different mounts, or of none, and for options that no mount
    would heed, which are all but those `heeded`; and what making settings raises.
    """
    from attachfs.access.cache_directory import make_cache
    from attachfs.access.limits import forbid_core_dumps, raise_descriptor_limit, share_heap
    from attachfs.cli.chosen import settings
    from attachfs.cli.logs import configure

    places = [_place(path) for path in paths]
    rests = tuple(rest for _, rest in places)
    mountpoints = {mountpoint for mountpoint, _ in places}
    if len(mountpoints) > 1:
        raise UsageError("the paths are not all in one mount; give those of each by themselves")
    (mountpoint,) = mountpoints
    if mountpoint is not None:
        _refuse_options(context, options.keys() - heeded - _OF_ANY_USE, mountpoint)
        return Worker(rests, mountpoint, None)
    configure(options["log_level"], options["log_format"])
    raise_descriptor_limit()
    forbid_core_dumps()
    share_heap()
    chosen = settings(context, options)
    make_cache(chosen.cache_dir)
    return Worker(rests, None, chosen)


def _place(text: str) -> tuple[Path | None, str]:
    """Return the mount point that a path is below, if it is, and the path in the tree."""
    from attachfs.mount.mounts import locate
    from attachfs.tree.names import VIEWS

    if not text:  # as a variable that is not set; the current directory is `.`
        raise UsageError("a PATH is empty; outside of a mount, the whole archive is .")
    try:
        path = Path(text).absolute()
        locate(path)
    except FileNotFoundError:  # the working directory is gone
        pass
    except NotMounted:
        pass
    else:
        return our_mount_around(path)
    names = [name for name in text.split("/") if name not in ("", ".")]
    if text.startswith("/") or (names and names[0] not in VIEWS):
        raise UsageError(
            f"{text} is neither in an attachfs of yours nor a path in an archive, "
            f"which begins with {', '.join(f'{view}/' for view in VIEWS)}"
        )
    return None, "/".join(names)


def _refuse_options(context: click.Context, names: AbstractSet[str], mountpoint: Path) -> None:
    for name in sorted(names):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(
                f"the mount on {mountpoint} does this with the options that it was mounted with; "
                f"leave out --{name.replace('_', '-')}"
            )


def _ask(mountpoint: Path, job: "Job", on_event: Callable[["Event"], None]) -> None:
    import msgspec

    from attachfs.audit.jobs import parse_event
    from attachfs.mount.client import ask_long

    request = {"command": "job", "job": msgspec.to_builtins(job)}
    for value in ask_long(mountpoint, request):
        on_event(parse_event(value))


def _do_here(
    settings: "Settings",
    job: "Job",
    on_event: Callable[["Event"], None],
    done: AbstractSet[str] | None,
) -> None:
    import trio

    from attachfs.access.opened import opened
    from attachfs.audit.events import Bytes
    from attachfs.audit.parts import PartialJob, in_parts

    async def tell(event: "Event") -> None:
        if isinstance(event, Bytes):  # whoever takes them may be slow
            await trio.to_thread.run_sync(on_event, event)
        else:
            on_event(event)

    async def run() -> None:
        async with opened(settings, on_warning=warn) as archive:
            if done is not None and isinstance(job, PartialJob):
                await in_parts(job, archive.fs, tell, done)
            else:
                await job.run(archive.fs, tell)
            await archive.content.settle()
            if archive.shared is not None:
                await archive.shared.settle()

    with _errors_alone():
        trio.run(run)


@contextmanager
def _errors_alone() -> Iterator[None]:
    """Raise an error as it is, not in the groups that nurseries make of it."""
    try:
        yield
    except (AttachfsError, BaseExceptionGroup) as error:
        cause = first_cause(error)
        if isinstance(cause, NotFound):
            raise UsageError(str(cause)) from error
        if cause is error:
            raise
        raise cause from cause.__cause__
