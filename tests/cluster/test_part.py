"""The right to be at work: one limit for all workers of a cluster."""

import asyncio
import importlib
import resource
import sys
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from attachfs.errors import Closing
from tests.support.lazy import LazyModule
from tests.support.mounts import PATIENCE_S

dask_config, distributed = LazyModule("dask.config"), LazyModule("distributed")


@pytest.fixture
def part() -> Any:
    """The module, which imports Dask: no other worker of xdist needs to."""
    return importlib.import_module("attachfs.cluster.part")


def test_no_more_workers_than_may_be_are_at_work(part: Any, tmp_path: Path) -> None:
    """The parts of one worker share its lease; the next one begins when the last of them ends."""
    began, at_once = threading.Event(), []

    with (
        dask_config.set({"temporary-directory": str(tmp_path)}),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        one, other = (part._Lease("an archive 1", 1) for _ in range(2))

        def wait() -> None:
            with other.shared():
                at_once.append(busy)
                began.set()

        with one.shared():
            busy = True
            with one.shared():
                thread = threading.Thread(target=wait)
                thread.start()
            assert not began.wait(0.3)  # a part has ended, not the worker's work
            busy = False
        assert began.wait(PATIENCE_S)
        thread.join(PATIENCE_S)
    assert at_once == [False]


class _Opened:
    """Stand for an archive that is open for a run."""

    def __init__(self, _order: object) -> None:
        self.parts = 0
        self.used_s = -1e9
        self.is_closed = False
        self.portal = self
        self.is_open = True

    def close(self) -> None:
        self.is_closed = True


def _order(part: Any, run: str) -> Any:
    return part.Order(
        run=run,
        settings=None,
        job=None,
        jobs=1,
        leases=1,
        own_cache=False,
        refetch=False,
        borrowed=True,
    )


def test_a_process_is_as_it_was_once_nothing_is_open(part: Any) -> None:
    """It may be somebody's worker, which does other work as well."""

    def state() -> tuple[object, ...]:
        limits = (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE)
        return (*map(resource.getrlimit, limits), sys.getswitchinterval())

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = state()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1000, hard), hard))
    try:
        lower = state()
        with part._TUNED:
            with part._TUNED:
                pass
            assert resource.getrlimit(resource.RLIMIT_CORE)[0] <= 1
            assert sys.getswitchinterval() < 0.005
        assert state() == lower
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before[1])  # type: ignore[arg-type]


def test_a_part_that_comes_after_the_end_opens_nothing(
    part: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for its turn while the run was broken off."""
    monkeypatch.setattr(part, "_Open", _Opened)
    opened: Any = part._opened(_order(part, "one"))
    asyncio.run(part.end("one"))
    assert opened.is_closed
    with pytest.raises(Closing):
        part._opened(_order(part, "one"))


def test_what_a_lost_client_left_open_is_closed(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the next run, once nothing was done for it for a while."""
    monkeypatch.setattr(part, "_Open", _Opened)
    lost, busy = (cast("_Opened", part._opened(_order(part, run))) for run in ("lost", "busy"))
    lost.parts -= 1
    next_one = cast("_Opened", part._opened(_order(part, "next")))
    assert [one.is_closed for one in (lost, busy, next_one)] == [True, False, False]
    for run in ("busy", "next"):
        part._end(run)
