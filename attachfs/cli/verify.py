"""`attachfs verify`: hash everything again, compare it with the records, and report."""

import sys
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from attachfs.cli.cluster import cluster_options, team
from attachfs.cli.jobs import path_argument
from attachfs.cli.options import archive_options, log_options
from attachfs.cli.output import complain, say, say_text, warn
from attachfs.cli.parameters import AbsolutePath
from attachfs.cli.progress import Progress, files_of
from attachfs.errors import UsageError
from attachfs.wording import rough_size

if TYPE_CHECKING:
    from attachfs.access.settings import Settings
    from attachfs.audit.events import Event
    from attachfs.audit.report import Finding, Report, Verdict
    from attachfs.audit.verify import Verify
    from attachfs.cli.jobs import Worker

# So much is kept of what is fetched again: more than the thumbnails want.
_REFETCH_BYTES: Final = 1024 * 1024 * 1024
# They take 5 KiB each of a page that has to be opened at once.
_MAX_THUMBNAILS: Final = 2_000


@click.command("verify")
@path_argument
@click.option(
    "--report",
    "target",
    type=AbsolutePath(),
    help="Write a report to this file, a page for people where it ends in .html, or .json; or, "
    "without a mount, to this directory, where it ends in .parquet: bit by bit, and the same "
    "command goes on with what is there.  [default: none]",
)
@click.option(
    "--refetch",
    is_flag=True,
    help="Download everything again, whatever the cache holds; without a mount only.  "
    "[default: no]",
)
@click.option(
    "--offline",
    is_flag=True,
    help="Ask the server for nothing: look at the records, /info and bytes that this machine has "
    "kept, however old. What it has not is unreadable.  [default: no]",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=16,
    show_default=True,
    help="Attachments to verify at the same time, in each worker.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.  [default: no]")
@cluster_options
@archive_options
@log_options
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    paths: tuple[str, ...],
    target: Path | None,
    refetch: bool,
    offline: bool,
    jobs: int,
    as_json: bool,
    workers: int | None,
    scheduler: str | None,
    cluster_jobs: int,
    dashboard: bool,
    **options: Any,
) -> int:
    """Hash every attachment at and below each PATH, and compare it with record and /info.

    PATH is in a mount, which then does the work; or, where nothing is mounted, in the archive: such
    as assets/<UUID>. Each attachment is verified, mismatched, missing, bad scan, not scanned or
    unreadable; the --scan-policy says which scans count. The exit status is 0 only if all are
    verified, else 1. With --workers or --scheduler, many processes share the work.

    Listings, records and /info are asked for anew, unless --offline; bytes that the cache or the
    shared store has are hashed there, unless --refetch. The report says of each attachment where
    record, /info and bytes came from, and when the server was asked.
    """
    from attachfs.audit.verify import Verify
    from attachfs.cli.jobs import worker

    if offline and refetch:
        raise UsageError("--refetch downloads from the server, which --offline does not ask")
    work = worker(context, options, paths, heeded=frozenset({"scan_policy"}))
    if work.settings is not None:
        work = replace(work, settings=_asking(work.settings, offline=offline))
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
    # A mount reads by the policy that it has: which scans count here is another question.
    is_given = context.get_parameter_source("scan_policy") is not ParameterSource.DEFAULT
    policy = options["scan_policy"] if is_given else ""
    job = Verify(work.paths, policy, jobs, offline=offline)
    with ExitStack() as stack:
        if target is not None and target.suffix.lower() == ".parquet":
            if as_json or work.settings is None:
                raise UsageError(
                    "a report that ends in .parquet is for paths in the archive, such as assets/, "
                    "outside of a mount, and without --json"
                )
            return _into_directory(stack, work, job, target, refetch=refetch)
        return _at_once(stack, work, job, target, refetch=refetch, as_json=as_json)


def _asking(settings: "Settings", *, offline: bool) -> "Settings":
    """Return settings by which nothing is believed that was known before, or nothing is asked."""
    from attachfs.access.settings import Knowledge

    return replace(settings, knowledge=Knowledge.OFFLINE if offline else Knowledge.ANEW)


def _at_once(
    stack: ExitStack,
    work: "Worker",
    job: "Verify",
    target: Path | None,
    *,
    refetch: bool,
    as_json: bool,
) -> int:
    """Verify, and report when all is done; return the exit status."""
    from attachfs.audit.events import Begun, Checked
    from attachfs.audit.report import Report, is_well, to_json
    from attachfs.audit.report_file import ReportFile
    from attachfs.audit.settling import found_bad, settled

    file = None if target is None else stack.enter_context(ReportFile(target))
    if refetch:
        work = _without_cache(stack, work)
    begun: list[Begun] = []
    findings: list[Finding] = []

    def take(event: "Event") -> None:
        match event:
            case Begun():
                begun.append(event)
            case Checked(finding):
                findings.append(finding)
            case _:
                pass

    started = _now()
    _verify(work, job, take, quiet=as_json)
    if begun[0].blocks_bad:
        bad = found_bad(lambda: findings)
        for number, finding in enumerate(findings):
            findings[number] = settled(finding, bad)
            if not as_json and findings[number].verdict is not finding.verdict:
                say(_line(work, findings[number]))
    report = Report(
        archive=begun[0].archive,
        paths=work.paths,
        scan_policy=begun[0].scan_policy,
        program=_program(),
        started=started,
        ended=_now(),
        findings=tuple(sorted(findings, key=lambda finding: finding.path)),
    )
    if file is not None:
        file.write(report, _thumbnails(work, job, report) if file.is_page else {})
    if as_json:
        say_text(f"{to_json(report).decode()}\n")
    else:
        _conclude(job, report.counts, report.verified_bytes, report.sources)
    return 0 if is_well(report.counts) else 1


