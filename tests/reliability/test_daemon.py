"""The mount's own process, and those that wait for it: killed, ended, started twice."""

import hashlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.callers import (
    HELD_BYTES,
    LARGE_BYTES,
    LIFETIMES,
    calling,
    gone_after_s,
    gone_within_a_second,
)
from tests.support.clocks import Clocks
from tests.support.daemons import adopting, daemon_on, end
from tests.support.evidence import attach
from tests.support.mounts import (
    PATIENCE_S,
    Mount,
    Steering,
    archive,
    attachfs,
    clocks,
    environment,
    mount,
)
from tests.support.outcomes import outcome, until
from tests.support.programs import Done, left_mounted, running, sentence
from tests.support.relays import Relay, relaying
from tests.support.reliability import Row, record

__all__ = ["archive", "attachfs", "clocks", "environment", "mount"]

pytestmark = pytest.mark.mount

Run = Callable[..., Done]
_GROUP = "The daemon and its callers"
_KILL, _TERM, _INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
_AT_ONCE = 20
_ALREADY_MOUNTED = 12


@pytest.fixture
def relay(archive: Steering) -> Iterator[Relay]:
    """A relay in front of the archive."""
    with relaying(archive.url) as relay:
        yield relay


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    """A directory that is unmounted at the end, whatever the test left there."""
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    left_mounted(tmp_path)


@pytest.fixture
def background(attachfs: Run, archive: Steering, relay: Relay, mountpoint: Path) -> Iterator[Run]:
    """Mount through the relay by the plain command; what it leaves is this process's child."""

    def start(*options: object, **how: Any) -> Done:
        where = ("--url", relay.url, "--token-file", archive.token_file)
        done = attachfs("mount", mountpoint, *where, *options, **how)
        assert done.returncode == 0, done.stderr
        return done

    with adopting():
        yield start


