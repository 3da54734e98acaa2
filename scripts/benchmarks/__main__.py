"""Measure attachfs beside its peers: `scripts/bench --help`."""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import platformdirs

from benchmarks import report
from benchmarks.bench import Bench
from benchmarks.data import Data
from benchmarks.mounts import Mounts
from benchmarks.programs import Unfit
from benchmarks.rows import ROWS
from benchmarks.servers import serving

if TYPE_CHECKING:
    from benchmarks.timing import Row

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
    root = (data_dir or platformdirs.user_cache_path("attachfs-bench")).absolute()
    data = Data(root, quick=quick)
    data.make()
    measured: list[Row] = []
    unfit = False
    with tempfile.TemporaryDirectory(prefix="attachfs-bench-", dir="/var/tmp") as directory:
        work = Path(directory)
        work.chmod(0o755)
        with serving(data, work) as servers:
            bench = Bench(
                data,
                servers,
                Mounts(work, servers.certificate),
                work,
                runs or (_QUICK_RUNS if quick else _RUNS),
                quick,
            )
            for name in rows or ROWS:
                begin_s = time.monotonic()
                try:
                    measured += ROWS[name](bench)
                except Unfit as error:
                    unfit = True
                    click.echo(f"{name}: {error}", err=True)
                click.echo(f"{name}: {time.monotonic() - begin_s:.0f} s", err=True)
    report.show(measured)
    report.write(measured, json_file)
    sys.exit(1 if unfit else 0)


if __name__ == "__main__":
    # What the user has set up for other servers is none of the benchmarks' business.
    for variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[variable]
    main()
