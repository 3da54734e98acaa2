"""Soak a mount: `scripts/soak --help`."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from soaking import gauges
from soaking.report import Outcome, told

_SECONDS: Final = 600.0
_QUICK_SECONDS: Final = 120.0
_PROCESSES: Final = 2
_PATIENCE_S: Final = 60.0
_TICK_S: Final = 0.05
_HOSTILE_EXAMPLES: Final = "1000"


@click.command()
@click.option("--quick", is_flag=True, help="Two minutes instead of ten.")
@click.option("--seconds", type=click.FloatRange(min=5), help="How long to read.")
@click.option("--readers", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--files", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option(
    "--faults",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="The share of requests that meet a fault.",
)
@click.option("--hostile", is_flag=True, help="First try a thousand times the usual hostile input.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Where all figures go.")
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
    """Read through a mount for long, with faults: no wrong byte, no error, nothing that grows."""
    if hostile:
        env = {**os.environ, "ATTACHFS_EXAMPLES": _HOSTILE_EXAMPLES}
        if subprocess.run(
            [".venv/bin/pytest", "-q", "-m", "hypothesis"], env=env, check=False
        ).returncode:
            sys.exit(1)
    seconds = seconds or (_QUICK_SECONDS if quick else _SECONDS)
    with tempfile.TemporaryDirectory(prefix="attachfs-soak-") as directory:
        outcome = _soak(Path(directory), seconds, readers, files, faults)
    click.echo(told(outcome))
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(outcome), indent=1))
    sys.exit(1 if outcome.wrong else 0)


def _soak(directory: Path, seconds: float, readers: int, files: int, faults: float) -> Outcome:
    with ExitStack() as stack:
        server = stack.enter_context(_process("soaking.server", str(files), str(faults)))
        serves = _heard(server)
        mountpoint = directory / "mnt"
        mountpoint.mkdir()
        log = stack.enter_context((directory / "log").open("w+"))
        daemon = stack.enter_context(_mount(serves, mountpoint, directory, log.fileno()))
        paths = serves["paths"]
        (mountpoint / paths[0]).stat()
        idle = gauges.look(daemon.pid, mountpoint)
        with gauges.watching(daemon.pid, mountpoint) as seen:
            heard = _read(stack, mountpoint, paths, seconds, readers)
        wrong = gauges.growth(seen) if daemon.poll() is None else ["the mount has died"]
        if daemon.poll() is None:
            wrong += gauges.settled(daemon.pid, mountpoint, idle, patience_s=_PATIENCE_S)
        _end(daemon)
        if daemon.returncode:
            wrong.append(f"the mount ended with {daemon.returncode}")
        _end(server)
        log.seek(0)
        lines = log.read()
        if "Traceback" in lines:
            wrong.append("there is a traceback in the log:\n" + lines[-4000:])
        failures = [failure for each in heard for failure in each["failures"]]
        took_s: dict[str, list[float]] = defaultdict(list)
        for each in heard:
            for what, times_s in each["took_s"].items():
                took_s[what] += times_s
        return Outcome(
            seconds=seconds,
            readers=readers,
            files=files,
            met=_heard(server)["met"],
            took_s=took_s,
            failed=sum(each["failed"] for each in heard),
            bytes_read=sum(each["bytes_read"] for each in heard),
            seen=[asdict(each) for each in seen],
            wrong=wrong + failures,
        )


def _read(
    stack: ExitStack, mountpoint: Path, paths: list[str], seconds: float, readers: int
) -> list[dict[str, Any]]:
    """Have processes read; return what each tells."""
    processes: list[subprocess.Popen[str]] = []
    for number in range(min(_PROCESSES, readers)):
        process = stack.enter_context(_process("soaking.readers"))
        task = {
            "root": str(mountpoint),
            "paths": paths,
            "files": len(paths),
            "seconds": seconds,
            "seed": number * readers,
            "threads": len(range(number, readers, _PROCESSES)),
        }
        _tell(process, task)
        processes.append(process)
    return [_heard(process) for process in processes]


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            _end(process)


@contextmanager
def _mount(
    serves: dict[str, Any], mountpoint: Path, directory: Path, log: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Mount with caches that hold a part of all there is, so that it is had again and again."""
    where = ("--url", serves["url"], "--token-file", serves["token_file"], "--allow-http")
    caches = ("--cache-dir", str(directory / "cache"), "--cache-size", "64MiB")
    options = ("--memory-cache", "16MiB", "--metadata-ttl", "10s", "--foreground")
    command = [
        sys.executable,
        "-m",
        "attachfs",
        "mount",
        str(mountpoint),
        *where,
        *caches,
        *options,
    ]
    with subprocess.Popen(command, stderr=log) as process:
        try:
            while not mountpoint.is_mount() and process.poll() is None:
                time.sleep(_TICK_S)
            if process.poll() is not None:
                raise click.ClickException(f"attachfs mount ended with {process.returncode}")
            yield process
        finally:
            _end(process)


def _tell(process: subprocess.Popen[str], what: dict[str, Any]) -> None:
    if process.stdin is not None:
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()


def _heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    line = "" if process.stdout is None else process.stdout.readline()
    if not line:
        raise click.ClickException("a process of the soak has died; what it said is above")
    heard: dict[str, Any] = json.loads(line)
    return heard


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(_PATIENCE_S)


if __name__ == "__main__":
    main()
