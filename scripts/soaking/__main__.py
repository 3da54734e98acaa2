"""Soak a mount: `scripts/soak --help`."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Event
from typing import Final

import click

from harness.processes import drop_settings
from soaking.report import Outcome, figures, told
from soaking.soak import soak

_SECONDS: Final = 600.0
_QUICK_SECONDS: Final = 120.0
_HOSTILE_EXAMPLES: Final = "1000"
_ENDED_BY_CTRL_C: Final = 130


@click.command()
@click.option("--quick", is_flag=True, help="Two minutes instead of ten.")
@click.option("--seconds", type=click.FloatRange(min=1), help="How long to read.")
@click.option("--readers", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--files", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option(
    "--faults",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    metavar="SHARE",
    help="The share of requests that meet a fault.",
)
@click.option("--hostile", is_flag=True, help="First try a thousand times the usual hostile input.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where all figures go.",
)
def main(
    *,
    quick: bool,
    seconds: float | None,
    readers: int,
    files: int,
    faults: float,
    hostile: bool,
    json_file: Path | None,
) -> None:
    """Read through a mount for long, with faults: no wrong byte, no error, nothing that grows.

    Ends with 1 where anything is wrong. Ctrl-C ends the reading early: what was seen is reported.
    """
    if hostile and not _endures_hostile_input():
        sys.exit(1)
    seconds = seconds or (_QUICK_SECONDS if quick else _SECONDS)
    outcome = Outcome(seconds, readers, files, faults)
    with tempfile.TemporaryDirectory(prefix="attachfs-soak-") as directory:
        soak(outcome, Path(directory), _ended_softly())
    click.echo(told(outcome))
    if json_file is not None:
        json_file.write_text(json.dumps(figures(outcome), indent=1) + "\n")
    if outcome.ended_early:
        sys.exit(_ENDED_BY_CTRL_C)
    sys.exit(0 if outcome.ok else 1)


def _ended_softly() -> Event:
    """Return what the first Ctrl-C, or SIGTERM, sets; the second one is as rude as ever."""
    ended = Event()

    def end(*_: object) -> None:
        ended.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return ended


def _endures_hostile_input() -> bool:
    """Run all tests that invent their input, with far more of it."""
    pytest = str(Path(sys.executable).with_name("pytest"))
    environment = {**os.environ, "ATTACHFS_EXAMPLES": _HOSTILE_EXAMPLES}
    return not subprocess.run(
        [pytest, "-q", "-m", "hypothesis"], env=environment, check=False
    ).returncode


if __name__ == "__main__":
    drop_settings()
    main()