def _mounts_on(mountpoint: Path) -> int:
    """Count what is mounted there, one over the other."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sum(f" {mountpoint} " in line for line in lines)


def _log_of(done: Done) -> str:
    """Return what a mount in the background has logged."""
    return Path(done.stdout.rstrip().partition("; log: ")[2]).read_text()


def test_a_mount_killed_in_mid_download_is_replaced_by_the_plain_command(
    *,
    background: Run,
    archive: Steering,
    relay: Relay,
    attachfs: Run,
    mountpoint: Path,
    environment: dict[str, str],
) -> None:
    """Its reader gets an error, nothing is left of the draft, and the next mount reads it right."""
    evidence = attach(archive.running, LARGE_BYTES)
    path = mountpoint / evidence.path
    drafts = Path(environment["XDG_CACHE_HOME"], "attachfs", "objects", "drafts")
    background()
    assert path.stat()
    relay.hold(HELD_BYTES)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(outcome, path.read_bytes)
        assert relay.held.wait(PATIENCE_S)
        assert len(list(drafts.iterdir())) == 1
        killed_s = time.monotonic()
        assert end(daemon_on(mountpoint), _KILL) == -_KILL
        errno = reading.result(10)
        longest_s = time.monotonic() - killed_s
    assert errno in ("ENOTCONN", "ECONNABORTED")
    relay.release()
    background()
    assert _mounts_on(mountpoint) == 1
    assert list(drafts.iterdir()) == []
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(evidence.content).digest()
    assert list(drafts.iterdir()) == []
    daemon = daemon_on(mountpoint)
    assert attachfs("umount", mountpoint).returncode == 0
    assert end(daemon) == 0
    record(
        Row(
            _GROUP,
            "kill -9 of the daemon in mid-download, mounted again",
            "read of a large file",
            1,
            "an error at once; right bytes after `attachfs mount`",
            errno,
            longest_s,
        )
    )


@pytest.mark.parametrize("how", [_TERM, _INT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_whatever_its_readers_wait_for(
    *,
    mount: Callable[..., Mount],
    archive: Steering,
    relay: Relay,
    attachfs: Run,
    clocks: Clocks,
    how: signal.Signals,
) -> None:
    """Unmounted, exit 0, at once: no time passes; each reader has an error, and none hangs."""
    mounted = mount("--url", relay.url, *LIFETIMES, program=clocks.program())

    def refresh() -> None:
        clocks.advance(1)  # what is known is older than that
        assert attachfs("refresh", mounted.path).returncode == 0

    with calling(mounted.path, archive, relay, refresh) as callers:
        told_s = time.monotonic()
        assert mounted.end(how) == 0
        ended_s = time.monotonic() - told_s
        assert not mounted.path.is_mount()
        gone_s = gone_after_s([caller.process for caller in callers], told_s)
        statuses = {caller.operation: caller.process.returncode for caller in callers}
    assert {name: status for name, status in statuses.items() if status not in (1, 2)} == {}
    record(
        Row(
            _GROUP,
            f"{how.name} with readers in flight",
            ", ".join(statuses),
            len(statuses),
            "unmounted, exit 0",
            "ENOTCONN",
            max(ended_s, *gone_s),
        )
    )


def test_signals_in_a_row_end_a_mount_in_the_background_as_well(
    *,
    background: Run,
    archive: Steering,
    relay: Relay,
    attachfs: Run,
    clocks: Clocks,
    mountpoint: Path,
) -> None:
    """No second one cuts the taking down short: unmounted, exit 0, nothing odd in the log."""
    done = background(*LIFETIMES, program=clocks.program())
    daemon = daemon_on(mountpoint)

    def refresh() -> None:
        clocks.advance(1)  # what is known is older than that
        assert attachfs("refresh", mountpoint).returncode == 0

    with calling(mountpoint, archive, relay, refresh) as callers:
        told_s = time.monotonic()
        assert end(daemon, _TERM, _TERM, _INT, _TERM) == 0
        ended_s = time.monotonic() - told_s
        assert not mountpoint.is_mount()
        gone_s = gone_after_s([caller.process for caller in callers], told_s)
        statuses = {caller.operation: caller.process.returncode for caller in callers}
    assert {name: status for name, status in statuses.items() if status not in (1, 2)} == {}
    log = _log_of(done)
    assert "unmounted" in log
    assert "Traceback" not in log
    assert "[error" not in log
    record(
        Row(
            _GROUP,
            "SIGTERM twice and SIGINT, in the background",
            ", ".join(statuses),
            len(statuses),
            "unmounted, exit 0",
            "ENOTCONN",
            max(ended_s, *gone_s),
        )
    )


def test_who_is_killed_is_gone_within_a_second(
    mount: Callable[..., Mount], archive: Steering, relay: Relay, attachfs: Run, clocks: Clocks
) -> None:
    """By SIGKILL, SIGTERM or SIGINT, whatever it waits for; the mount goes on."""
    mounted = mount("--url", relay.url, *LIFETIMES, program=clocks.program())
    good = attach(archive.running, LARGE_BYTES)

    def refresh() -> None:
        clocks.advance(1)  # what is known is older than that
        assert attachfs("refresh", mounted.path).returncode == 0

    signals = (_KILL, _TERM, _INT)
    with calling(mounted.path, archive, relay, refresh, times=len(signals)) as callers:
        each = len(callers) // len(signals)
        sent = [number for number in signals for _ in range(each)]
        for caller, number in zip(callers, sent, strict=True):
            caller.process.send_signal(number)
        gone_s = gone_within_a_second([caller.process for caller in callers], clocks)
        ends = [(caller.operation, caller.process.returncode) for caller in callers]
    assert [status for _, status in ends] == [-number for number in sent]
    with clocks.passing():
        assert (mounted.path / good.path).read_bytes() == good.content
    record(
        Row(
            _GROUP,
            "a process is killed (SIGKILL, SIGTERM, SIGINT) while it waits",
            ", ".join(dict.fromkeys(operation for operation, _ in ends)),
            len(ends),
            "it is gone within a second, the mount goes on",
            "EINTR",
            max(gone_s),
        )
    )


def test_many_who_are_killed_at_once_are_gone_within_a_second(
    mount: Callable[..., Mount], archive: Steering, relay: Relay, clocks: Clocks
) -> None:
    """Also those whose turn has not come: the kernel looks up one name at a time in a directory."""
    evidence = attach(archive.running, 1000)
    mounted = mount("--url", relay.url, "--timeout", "6s", program=clocks.program())
    path = mounted.path / evidence.path
    assert path.stat()
    names = [path.parent / "events" / str(uuid4()) for _ in range(_AT_ONCE)]
    assert names[0].parent.stat()
    archive.fail_next(path_regex="/events/", status=0, delay_s=300, times=1)
    archive.fail_next(path_regex=f"{path.name}$", status=0, delay_s=300, times=1)
    commands = [("stat", name) for name in names] + [("cat", path)] * _AT_ONCE
    with ExitStack() as stack:
        callers: list[subprocess.Popen[bytes]] = []
        for command in commands:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            callers.append(process)
        until(lambda: not archive.failures_left())
        until(lambda: all(_waits(process.pid) for process in callers))
        for process in callers:
            process.kill()
        gone_s = gone_within_a_second(callers, clocks)
    archive.reset()
    with clocks.passing():
        assert outcome(names[0].stat) == "ENOENT"
        assert path.read_bytes() == evidence.content
    record(
        Row(
            _GROUP,
            "many processes are killed (SIGKILL) at once",
            "lookups in one directory, reads of one file",
            len(gone_s),
            "they are gone within a second, the mount goes on",
            "EINTR",
            max(gone_s),
        )
    )


def _waits(pid: int) -> bool:
    """Tell whether a process has come to where it sleeps, in a program that asks the mount."""
    name, _, state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    return name.endswith(("(stat", "(cat")) and state.split()[0] in "DS"


def test_of_two_started_at_once_on_one_mount_point_one_mounts(
    archive: Steering, relay: Relay, environment: dict[str, str], mountpoint: Path
) -> None:
    """The other says that it is taken, by its exit code, too; the mount works and ends as one."""
    arguments = ("mount", mountpoint, "--url", relay.url, "--token-file", archive.token_file)
    evidence = attach(archive.running, 1000)
    # Both have found the directory free before either can mount.
    relay.hold(0)
    with ExitStack() as stack:
        both = [
            stack.enter_context(running(*arguments, "--foreground", env=environment))
            for _ in range(2)
        ]
        begun_s = time.monotonic()
        while len(archive.paths()) < len(both) and time.monotonic() < begun_s + 3:
            assert [process.poll() for process in both] == [None, None]
            time.sleep(0.01)  # one of them may wait for the other instead
        relay.release()
        until(lambda: both[0].poll() != both[1].poll() or _mounts_on(mountpoint) > 1)
        codes = [process.poll() for process in both]
        assert sorted(codes, key=str) == [_ALREADY_MOUNTED, None]
        until(mountpoint.is_mount)
        assert (mountpoint / evidence.path).read_bytes() == evidence.content
        assert _mounts_on(mountpoint) == 1
        winner = both[codes.index(None)]
        loser = both[codes.index(_ALREADY_MOUNTED)]
        _, said = loser.communicate()
        done = Done(loser.args, _ALREADY_MOUNTED, "", said)
        assert f"attachfs is mounted on {mountpoint} already" in sentence(done)
        winner.send_signal(_TERM)
        assert winner.wait(PATIENCE_S) == 0
    assert not mountpoint.is_mount()
    record(
        Row(
            _GROUP,
            "two daemons at once on one mount point",
            "mount",
            2,
            "one mounts, one exits with 12",
            "",
            0,
        )
    )
