"""Programs that wait for a mount, each in one operation of the kernel's, for an answer to come."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.clocks import Clocks
from tests.support.evidence import attach, record_event
from tests.support.mounts import PATIENCE_S, Steering
from tests.support.outcomes import until
from tests.support.relays import Relay

# Of a body this large, so much is handed out while the rest is waited for.
LARGE_BYTES = 6 * 1024 * 1024
HELD_BYTES = 3 * 1024 * 1024
# What cannot be told from a name has to be asked for, every time.
LIFETIMES = ("--metadata-ttl", "0s", "--stale-ok", "0s")
_NEVER_S = 300.0


@dataclass(frozen=True)
class Caller:
    """A program under way, and in which operation it waits."""

    operation: str
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class _Call:
    """How to wait in an operation: what program to run on what, and which answer to hold back.

    `arguments` are of a program that gets `node`, opened as no more than a path, as descriptor
    `{fd}`: nothing but the operation itself asks the mount anything.
    """

    operation: str
    arguments: tuple[str, ...]
    node: str
    path_regex: str
    skip: int = 0


_PYTHON = (sys.executable, "-c")


def _calls(archive: Steering) -> Iterator[_Call]:
    running = archive.running
    fd = "/proc/self/fd/{fd}"
    small = attach(running, 1000)
    event = record_event(running, small)
    events = f"{small.directory}/events"
    yield _Call("lookup", ("stat", f"{fd}/{event}"), events, f"/events/{event}$")
    small = attach(running, 1000)
    yield _Call("getattr", ("stat", "-L", fd), small.directory, f"v2/{small.directory}$")
    small = attach(running, 1000)
    yield _Call("open", ("cat", fd), small.path, f"v2/{small.directory}$")
    small = attach(running, 1000)
    script = f"import os; os.getxattr('{fd}', 'user.mime_type')"
    yield _Call("getxattr", (*_PYTHON, script), small.path, f"{small.path}/info$")
    small = attach(running, 1000)
    script = f"import os; os.listxattr('{fd}')"
    yield _Call("listxattr", (*_PYTHON, script), small.path, f"{small.path}/info$")
    small = attach(running, 1000)
    script = f"import os; os.scandir('{fd}/')"
    # The first is asked for by the kernel's check of permissions.
    yield _Call("opendir", (*_PYTHON, script), small.directory, f"v2/{small.directory}$", skip=1)
    yield _Call("readdir", ("ls", "-U", fd + "/"), "assets", "")
    two = attach(running, 1000, 1000)
    sums = f"{fd}/SHA256SUMS"
    yield _Call("lookup of SHA256SUMS", ("cat", sums), two.directory, f"{two.attachments[1]}/info$")
    small = attach(running, 1000)
    yield _Call("read", ("cat", fd), small.path, f"{small.path}$")
    large = attach(running, LARGE_BYTES)
    yield _Call("read of a large file", ("cat", fd), large.path, "")


@contextmanager
def calling(
    root: Path, archive: Steering, relay: Relay, refresh: Callable[[], object], *, times: int = 1
) -> Iterator[list[Caller]]:
    """Have programs wait in all operations of a mount, `times` of each.

    The mount is of the relay, with `LIFETIMES` and clocks that stand still: some operations are
    served what is known after a second. `refresh` makes it forget what it knows. Programs that are
    left at the end of the block are killed.
    """
    calls = [call for _ in range(times) for call in _calls(archive)]
    with ExitStack() as stack:
        nodes: list[int] = []
        for call in calls:
            nodes.append(os.open(root / call.node, os.O_PATH))
            stack.callback(os.close, nodes[-1])
        refresh()
        archive.reset()
        for call in calls:
            if call.path_regex:
                archive.fail_next(
                    path_regex=call.path_regex, skip=call.skip, status=0, delay_s=_NEVER_S
                )
        # All list the same: the second page is the one that does not come.
        archive.switch(default_page_limit=5, max_page_limit=5)
        archive.fail_next(path_regex="v2/assets$", skip=1, status=0, delay_s=_NEVER_S)
        relay.hold(HELD_BYTES)
        callers: list[Caller] = []
        for call, node in zip(calls, nodes, strict=True):
            process = subprocess.Popen(
                [argument.replace("{fd}", str(node)) for argument in call.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[node],
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            callers.append(Caller(call.operation, process))
        until(lambda: not archive.failures_left())
        assert relay.held.wait(PATIENCE_S)
        yield callers
        relay.release()
        archive.reset()


def gone_after_s(processes: Sequence[subprocess.Popen[bytes]], since_s: float) -> list[float]:
    """Wait for processes to end; return how long after a moment of the monotonic clock each did."""

    def wait(process: subprocess.Popen[bytes]) -> float:
        process.wait(PATIENCE_S)
        return time.monotonic() - since_s

    with ThreadPoolExecutor(len(processes)) as pool:
        return list(pool.map(wait, processes))


def gone_within_a_second(
    processes: Sequence[subprocess.Popen[bytes]], clocks: Clocks
) -> list[float]:
    """Wait for processes to end by themselves, once that much of the mount's time has passed."""
    begun_s = clocks.now_s()

    def wait(process: subprocess.Popen[bytes]) -> float:
        process.wait(PATIENCE_S)
        return clocks.now_s() - begun_s

    with clocks.passing(0.9), ThreadPoolExecutor(len(processes)) as pool:
        gone_s = list(pool.map(wait, processes))
    assert max(gone_s) < 1, gone_s
    return gone_s
