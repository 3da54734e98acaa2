"""Measure attachfs beside its peers: `scripts/bench --help`."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import click
import platformdirs

from benchmarks import report
from benchmarks.bench import Bench, Row
from benchmarks.data import Data
from benchmarks.rows import ROWS
from harness.processes import MeasurementError, drop_settings
from harness.servers import serving

_QUICK_RUNS: Final = 1
_RUNS: Final = 7


@click.command()
@click.argument("rows", nargs=-1, type=click.Choice(list(ROWS)))
@click.option("--quick", is_flag=True, help="Fewer runs and smaller files: about three minutes.")
@click.option("--runs", type=click.IntRange(min=1), help="How often each contender runs.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("bench.json"),
    show_default=True,
    help="Where all figures go.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files to measure with are kept, 1.8 GiB; by default in the user's cache.",
)
def main(
    rows: tuple[str, ...], *, quick: bool, runs: int | None, json_file: Path, data_dir: Path | None
) -> None:
    """Measure attachfs and its peers, side by side: all ROWS, or those named."""
    data = Data(
        (data_dir or platformdirs.user_cache_path("attachfs-bench")).absolute(), quick=quick
    )
    data.make()
    runs = runs or (_QUICK_RUNS if quick else _RUNS)
    measured: list[Row] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="attachfs-bench-", dir="/var/tmp") as directory:
        work = Path(directory)
        work.chmod(0o755)
        with serving(data.root, data.listed.root, data.walked.root, work) as servers:
            bench = Bench(data, servers, work, runs, quick)
            for name in rows or ROWS:
                begin_s = time.monotonic()
                try:
                    measured += ROWS[name](bench)
                except MeasurementError as error:
                    failed = True
                    click.echo(f"{name}: {error}", err=True)
                click.echo(f"{name}: {time.monotonic() - begin_s:.0f} s", err=True)
    click.echo(report.told(measured))
    report.write(measured, json_file)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    drop_settings()
    main()
