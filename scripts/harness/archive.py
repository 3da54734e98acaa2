"""The embedded archive in a process of its own: filled first, then serving, its requests counted.

The archive's own log holds the last 200,000 requests, fewer than a hundredth of a large estate
takes.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

import trio

from attachfs.demo.archive import Archive
from attachfs.demo.launch import ArchiveConfig, run_archive
from attachfs.demo.traffic import Logged, Traffic
from harness.mounts import Access
from harness.processes import Worker, worker

_ANSWER_S: Final = 60.0
_UUID: Final = "[0-9a-f-]{36}"
_HOLDER: Final = f"assets/{_UUID}(?:/events/{_UUID})?"
_PATTERNS: Final = {
    "asset pages": "assets",
    "event pages": f"assets/(?:-|{_UUID})/events",
    "asset records": f"assets/{_UUID}",
    "event records": f"assets/{_UUID}/events/{_UUID}",
    "infos": f"attachments/{_HOLDER}/{_UUID}/info",
    "bodies": f"attachments/{_HOLDER}/{_UUID}",
}
REFUSALS: Final = "refusals"
KINDS: Final = (*_PATTERNS, REFUSALS)
OTHERS: Final = "others"
_TOO_MANY: Final = 429


def kind_of(path: str) -> str:
    """Return the kind of a request."""
    below = path.removeprefix("/archivist/v2/")
    return next((kind for kind, each in _PATTERNS.items() if re.fullmatch(each, below)), OTHERS)


class CountedTraffic(Traffic):
    """Count requests and the bytes of their answers; refuse those beyond `rate` a second.

    The limit is a token bucket that holds a second's worth; 0 means no limit.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self._requests: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self.set_rate(rate)

    def set_rate(self, rate: float) -> None:
        """Allow `rate` requests a second from now on."""
        self._rate = self._tokens = rate
        self._filled_s = time.monotonic()

    def note(self, entry: Logged) -> None:
        """Count a request, by its kind or as a refusal."""
        kind = REFUSALS if entry.status == _TOO_MANY else kind_of(entry.path)
        self._requests[kind] += 1
        self._bytes[kind] += entry.response_bytes

    def is_limited(self, every: int) -> bool:
        """Return whether a request is refused."""
        if not self._rate:
            return super().is_limited(every)
        now_s = time.monotonic()
        self._tokens = min(self._tokens + (now_s - self._filled_s) * self._rate, self._rate)
        self._filled_s = now_s
        is_limited = self._tokens < 1
        self._tokens -= not is_limited
        return is_limited

    def take(self) -> dict[str, dict[str, int]]:
        """Return what was counted since the last call."""
        counted = {"requests": dict(self._requests), "bytes": dict(self._bytes)}
        self._requests.clear()
        self._bytes.clear()
        return counted


@dataclass(frozen=True, slots=True)
class Served:
    """What gives access to an archive, and what filling it has returned."""

    access: Access
    filled: Any
    _worker: Worker

    def counted(self, rate: float = 0.0) -> dict[str, Any]:
        """Return what was counted since the last call; allow `rate` requests a second from now."""
        self._worker.send(rate)
        counted: dict[str, Any] = self._worker.receive(_ANSWER_S)
        return counted


@contextmanager
def serving_archive(fill: Callable[[Archive], Any], *, within_s: float) -> Iterator[Served]:
    """Serve an archive for the block, which begins once it is filled, in so many seconds."""
    with worker(_run, fill) as archive:
        url, token_file, filled = archive.receive(within_s)
        yield Served(Access(url, token_file), filled, archive)


def _run(pipe: Connection, fill: Callable[[Archive], Any]) -> None:
    trio.run(_serve, pipe, fill)


async def _serve(pipe: Connection, fill: Callable[[Archive], Any]) -> None:
    async with trio.open_nursery() as nursery:
        running = await nursery.start(partial(run_archive, ArchiveConfig(empty=True)))
        traffic = running.archive.traffic = CountedTraffic()
        pipe.send((running.url, running.token_file, fill(running.archive)))
        with suppress(EOFError):  # at the end of the block
            while True:
                traffic.set_rate(await trio.to_thread.run_sync(pipe.recv))
                pipe.send(traffic.take())
        nursery.cancel_scope.cancel()
