"""One soak, from the archive to the outcome."""

import re
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Final

from attachfs.demo.archive import Archive
from attachfs.errors import AttachfsError
from harness.archive import serving_archive
from harness.faults import rule
from harness.gauges import SAMPLE_EVERY_S, growth, sample, settle
from harness.mounts import Mount, is_mounted, mounted_archive
from harness.processes import MeasurementError, Worker, stop, tail, worker
from soaking.evidence import Evidence
from soaking.readers import Report, read
from soaking.report import Outcome
from tests.support.archives import declared, uuid_in
from tests.support.faultproxy import FaultProxy, faulty

_PROCESSES: Final = 2
_PATIENCE_S: Final = 60.0
_END_S: Final = 10.0
_TIMEOUT_S: Final = 30.0
# Several calls, each of which may wait for the server as long as the deadline.
_HANG_S: Final = _TIMEOUT_S + 10
_OPTIONS: Final = ("--metadata-ttl", "10s", "--timeout", f"{_TIMEOUT_S:.0f}s")
# Caches hold a part of all bytes: they are evicted and downloaded again, over and over.
_DISK_PART: Final = 8
_MEMORY_PART: Final = 32
_FILES_AN_ASSET: Final = 10
_MAX_SHOWN: Final = 20  # failures of a process
_LEVEL: Final = re.compile(r"\[(warning|error|critical) *\]")


def soak(outcome: Outcome, directory: Path, ended: Event) -> None:
    """Read as an outcome says, below a directory, until the time is over or `ended` is set."""
    evidence = Evidence(outcome.files)
    all_bytes = sum(map(evidence.size_bytes, range(outcome.files)))
    caches = ("--cache-size", all_bytes // _DISK_PART, "--memory-cache", all_bytes // _MEMORY_PART)
    mountpoint = directory / "mnt"
    mountpoint.mkdir()
    met: Counter[str] = Counter()
    with ExitStack() as stack:
        filled = serving_archive(partial(_fill, evidence), within_s=_PATIENCE_S)
        archive = stack.enter_context(filled)
        proxy = stack.enter_context(faulty(archive.access.url))
        proxy.choose(rule(outcome.faults, met))
        access, cache = replace(archive.access, url=proxy.url), directory / "cache"
        mounted = mounted_archive(access, mountpoint, *caches, *_OPTIONS, cache=cache)
        mount = stack.enter_context(mounted)
        (mount.path / archive.filled[0]).stat()
        outcome.idle = sample(mount)
        _load(mount, proxy, archive.filled, outcome, ended)
        if mount.is_alive:
            try:
                outcome.settled, leaked = settle(mount, outcome.idle, patience_s=_PATIENCE_S)
            except (OSError, AttachfsError) as error:
                leaked = [f"the idle mount does not answer: {error}"]
            outcome.wrong += leaked
        outcome.wrong += _take_down(mount)
        log = mount.log.read_text()
        outcome.warnings = len(_LEVEL.findall(log))
        if "Traceback" in log:
            outcome.wrong.append(f"a traceback in the log: {tail(mount.log)}")
        outcome.met = dict(met)


def _fill(evidence: Evidence, archive: Archive) -> list[str]:
    """Put all files into the archive; return their paths in a mount."""
    paths: list[str] = []
    for begin in range(0, evidence.files, _FILES_AN_ASSET):
        numbers = range(begin, min(begin + _FILES_AN_ASSET, evidence.files))
        blobs = [archive.create_blob(evidence.content(number)) for number in numbers]
        attributes = {f"proof {number}": declared(blob) for number, blob in enumerate(blobs)}
        asset = uuid_in(archive.create_asset({"attributes": attributes}))
        paths += [f"assets/{asset}/{uuid_in(blob)}" for blob in blobs]
    return paths


def _load(
    mount: Mount, proxy: FaultProxy, paths: list[str], outcome: Outcome, ended: Event
) -> None:
    """Have all readers read, and measure the mount each second."""
    processes = min(_PROCESSES, outcome.readers)
    troubles: list[str] = []
    with ExitStack() as stack:
        readers = [
            stack.enter_context(
                worker(read, mount.path, paths, range(number, outcome.readers, processes))
            )
            for number in range(processes)
        ]
        until_s = time.monotonic() + outcome.seconds
        while (
            mount.is_alive
            and (left_s := until_s - time.monotonic()) > 0
            and not ended.wait(min(SAMPLE_EVERY_S, left_s))
        ):
            proxy.forget()  # its notes on each request would grow
            try:
                outcome.seen.append(sample(mount))
            except (OSError, AttachfsError) as error:
                troubles.append(str(error))
        outcome.ended_early = ended.is_set()
        for reader in readers:
            reader.send(None)
        for reader in readers:
            _collect(reader, outcome)
    for what, times_s in outcome.took_s.items():
        if max(times_s) > _HANG_S:
            outcome.wrong.append(f"{what}: it hung for {max(times_s):.1f} s")
    if not mount.is_alive:
        outcome.wrong.append("the mount has died")
    elif troubles:
        outcome.wrong.append(f"the mount did not answer {len(troubles)} times: {troubles[0]}")
    outcome.wrong += growth(outcome.seen)


def _collect(process: Worker, outcome: Outcome) -> None:
    """Add what readers report; those that report nothing hang."""
    try:
        reported: list[Report] = process.receive(_HANG_S)
    except MeasurementError as error:
        outcome.wrong.append(error.message)
        return
    failures = []
    for took_s, failed, bytes_read in reported:
        for what, times_s in took_s.items():
            outcome.took_s.setdefault(what, []).extend(times_s)
        failures += failed
        outcome.bytes_read += bytes_read
    outcome.failed += len(failures)
    outcome.failures += failures[:_MAX_SHOWN]


def _take_down(mount: Mount) -> list[str]:
    """End the mount; return what went wrong with that."""
    status = stop(mount.process, _END_S)
    wrong = [f"the mount ended with {status}"] * bool(status)
    if status is None:
        wrong = [f"the mount did not end within {_END_S:g} s"]
    if is_mounted(mount.path):
        wrong.append("it is still mounted")
    return wrong
