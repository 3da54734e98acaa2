"""Measure attachfs beside its peers: `scripts/bench --help`."""

import sys
import tempfile
import time
from pathlib import Path

import click
import platformdirs

from benchmarks import report
from benchmarks.bench import Bench
from benchmarks.data import Data
from benchmarks.report import Report
from benchmarks.rows import ROWS
from harness.processes import FILE, MeasurementError, drop_settings
from harness.rows import Row, told
from harness.servers import serving

_EARLIER = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(context_settings={"show_default": True})
@click.argument("rows", nargs=-1, type=click.Choice(list(ROWS)))
@click.option("--quick", is_flag=True, help="Fewer runs and smaller files: about three minutes.")
@click.option("--runs", type=click.IntRange(min=1), help="How often each contender runs.")
@click.option("--json", "json_file", type=FILE, default="bench.json", help="Where all figures go.")
@click.option("--against", type=_EARLIER, help="Figures of an earlier run, to compare with.")
@click.option(
    "--document",
    type=_EARLIER,
    help="Measure nothing: write the figures of --json into this document.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files to measure with are kept, 1.8 GiB; by default in the user's cache.",
)
def main(
    rows: tuple[str, ...],
    *,
    quick: bool,
    runs: int | None,
    json_file: Path,
    against: Path | None,
    document: Path | None,
    data_dir: Path | None,
) -> None:
    """Measure attachfs and its peers, side by side: all ROWS, or those named.

    Rows that the file of figures has of other runs stay there.
    """
    try:
        if document is not None:
            report.document(Report.read(json_file), document)
            return
        earlier = None if against is None else Report.read(against)
        older = Report.read(json_file) if json_file.exists() else Report({}, {})
    except MeasurementError as error:
        raise click.ClickException(str(error)) from error
    data_dir = data_dir or platformdirs.user_cache_path("attachfs-bench")
    data = Data(data_dir.absolute(), quick=quick)
    data.make()
    measured: list[Row] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="attachfs-bench-", dir="/var/tmp") as directory:
        work = Path(directory)
        work.chmod(0o755)
        with serving(data.root, data.listed.root, data.walked.root, work) as servers:
            bench = Bench(data, servers, work, runs or (1 if quick else 7), quick)
            for name in rows or ROWS:
                begin_s = time.monotonic()
                try:
                    measured += ROWS[name](bench)
                except MeasurementError as error:
                    failed = True
                    click.echo(f"{name}: {error}", err=True)
                click.echo(f"{name}: {time.monotonic() - begin_s:.0f} s", err=True)
    click.echo(told(measured))
    now = Report.of(measured)
    now.with_older(older).write(json_file)
    if earlier is not None:
        click.echo(report.compared(now, earlier))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    drop_settings()
    main()
