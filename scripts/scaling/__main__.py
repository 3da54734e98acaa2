"""Measure what an estate costs: `scripts/scale --help`."""

import os
import tempfile
from pathlib import Path
from typing import Final

import click

from scaling.estate import of_attachments
from scaling.figures import Figures
from scaling.report import told
from scaling.stages import STAGES, Plan, measured

_ATTACHMENTS: Final = 3000
_QUICK_ATTACHMENTS: Final = 200


@click.command()
@click.option(
    "--attachments",
    type=click.IntRange(min=10),
    default=_ATTACHMENTS,
    show_default=True,
    help="How many there are: 3,000 take six minutes, 100,000 half an hour.",
)
@click.option("--quick", is_flag=True, help=f"{_QUICK_ATTACHMENTS} of them.")
@click.option(
    "--stage",
    "stages",
    type=click.Choice(STAGES),
    multiple=True,
    help="What to measure, may be repeated; all by default.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=1),
    default=100.0,
    show_default=True,
    help="Requests a second that the limited stages are allowed.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("scale.json"),
    show_default=True,
    help="Where all figures go.",
)
@click.option(
    "--beside",
    "smaller_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The figures of another estate, which these are predicted from.",
)
@click.option(
    "--from",
    "earlier_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Measure nothing: the figures are those of this file.",
)
def main(
    *,
    attachments: int,
    quick: bool,
    stages: tuple[str, ...],
    rate: float,
    json_file: Path,
    smaller_file: Path | None,
    earlier_file: Path | None,
) -> None:
    """Measure what attachments cost, and reckon what ten million of them do."""
    smaller = None if smaller_file is None else Figures.read(smaller_file)
    if earlier_file is not None:
        click.echo(told(Figures.read(earlier_file), smaller))
        return
    plan = Plan(
        of_attachments(_QUICK_ATTACHMENTS if quick else attachments), stages or STAGES, rate
    )
    with tempfile.TemporaryDirectory(prefix="attachfs-scale-", dir="/var/tmp") as directory:
        runs, kept = measured(plan, Path(directory), lambda line: click.echo(line, err=True))
    figures = Figures(plan.size, plan.rate, runs, kept)
    figures.write(json_file)
    click.echo(told(figures, smaller))


if __name__ == "__main__":
    # What the user has set up for other servers is none of the measurements' business.
    for variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[variable]
    for variable in [name for name in os.environ if name.startswith(("ATTACHFS_", "DATATRAILS_"))]:
        del os.environ[variable]
    main()
