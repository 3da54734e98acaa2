"""Tests marked `own_process`: each runs in a fork of its own, which takes along what it imported.

pandas, DuckDB and pyarrow are for a few tests, and a worker of xdist that has imported them keeps
them.
"""

import json
import os
import signal
from typing import NoReturn, cast

import pytest
from _pytest.nodes import Node
from _pytest.runner import runtestprotocol

MARK = "own_process"


class _Siblings:
    """Stand for the next test of the same module, so that nothing is ended but the test."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def listchain(self) -> list[Node]:
        """Return what a test and its next sibling have in common."""
        return self._item.listchain()[:-1]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a marked test in a fork; its reports are made known here."""
    if item.get_closest_marker(MARK) is None:
        return None
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports_of_fork(item):
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    # What was set up here for the tests before, and what comes next does not need.
    item.session._setupstate.teardown_exact(nextitem)
    return True


def _reports_of_fork(item: pytest.Item) -> list[pytest.TestReport]:
    reading, writing = os.pipe()
    left_s, _ = signal.setitimer(signal.ITIMER_REAL, 0)  # of the time limit, which is the fork's
    pid = os.fork()
    if pid == 0:
        _run(item, writing, left_s)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert said, f"the process of {item.nodeid} ended with status {status} and said nothing"
    from_data = item.config.hook.pytest_report_from_serializable
    return [from_data(config=item.config, data=data) for data in json.loads(said)]


def _run(item: pytest.Item, pipe: int, left_s: float) -> NoReturn:
    """Run a test in a fork, and write its reports, also where its time is over."""
    try:
        signal.setitimer(signal.ITIMER_REAL, left_s)
        siblings = cast("pytest.Item", _Siblings(item))
        reports = runtestprotocol(item, log=False, nextitem=siblings)
        to_data = item.config.hook.pytest_report_to_serializable
        data = [to_data(config=item.config, report=report) for report in reports]
        with os.fdopen(pipe, "wb") as file:
            file.write(json.dumps(data).encode())
    finally:
        os._exit(0)
