"""The right to be at work: one limit for all workers of a cluster."""

import threading
from pathlib import Path

import dask.config
from distributed import Client, LocalCluster

from attachfs.cluster.part import _Lease
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
