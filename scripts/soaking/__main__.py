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

from harness.processes import FILE, drop_settings
from soaking.report import Outcome, figures, told
from soaking.soak import soak

_HOSTILE_EXAMPLES: Final = "1000"
_ENDED_BY_CTRL_C: Final = 130


@click.command(context_settings={"show_default": True})
@click.option("--quick", is_flag=True, help="Two minutes instead of ten.")
@click.option("--seconds", type=click.FloatRange(min=1), help="How long to read.")
@click.option("--readers", type=click.IntRange(min=1), default=64)
@click.option("--files", type=click.IntRange(min=1), default=1000)
@click.option(
    "--faults",
    type=click.FloatRange(0, 1),
    default=0.01,
    metavar="SHARE",
    help="The share of requests that meet a fault.",
)
@click.option("--hostile", is_flag=True, help="First try a thousand times the usual hostile input.")
@click.option("--json", "json_file", type=FILE, help="Where all figures go.")
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
    if hostile:
        _endure_hostile_input()
    outcome = Outcome(seconds or (120.0 if quick else 600.0), readers, files, faults)
    with tempfile.TemporaryDirectory(prefix="attachfs-soak-") as directory:
        soak(outcome, Path(directory), _ended_softly())
    click.echo(told(outcome))
    if json_file is not None:
        json_file.write_text(json.dumps(figures(outcome), indent=1) + "\n")
    sys.exit(_ENDED_BY_CTRL_C if outcome.ended_early else outcome.verdict != "ok")


def _ended_softly() -> Event:
    """Return what the first Ctrl-C, or SIGTERM, sets; the second one is as rude as ever."""
    ended = Event()

    def end(*_: object) -> None:
        ended.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return ended


def _endure_hostile_input() -> None:
    """Run all tests that invent their input, with far more of it; end where one fails."""
    environment = {**os.environ, "ATTACHFS_EXAMPLES": _HOSTILE_EXAMPLES}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "hypothesis"]
    if subprocess.run(command, env=environment, check=False).returncode:
        sys.exit(1)


if __name__ == "__main__":
    drop_settings()
    main()
