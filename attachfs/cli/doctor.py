"""`attachfs doctor`: check all that a mount needs, and say what to do."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import ParameterSource

from attachfs.cli.mounts import UntouchedPath, complete_directory
from attachfs.cli.options import archive_options, mount_options
from attachfs.cli.output import say, say_json

if TYPE_CHECKING:
    from attachfs.access.checkup.findings import Check, Finding

T = TypeVar("T")

_LIMIT_S: Final = 5.0  # for each wait
_NAME_CHARS: Final = 11
_MARK_CHARS: Final = 7
_INDENT: Final = " " * (_MARK_CHARS + 2 + _NAME_CHARS + 2)


@click.command("doctor")
@click.argument(
    "mountpoint", type=UntouchedPath(), required=False, shell_complete=complete_directory
)
@archive_options
@mount_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.  [default: no]")
@click.pass_context
def command(
    context: click.Context, /, *, mountpoint: Path | None, as_json: bool, **options: Any
) -> int:
    """Check all that a mount needs, on MOUNTPOINT if given, and say what to do.

    It takes the options of `attachfs mount`, changes nothing, and waits for nothing longer than
    some seconds. The exit status is 0 where nothing failed, warnings or not; else it is that of
    the first failure, as `attachfs mount` would have it, or 1.
    """
    import trio

    from attachfs.access.checkup.findings import Outcome, examine
    from attachfs.cli.logs import configure

    is_default = context.get_parameter_source("log_level") is ParameterSource.DEFAULT
    configure("critical" if is_default else options["log_level"], options["log_format"])
    findings: list[tuple[str, Finding]] = []

    def tell(name: str, finding: "Finding") -> None:
        findings.append((name, finding))
        if not as_json:
            say(*_shown(name, finding))

    trio.run(examine, _checks(context, mountpoint, options), tell)
    if as_json:
        shown = [
            {
                "check": name,
                "outcome": finding.outcome.value,
                "found": finding.found,
                "advice": finding.advice,
            }
            for name, finding in findings
        ]
        say_json(shown)
    failures = (f.exit_code for _, f in findings if f.outcome is Outcome.FAILED)
    return next(failures, 0)


def _checks(
    context: click.Context, mountpoint: Path | None, options: Mapping[str, Any]
) -> "Iterable[Check]":
    import os

    from attachfs.access.checkup.findings import ok, skipped
    from attachfs.access.checkup.machine import DESCRIPTORS
    from attachfs.access.checkup.network import Network
    from attachfs.access.checkup.rights import Rights
    from attachfs.access.checkup.storage import Storage
    from attachfs.archive.http.urls import base_url
    from attachfs.cli.chosen import assembled
    from attachfs.cli.configuration import MOUNTPOINT, configuration
    from attachfs.cli.credentials import choose
    from attachfs.cli.public import parse_public_assets
    from attachfs.mount.checkup import Mounting

    os.umask(0o077)
    url, url_check = _made(
        "url", lambda: base_url(options["url"], allow_http=options["allow_http"]), ok
    )
    credentials, credentials_check = _made(
        "credentials",
        lambda: choose(context, options, url=url or ""),
        lambda found: skipped("none are used") if found is None else ok(f"of {found.identity}"),
    )
    named = options["public_asset"] if url else ()
    settings = assembled(
        options,
        url=url or "",
        credentials=credentials,
        public_assets=parse_public_assets(named, archive_url=url or ""),
    )
    configured = configuration(context).settings.get(MOUNTPOINT)
    place = mountpoint or (Path(configured.value) if configured else None)
    limit_s = min(_LIMIT_S, settings.timeout_s)
    network = Network(settings, limit_s=limit_s)
    return (
        *Mounting(place, allow_other=options["allow_other"], limit_s=limit_s).checks(),
        DESCRIPTORS,
        url_check,
        *network.checks(),
        credentials_check,
        *Rights(settings, network, limit_s=limit_s).checks(),
        *Storage(settings, limit_s=limit_s).checks(),
    )


def _made(
    name: str, make: Callable[[], T], told: "Callable[[Any], Finding]"
) -> "tuple[T | None, Check]":
    """Return what is made, None where that is a mistake, and a check that tells of it."""
    from attachfs.access.checkup.findings import Check, failed
    from attachfs.errors import SetupError

    made: T | None = None
    try:
        made = make()
        finding = told(made)
    except SetupError as error:
        finding = failed(error)

    async def tell() -> "Finding":
        return finding

    return made, Check(name, tell)


def _shown(name: str, finding: "Finding") -> Iterator[str]:
    from attachfs.access.checkup.findings import Outcome

    mark = "FAILED" if finding.outcome is Outcome.FAILED else finding.outcome.value
    yield f"{mark:<{_MARK_CHARS}}  {name:<{_NAME_CHARS}}  {finding.found}"
    if finding.advice:
        yield f"{_INDENT}{finding.advice}"
