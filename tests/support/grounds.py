"""A mount of an archive behind a proxy that plays faults, and reads that each meet one of them.

Its clocks are the test's: time passes only while every request that was made is stalled.
"""

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path

from attachfs.demo.launch import ArchiveConfig, RunningArchive
from tests.conftest import serving
from tests.support.archives import uuid_in
from tests.support.clocks import Clocks
from tests.support.evidence import attach, record_event
from tests.support.faultproxy import Fault, FaultProxy, Status, faulty
from tests.support.mounts import PATIENCE_S, Mount, Steering, bare_environment, mounting
from tests.support.outcomes import WELL, ask_for_nothing, outcome, until
from tests.support.reliability import ANSWERED, REFUSED, SURVIVED, Row, record

RECORD, LISTING, INFO, OPEN = "record", "listing page", "/info", "/info of an open"
SMALL, LARGE = "small body", "large body"
METADATA = (RECORD, LISTING, INFO)
BODIES = (SMALL, LARGE)
PLACES = (*METADATA, OPEN, *BODIES)
SMALL_BYTES, LARGE_BYTES = 64 << 10, 6 << 20

WRONG = "wrong bytes"
# The mount lets go of who waits so long after the deadline (`mount/callers.py`), and a step more.
MOMENT_S = 1.0
_PAGE_LIMIT, _EVENTS = 2, 3
# No more, lest so many failures in a row pass for an outage.
_READERS = 6
_making = threading.Lock()


@dataclass(frozen=True)
class Case:
    """A fault, for how many requests it lasts, and how reads of each place end that meet it."""

    name: str
    fault: Fault
    ends: Mapping[str, str]
    times: float = 1


@dataclass(frozen=True)
class _Try:
    """A read of what nobody else reads, and the request that it takes."""

    place: str
    path_regex: str
    read: Callable[[], object]
    right: Callable[[], object]
    known: Path


@dataclass(frozen=True)
class Met:
    """How a try ended: `WELL`, `WRONG` or the name of an errno; how late; and the requests.

    `took_s` is by the mount's clock, `real_s` by the machine's.
    """

    place: str
    outcome: str
    took_s: float
    real_s: float
    requests: int


