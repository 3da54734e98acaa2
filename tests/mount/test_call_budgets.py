"""How many Python functions a warm request of the kernel costs: the table of budgets.

What is counted is ours and trio's, from pyfuse3's call of a handler to its answer. The table of
requests to the archive is in tests/archive/test_call_budgets.py.
"""

import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import cast

import pyfuse3
import pytest
import trio

from attachfs.archive.credentials import GivenToken
from attachfs.archive.secrets import Secret
from attachfs.catalog.index import Index
from attachfs.demo.launch import ArchiveConfig
from attachfs.mount.callers import Callers
from attachfs.mount.operations import Operations
from attachfs.mount.ownership import Presentation
from attachfs.tree.inodes import ROOT_INO
from tests.conftest import serving
from tests.support.archives import OPEN_INDEXES, build, client, declared, token_of, uuid_in
from tests.support.callcounts import python_calls

_CALLER = cast("pyfuse3.RequestContext", SimpleNamespace(pid=os.getpid()))
_FILES = 3
_BODY = bytes(64 * 1024)

Request = Callable[["_Warm"], Awaitable[object]]


class _Warm:
    """Requests for an attachment that has just been read."""

    def __init__(self, operations: Operations, parent: int, name: bytes, ino: int) -> None:
        self.operations = operations
        self.parent = parent
        self.name = name
        self.ino = ino
        self.fh = 0

    async def lookup(self) -> pyfuse3.EntryAttributes:
        return await self.operations.lookup(self.parent, self.name, _CALLER)

    async def getattr(self) -> pyfuse3.EntryAttributes:
        return await self.operations.getattr(self.ino, _CALLER)

    async def open_and_release(self) -> None:
        opened = await self.operations.open(self.ino, os.O_RDONLY, _CALLER)
        await self.operations.release(opened.fh)

    async def read(self) -> None:
        data = await self.operations.read(self.fh, 4096, 4096)
        assert len(data) == 4096


_BUDGETS: dict[str, tuple[Request, int]] = {
    "getattr": (_Warm.getattr, 20),
    "lookup": (_Warm.lookup, 50),
    "open and release": (_Warm.open_and_release, 60),
    "read of 4 KiB": (_Warm.read, 15),
}


@asynccontextmanager
async def _warm(cache_dir: Path) -> AsyncIterator[_Warm]:
    with serving(ArchiveConfig(empty=True)) as running:
        blobs = [running.archive.create_blob(_BODY + bytes([number])) for number in range(_FILES)]
        attributes = {f"proof {number}": declared(blob) for number, blob in enumerate(blobs)}
        asset = uuid_in(running.archive.create_asset({"attributes": attributes}))
        credentials = GivenToken(Secret(token_of(running)))
        async with (
            client(running.url, credentials=credentials) as archive,
            trio.open_nursery() as nursery,
        ):
            index = Index.open(cache_dir / "index")
            OPEN_INDEXES.append(index)
            index.start(nursery)
            fs = build(
                archive, nursery, cache_dir / "store", stored=True, read_ahead_files=64, index=index
            ).fs
            presentation = Presentation(source="", uid=0, gid=0)
            operations = Operations(fs, Callers(timeout_s=10), presentation)
            parent = ROOT_INO
            for name in (b"assets", asset.encode()):
                parent = (await operations.lookup(parent, name, _CALLER)).st_ino
            for blob in blobs:
                name = uuid_in(blob).encode()
                entry = await operations.lookup(parent, name, _CALLER)
                assert stat.S_ISREG(entry.st_mode)
                warm = _Warm(operations, parent, name, entry.st_ino)
                warm.fh = (await operations.open(warm.ino, os.O_RDONLY, _CALLER)).fh
                await warm.read()
            yield warm
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", _BUDGETS)
async def test_a_warm_request_keeps_to_its_budget_of_calls(name: str, tmp_path: Path) -> None:
    """Nothing is asked of the archive, looked up in the index, or waited for."""
    request, budget = _BUDGETS[name]
    async with _warm(tmp_path) as warm:
        for _ in range(3):
            await request(warm)
        calls = [await python_calls(lambda: request(warm)) for _ in range(10)]
    assert median(calls) <= budget
