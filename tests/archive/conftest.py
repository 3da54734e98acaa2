"""Fixtures of the client's tests."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
import trio

from attachfs.demo.launch import ArchiveConfig, RunningArchive, run_archive


@pytest.fixture
async def running(nursery: trio.Nursery) -> AsyncIterator[RunningArchive]:
    """An embedded archive without a sample estate, which must not fail inside."""
    running: RunningArchive = await nursery.start(partial(run_archive, ArchiveConfig(empty=True)))
    yield running
    assert running.archive.traffic.tracebacks == []