class Grounds:
    """An archive, a proxy that plays faults before it, and a mount of what the proxy passes on."""

    def __init__(
        self,
        archive: Steering,
        proxy: FaultProxy,
        mounted: Mount,
        clocks: Clocks,
        timeout_s: float,
    ) -> None:
        self.archive = archive
        self.proxy = proxy
        self.mounted = mounted
        self.clocks = clocks
        self.timeout_s = timeout_s
        self._threads: list[threading.Thread] = []

    def played(
        self, case: Case, *, begin: Callable[[], object] = lambda: None, others: bool = True
    ) -> list[Met]:
        """Read in each of the case's places at once, each request meeting the fault.

        `begin` is called when nothing but these reads is left to do. With `others`, the server
        answers others all the while: one that answers nobody is an outage.
        """
        with _making:
            made = [self._try(place) for place in case.ends]
        with ThreadPoolExecutor(max(_READERS, len(made))) as pool:
            with self._time_passing():  # what a fault before this one has begun may go on
                list(pool.map(lambda each: each.known.stat(), made))
            if case.fault.on_connect:
                self.proxy.add(case.fault, times=case.times)
                self.cut()
            else:
                for each in made:
                    self.proxy.add(case.fault, each.path_regex, case.times)
            begin()
            all_begun = threading.Barrier(len(made) + 1)
            met = [pool.submit(self._measured, each, all_begun.wait) for each in made]
            all_begun.wait(PATIENCE_S)  # no time passes before somebody waits for it
            with self._time_passing(self.timeout_s + MOMENT_S, others=others):
                results = [each.result() for each in met]
        for thread in self._threads:
            thread.join()
        return results

    def for_a_second(
        self, begin: Callable[[], object], end: Callable[[], object]
    ) -> Callable[[], None]:
        """Return what makes something be so for a second of the mount's time."""

        def start() -> None:
            begin()
            end_s = self.clocks.now_s() + 1

            def last() -> None:
                until(lambda: self.clocks.now_s() >= end_s)
                end()

            thread = threading.Thread(target=last)
            self._threads.append(thread)
            thread.start()

        return start

    def _time_passing(
        self, most_s: float = inf, *, others: bool = False
    ) -> AbstractContextManager[None]:
        assets = self.mounted.path / "assets"
        return self.clocks.passing(
            most_s,
            if_=self.proxy.idle,
            # A step takes at least as long as the mount takes to answer, on a busy machine as well.
            after_each=partial(ask_for_nothing if others else os.statvfs, assets),
        )

    def cut(self) -> None:
        """Cut all connections that are kept."""
        self.proxy.refuse()
        self.proxy.accept()

    def recover(self) -> None:
        """Wait until something that nobody has read yet can be read."""
        with self._time_passing():
            until(lambda: self._measured(self._try(RECORD)).outcome == WELL)

    def alive(self) -> None:
        """Assert that the mount goes on: what nobody has read yet is read, and no trace is left."""
        self.proxy.clear()
        for place in PLACES:
            with self._time_passing():
                met = self._measured(self._try(place))
            assert met.outcome == WELL, met
        assert self.mounted.process.poll() is None
        assert not any("Traceback" in line for line in self.mounted.log)

    def _measured(self, one: _Try, begun: Callable[[], object] = lambda: None) -> Met:
        begun_s, really_s = self.clocks.now_s(), time.monotonic()
        begun()
        read: list[object] = []
        ended = outcome(lambda: read.append(one.read()))
        took_s, real_s = self.clocks.now_s() - begun_s, time.monotonic() - really_s
        if ended == WELL and read[0] != one.right():
            ended = WRONG
        asked = self.proxy.requests
        requests = sum(re.search(one.path_regex, each.path) is not None for each in asked)
        return Met(one.place, ended, took_s, real_s, requests)

    def _try(self, place: str) -> _Try:
        """Make something of a place that nobody knows yet."""
        if place == RECORD:
            return self._record()
        if place == LISTING:
            return self._listing()
        if place == INFO:
            return self._info()
        return self._bytes(place)

    def _record(self) -> _Try:
        asset, (event,) = self._happened(1)
        events = self.mounted.path / "assets" / asset / "events"
        path = f"assets/{asset}/events/{event}"

        def read() -> object:
            return json.loads((events / event / "event.json").read_bytes())

        return _Try(RECORD, f"{path}$", read, lambda: self.archive.record(path), events)

    def _listing(self) -> _Try:
        """Have the events of an asset listed, of which the second page is met."""
        asset, _ = self._happened(_EVENTS)
        events = self.mounted.path / "assets" / asset / "events"

        def read() -> object:
            return {path.name for path in events.iterdir()}

        def right() -> object:
            listed: set[str] = set()
            query: str | None = ""
            while query is not None:
                page = self.archive.record(f"assets/{asset}/events{query}")
                listed |= set(map(uuid_in, page["events"]))
                token = page.get("next_page_token")
                query = f"?page_token={token}" if token else None
            return listed

        return _Try(LISTING, f"assets/{asset}/events\\?.*page_token=", read, right, events)

    def _info(self) -> _Try:
        evidence = attach(self.archive.running, SMALL_BYTES)
        path = self.mounted.path / evidence.path

        def read() -> object:
            return json.loads(path.with_name(f"{path.name}.info.json").read_bytes())

        def right() -> object:
            return self.archive.record(f"attachments/{evidence.path}/info")

        return _Try(INFO, f"/{path.name}/info$", read, right, path.parent)

    def _bytes(self, place: str) -> _Try:
        size_bytes = LARGE_BYTES if place == LARGE else SMALL_BYTES
        evidence = attach(self.archive.running, size_bytes)
        path = self.mounted.path / evidence.path
        if place == OPEN:  # whose right to read is asked for by its /info
            pattern, known = f"/{path.name}/info$", path.parent
        else:
            pattern, known = f"/{path.name}(\\?|$)", path
        return _Try(place, pattern, path.read_bytes, lambda: evidence.content, known)

    def _happened(self, times: int) -> tuple[str, list[str]]:
        """Make an asset with events; return the UUIDs of it and of those."""
        evidence = attach(self.archive.running)
        return evidence.asset, [record_event(self.archive.running, evidence) for _ in range(times)]


