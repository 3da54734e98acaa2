"""An outage costs the server as much as one reader, and the log two lines."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.support.clocks import Clocks
from tests.support.evidence import attach
from tests.support.faultproxy import FaultProxy, Status, faulty
from tests.support.mounts import Mount, Steering, archive, clocks, environment, mount
from tests.support.outcomes import WELL, outcome, until
from tests.support.reliability import REFUSED, SURVIVED, Row, record

__all__ = ["archive", "clocks", "environment", "mount"]

pytestmark = pytest.mark.mount

_READERS = 200
_TIMEOUT_S = 3.0
# 8 in a row begin it; then pauses of 0.1, 0.2, ... 1 s are between them; what is under way is 64.
_MOST_REQUESTS = 64 + 8 + 10


def _unavailable(proxy: FaultProxy) -> None:
    proxy.choose(lambda _: Status(503))


_OUTAGES: dict[str, tuple[Callable[[FaultProxy], object], Callable[[FaultProxy], object], str]] = {
    "503 for everything": (_unavailable, FaultProxy.clear, "EIO"),
    "connections refused": (FaultProxy.refuse, FaultProxy.accept, "EHOSTUNREACH"),
    "no answer to anything": (FaultProxy.black_hole, FaultProxy.accept, "ETIMEDOUT"),
}


@pytest.mark.parametrize("name", _OUTAGES)
def test_many_readers_share_an_outage(
    mount: Callable[..., Mount], archive: Steering, clocks: Clocks, name: str
) -> None:
    """Each has an error by the deadline, the server few requests; afterwards all read right."""
    begin, end, errno = _OUTAGES[name]
    pieces = [attach(archive.running, 1000) for _ in range(_READERS)]
    with faulty(archive.url) as proxy:
        options = ("--timeout", f"{_TIMEOUT_S:g}s", "--negative-ttl", "0s")
        mounted = mount("--url", proxy.url, *options, program=clocks.program())
        paths = [mounted.path / piece.path for piece in pieces]
        assert all(path.stat() for path in paths)
        together = threading.Barrier(_READERS)

        def read(path: Path) -> tuple[str, float]:
            together.wait()
            begun_s = clocks.now_s()
            return outcome(path.read_bytes), clocks.now_s() - begun_s

        # A step takes at least as long as the mount takes to answer.
        ready = partial(os.statvfs, mounted.path)
        begin(proxy)
        proxy.forget()
        with ThreadPoolExecutor(_READERS) as pool:
            with clocks.passing(2 * _TIMEOUT_S, if_=proxy.idle, after_each=ready):
                ended = list(pool.map(read, paths))
            asked = max(len(proxy.requests), proxy.connections)
            lines = mounted.unexpected()
            end(proxy)
            longest_s = max(took_s for _, took_s in ended)
            assert {name for name, _ in ended} == {errno}
            assert longest_s < 2 * _TIMEOUT_S  # nobody waits for another deadline
            assert asked < _MOST_REQUESTS
            begun_s = clocks.now_s()
            with clocks.passing(if_=proxy.idle, after_each=ready):
                until(lambda: set(pool.map(outcome, [path.read_bytes for path in paths])) == {WELL})
            again_s = clocks.now_s() - begun_s
            contents = list(pool.map(Path.read_bytes, paths))
    assert contents == [piece.content for piece in pieces]
    assert len(lines) == 1
    mounted.expected_warnings.add(lines[0])
    until(lambda: sum("the server answers again" in line for line in mounted.log) == 1)
    where = f"reads of {_READERS} files at once, {asked} requests, 1 line in the log"
    record(Row("Outages", name, where, _READERS, REFUSED, errno, longest_s))
    record(Row("Outages", f"{name}, over", where, _READERS, SURVIVED, "", again_s))