def _into_directory(
    stack: ExitStack, work: "Worker", job: "Verify", target: Path, *, refetch: bool
) -> int:
    """Verify what is not in a report yet, and write it down as it comes; return the exit status."""
    from attachfs.audit.events import Begun, Checked, Covered
    from attachfs.audit.report import Verdict, is_well

    try:
        from attachfs.audit.parquet import ParquetReport
    except ImportError as error:
        raise UsageError(
            f"there is no {error.name}; run: pip install 'attachfs[parquet]'"
        ) from error
    report = stack.enter_context(ParquetReport(target))
    if refetch:
        work = _without_cache(stack, work)
    done: set[str] = set()
    started = _now()

    def take(event: "Event") -> None:
        match event:
            case Begun(archive, policy):
                done.update(report.begin(archive, work.paths, policy, _program(), started))
            case Checked(finding):
                report.add(finding)
            case Covered(paths):
                report.cover(paths)
            case _:
                pass

    _verify(work, job, take, quiet=False, done=done)
    for finding in report.end(_now()):
        say(_line(work, finding))
    _conclude(job, report.counts, report.verified_bytes, report.sources)
    if report.counts[Verdict.UNREADABLE]:
        complain("the same command tries again what was unreadable")
    return 0 if is_well(report.counts) else 1


def _without_cache(stack: ExitStack, work: "Worker") -> "Worker":
    """Return one that has nothing cached, and leaves nothing."""
    from attachfs.access.kept import anew

    if work.settings is None:
        raise UsageError(
            f"the mount on {work.mountpoint} reads from its cache; to download everything "
            "again, give paths in the archive, such as assets/, outside of a mount"
        )
    settings = stack.enter_context(anew(work.settings))
    team = work.team
    if team is not None:
        # Each begins anew by itself: what one has downloaded is not there for the next.
        team = replace(team, refetch=True)
    return replace(work, settings=settings, team=team)


def _verify(
    work: "Worker",
    job: "Verify",
    take: Callable[["Event"], None],
    *,
    quiet: bool,
    done: AbstractSet[str] | None = None,
) -> None:
    """Do it, what is not well printed as it is found."""
    from attachfs.audit.events import Checked
    from attachfs.audit.report import Verdict

    with Progress("verify") as progress:

        def pass_on(event: "Event") -> None:
            progress.take(event)
            take(event)
            if isinstance(event, Checked) and not quiet:
                finding = event.finding
                if finding.verdict is not Verdict.VERIFIED:
                    progress.say(_line(work, finding))

        work.do(job, pass_on, done=done)


def _line(work: "Worker", finding: "Finding") -> str:
    path = work.shown(finding.path)
    return f"{finding.verdict}: {path}: {finding.reason}"


def _now() -> str:
    from attachfs.audit.verify import now_text

    return now_text()


def _program() -> str:
    from importlib.metadata import version

    return f"attachfs {version('attachfs')}"


def _conclude(
    job: "Verify",
    counts: "Mapping[Verdict, int]",
    verified_bytes: int,
    sources: Mapping[str, Mapping[str, int]],
) -> None:
    """Print how many there are of each verdict; on a terminal also what that rests on."""
    summary = _summary(counts, verified_bytes)
    say(f"offline, by what this machine has kept: {summary}" if job.offline else summary)
    if sys.stderr.isatty():
        for what, name in (("record", "records"), ("info", "/info"), ("body", "bytes")):
            found = (f"{count:,} {source}" for source, count in sources.get(what, {}).items())
            complain(f"{name} from: {', '.join(found) or 'nowhere'}")


def _summary(counts: "Mapping[Verdict, int]", verified_bytes: int) -> str:
    from attachfs.audit.report import Verdict

    if not any(counts.values()):
        return "nothing to verify: there are no attachments there"
    verified = f"{files_of(counts[Verdict.VERIFIED])}, {rough_size(verified_bytes)}"
    others = (
        f"{count:,} {verdict}"
        for verdict, count in counts.items()
        if count and verdict is not Verdict.VERIFIED
    )
    return "; ".join([f"verified: {verified}", *others])


def _thumbnails(work: "Worker", job: "Verify", report: "Report") -> Mapping[str, bytes]:
    """Return small JPEGs of the images that were verified, by their paths in the tree."""
    from attachfs.access.settings import Knowledge
    from attachfs.audit.copy_out import CopyOut
    from attachfs.audit.events import Bytes
    from attachfs.audit.report import Verdict
    from attachfs.audit.thumbnails import MAX_BYTES, Thumbnails, have_pillow

    images = [
        finding.path
        for finding in report.findings
        if finding.verdict is Verdict.VERIFIED and finding.mime_type.startswith("image/")
    ]
    if not images or (job.offline and work.settings is None):  # a mount would ask the server
        return {}
    if not have_pillow():
        warn("without Pillow, the report has no thumbnails; run: pip install 'attachfs[report]'")
        return {}
    if work.settings is not None and not job.offline:  # they have just been asked for
        work = replace(work, settings=replace(work.settings, knowledge=Knowledge.KEPT))
    made: dict[str, bytes] = {}
    image = bytearray()
    with Thumbnails() as thumbnails:

        def take(event: "Event") -> None:
            if not isinstance(event, Bytes):
                return  # one that cannot be read again has no picture
            image.extend(event.data)
            if event.last:
                thumbnail = thumbnails.of(bytes(image))
                image.clear()
                if thumbnail is not None:
                    made[event.path] = thumbnail

        work.do(CopyOut(tuple(images[:_MAX_THUMBNAILS]), MAX_BYTES), take)
    return made