@contextmanager
def grounds(
    directory: Path,
    number: int,
    *,
    timeout_s: float,
    host: str = "",
    tls: bool = False,
    expected_warnings: Iterable[str] = (),
    program: Sequence[str] = (),
) -> Iterator[list[Grounds]]:
    """Mount an archive of their own so many times, each behind a proxy; all must stay alive.

    `host` is another name for this machine, `program` what is run in place of attachfs itself.
    """
    with ExitStack() as stack:
        archive = stack.enter_context(_archive())
        made: list[Grounds] = []
        for each in range(number):
            own = directory / str(each)
            own.mkdir()
            clocks = Clocks(own / "clocks")
            proxy = stack.enter_context(faulty(archive.url, tls=tls, now_s=clocks.now_s))
            # Each listing is to be asked for by itself.
            proxy.add(Status(400), "/assets/-/events", float("inf"))
            start = stack.enter_context(mounting(archive, bare_environment(own), own))
            url = proxy.url.replace("127.0.0.1", host) if host else proxy.url
            trust = ("--ca-bundle", proxy.ca_file) if tls else ("--allow-http",)
            options = ("--url", url, "--timeout", f"{timeout_s:g}s", *trust)
            mounted = start(*options, program=clocks.program(*program))
            mounted.expected_warnings |= set(expected_warnings)
            made.append(Grounds(archive, proxy, mounted, clocks, timeout_s))
        yield made
        for each_ground in made:
            each_ground.alive()


@contextmanager
def _archive() -> Iterator[Steering]:
    running: RunningArchive
    with serving(ArchiveConfig(empty=True)) as running, Steering(running) as archive:
        archive.switch(default_page_limit=_PAGE_LIMIT, max_page_limit=_PAGE_LIMIT)
        yield archive


def all_played(made: list[Grounds], cases: Iterable[Case]) -> dict[str, list[Met]]:
    """Play cases on all grounds at once, each case on one of them; return what each met."""
    results: dict[str, list[Met]] = {}
    left = iter(list(cases))
    lock = threading.Lock()

    def play(ground: Grounds) -> None:
        while True:
            with lock:
                case = next(left, None)
            if case is None:
                return
            results[case.name] = ground.played(case)

    with ThreadPoolExecutor(len(made)) as pool:
        list(pool.map(play, made))
    return results


def judge(group: str, case: Case, results: list[Met], *, timeout_s: float) -> None:
    """Assert that a case ended as it should, in time, and record a row for each end it had."""
    assert {met.place: met.outcome for met in results} == case.ends, results
    assert max(met.took_s for met in results) <= timeout_s + MOMENT_S, results
    assert max(met.real_s for met in results) < PATIENCE_S, results
    for end in dict.fromkeys(case.ends.values()):
        alike = [met for met in results if met.outcome == end]
        longest_s = max(max(met.took_s, met.real_s) for met in alike)
        how = SURVIVED if end == WELL else ANSWERED if longest_s < MOMENT_S else REFUSED
        where = ", ".join(dict.fromkeys(met.place for met in alike))
        errno = "" if end == WELL else end
        record(Row(group, case.name, where, len(alike), how, errno, longest_s))
