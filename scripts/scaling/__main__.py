"""Measure what an estate costs: `scripts/scale --help`."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Final

import click

from harness.processes import FILE, drop_settings
from scaling.estate import of_attachments
from scaling.report import told
from scaling.stages import STAGES, Figures, measure

_QUICK_ATTACHMENTS: Final = 200
_EARLIER: Final = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command(context_settings={"show_default": True})
@click.option(
    "--attachments",
    type=click.IntRange(min=10),
    default=3000,
    help="How many there are: 3,000 take six minutes, 100,000 half an hour.",
)
@click.option("--quick", is_flag=True, help=f"{_QUICK_ATTACHMENTS} of them.")
@click.option(
    *("--stage", "stages"),
    type=click.Choice(list(STAGES)),
    multiple=True,
    help="What to measure, may be repeated; all by default.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=1),
    default=100.0,
    help="Requests a second that the limited stages are allowed.",
)
@click.option("--json", "json_file", type=FILE, default="scale.json", help="Where all figures go.")
@click.option(
    *("--beside", "smaller_file"),
    type=_EARLIER,
    help="The figures of another estate, which these are predicted from.",
)
@click.option(
    *("--from", "earlier_file"),
    type=_EARLIER,
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
    size = of_attachments(_QUICK_ATTACHMENTS if quick else attachments)
    with tempfile.TemporaryDirectory(prefix="attachfs-scale-", dir="/var/tmp") as directory:
        progress = partial(click.echo, err=True)
        figures = measure(size, stages or STAGES, rate, Path(directory), progress)
    figures.write(json_file)
    click.echo(told(figures, smaller))


if __name__ == "__main__":
    drop_settings()
    main()
