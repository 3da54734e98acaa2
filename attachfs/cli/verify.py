"""`attachfs verify`: hash everything again, compare it with the records, and report."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from attachfs.cli.jobs import path_argument, warn
from attachfs.cli.options import archive_options, log_options
from attachfs.cli.parameters import AbsolutePath
from attachfs.cli.progress import Progress, files_of
from attachfs.errors import UsageError
from attachfs.wording import printable, rough_size

if TYPE_CHECKING:
    from attachfs.audit.events import Event
    from attachfs.audit.report import Report
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
    help="Write a report to this file, a page for people where it ends in .html, or .json.  "
    "[default: none]",
)
@click.option(
    "--refetch",
    is_flag=True,
    help="Download everything again, whatever the cache holds; without a mount only.  "
    "[default: no]",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=16,
    show_default=True,
    help="Attachments to verify at the same time.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.  [default: no]")
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
    jobs: int,
    as_json: bool,
    **options: Any,
) -> int:
    """Hash every attachment at and below each PATH, and compare it with record and /info.

    PATH is in a mount, which then does the work; or, where nothing is mounted, in the archive: such
    as assets/<UUID>. Each attachment is verified, mismatched, missing, bad scan, not scanned or
    unreadable; the --scan-policy says which scans count. The exit status is 0 only if all are
    verified, else 1.
    """
    from attachfs.audit.report import to_json
    from attachfs.audit.report_file import ReportFile
    from attachfs.audit.verify import Verify
    from attachfs.cli.jobs import worker

    with ExitStack() as stack:
        file = None if target is None else stack.enter_context(ReportFile(target))
        work = worker(context, options, paths, heeded=frozenset({"scan_policy"}))
        if refetch:
            work = _without_cache(stack, work)
        # A mount reads by the policy that it has: which scans count here is another question.
        is_given = context.get_parameter_source("scan_policy") is not ParameterSource.DEFAULT
        job = Verify(work.paths, options["scan_policy"] if is_given else "", jobs)
        report = _verified(work, job, quiet=as_json)
        if file is not None:
            file.write(report, _thumbnails(work, report) if file.is_page else {})
    click.echo(to_json(report).decode() if as_json else _summary(report))
    return 0 if report.is_well else 1


def _without_cache(stack: ExitStack, work: "Worker") -> "Worker":
    """Return one that has nothing cached, and leaves nothing."""
    from attachfs.access.kept import scratch

    if work.settings is None:
        raise UsageError(
            f"the mount on {work.mountpoint} reads from its cache; to download everything "
            "again, give paths in the archive, such as assets/, outside of a mount"
        )
    directory = stack.enter_context(scratch(work.settings.cache_dir))
    size_bytes = min(work.settings.cache_size_bytes, _REFETCH_BYTES)
    return replace(
        work,
        settings=replace(
            work.settings,
            cache_dir=directory,
            shared_store=None,
            cache_size_bytes=size_bytes,
        ),
    )


def _verified(work: "Worker", job: "Verify", *, quiet: bool) -> "Report":
    """Return the report of a run, what is not well printed as it is found."""
    from importlib.metadata import version

    from attachfs.audit.events import Begun, Checked
    from attachfs.audit.report import Finding, Report, Verdict
    from attachfs.audit.verify import now_text

    begun: list[Begun] = []
    findings: list[Finding] = []
    started = now_text()
    with Progress("verify") as progress:

        def take(event: "Event") -> None:
            progress.take(event)
            match event:
                case Begun():
                    begun.append(event)
                case Checked(finding):
                    findings.append(finding)
                    if finding.verdict is not Verdict.VERIFIED and not quiet:
                        path = work.shown(finding.path)
                        progress.say(f"{finding.verdict}: {path}: {printable(finding.reason)}")
                case _:
                    pass

        work.do(job, take)
    return Report(
        archive=begun[0].archive,
        paths=work.paths,
        scan_policy=begun[0].scan_policy,
        program=f"attachfs {version('attachfs')}",
        started=started,
        ended=now_text(),
        findings=tuple(sorted(findings, key=lambda finding: finding.path)),
    )


def _summary(report: "Report") -> str:
    from attachfs.audit.report import Verdict

    if not report.findings:
        return "nothing to verify: there are no attachments there"
    counts = report.counts
    verified = f"{files_of(counts[Verdict.VERIFIED])}, {rough_size(report.verified_bytes)}"
    others = (
        f"{count:,} {verdict}"
        for verdict, count in counts.items()
        if count and verdict is not Verdict.VERIFIED
    )
    return "; ".join([f"verified: {verified}", *others])


def _thumbnails(work: "Worker", report: "Report") -> Mapping[str, bytes]:
    """Return small JPEGs of the images that were verified, by their paths in the tree."""
    from attachfs.audit.copy_out import CopyOut
    from attachfs.audit.events import Bytes
    from attachfs.audit.report import Verdict
    from attachfs.audit.thumbnails import MAX_BYTES, Thumbnails, have_pillow

    images = [
        finding.path
        for finding in report.findings
        if finding.verdict is Verdict.VERIFIED and finding.mime_type.startswith("image/")
    ]
    if not images:
        return {}
    if not have_pillow():
        warn("without Pillow, the report has no thumbnails; run: pip install 'attachfs[report]'")
        return {}
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
