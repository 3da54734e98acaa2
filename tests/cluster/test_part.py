"""The right to be at work: one limit for all workers of a cluster."""

import asyncio
import threading
from pathlib import Path
from typing import Any, cast

import dask.config
import pytest
from distributed import Client, LocalCluster

from attachfs.cluster import part
from attachfs.cluster.part import Order, _Lease
from attachfs.errors import Closing
from tests.support.mounts import PATIENCE_S


def test_no_more_workers_than_may_be_are_at_work(tmp_path: Path) -> None:
    """The parts of one worker share its lease; the next one begins when the last of them ends."""
    began, at_once = threading.Event(), []

    with (
        dask.config.set({"temporary-directory": str(tmp_path)}),
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        Client(cluster),
    ):
        one, other = _Lease("an archive 1", 1), _Lease("an archive 1", 1)

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


def _order(run: str) -> Order:
    nothing: Any = None
    return Order(
        run=run, settings=nothing, job=nothing, jobs=1, leases=1, own_cache=False, refetch=False
    )


def test_a_part_that_comes_after_the_end_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waited for its turn while the run was broken off."""
    monkeypatch.setattr(part, "_Open", _Opened)
    opened: Any = part._opened(_order("one"))
    asyncio.run(part.end("one"))
    assert opened.is_closed
    with pytest.raises(Closing):
        part._opened(_order("one"))


def test_what_a_lost_client_left_open_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the next run, once nothing was done for it for a while."""
    monkeypatch.setattr(part, "_Open", _Opened)
    lost, busy = (cast("_Opened", part._opened(_order(run))) for run in ("lost", "busy"))
    lost.parts -= 1
    next_one = cast("_Opened", part._opened(_order("next")))
    assert [one.is_closed for one in (lost, busy, next_one)] == [True, False, False]
    for run in ("busy", "next"):
        part._end(run)
