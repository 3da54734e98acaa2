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
from attachfs.tree.filesystem import FileSystem
from attachfs.tree.inodes import ROOT_INO
from attachfs.tree.names import SIDECAR_SUFFIX
from tests.conftest import serving
from tests.support.archives import OPEN_INDEXES, build, client, declared, token_of, uuid_in
from tests.support.callcounts import log_as_a_mount, python_calls

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


@pytest.fixture(autouse=True)
def _log_of_a_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop what is below level info by a call that does nothing, as a mount does."""
    log_as_a_mount(monkeypatch)


@asynccontextmanager
async def _operations(
    cache_dir: Path, files: int
) -> AsyncIterator[tuple[Operations, FileSystem, str, list[str]]]:
    """Offer the operations of a mount of an asset with so many attachments, nothing cached."""
    with serving(ArchiveConfig(empty=True)) as running:
        blobs = [running.archive.create_blob(_BODY + bytes([number])) for number in range(files)]
        attributes = {f"proof {number}": declared(blob) for number, blob in enumerate(blobs)}
        asset = uuid_in(running.archive.create_asset({"attributes": attributes}))
        credentials = GivenToken(Secret(token_of(running)))
        index = Index.open(cache_dir / "index")
        OPEN_INDEXES.append(index)
        async with (
            client(running.url, credentials=credentials) as archive,
            trio.open_nursery() as nursery,
        ):
            index.start(nursery)
            fs = build(
                archive, nursery, cache_dir / "store", stored=True, read_ahead_files=64, index=index
            ).fs
            presentation = Presentation(source="", uid=0, gid=0)
            operations = Operations(fs, Callers(timeout_s=10), presentation)
            yield operations, fs, asset, [uuid_in(blob) for blob in blobs]
            nursery.cancel_scope.cancel()


async def _entered(operations: Operations, asset: str) -> int:
    """Return the inode number of the directory of an asset."""
    inode = ROOT_INO
    for name in (b"assets", asset.encode()):
        inode = (await operations.lookup(inode, name, _CALLER)).st_ino
    return inode


@asynccontextmanager
async def _warm(cache_dir: Path) -> AsyncIterator[_Warm]:
    async with _operations(cache_dir, _FILES) as (operations, _, asset, blobs):
        parent = await _entered(operations, asset)
        for blob in blobs:
            name = blob.encode()
            entry = await operations.lookup(parent, name, _CALLER)
            assert stat.S_ISREG(entry.st_mode)
            warm = _Warm(operations, parent, name, entry.st_ino)
            warm.fh = (await operations.open(warm.ino, os.O_RDONLY, _CALLER)).fh
            await warm.read()
        yield warm


@pytest.mark.parametrize("name", _BUDGETS)
async def test_a_warm_request_keeps_to_its_budget_of_calls(name: str, tmp_path: Path) -> None:
    """Nothing is asked of the archive, looked up in the index, or waited for."""
    request, budget = _BUDGETS[name]
    async with _warm(tmp_path) as warm:
        for _ in range(3):
            await request(warm)
        calls = [await python_calls(lambda: request(warm)) for _ in range(10)]
    assert median(calls) <= budget


# An attachment and its sidecar: two requests, and lookup, open, read and release of both. How many
# tasks and threads take turns varies by a tenth.
_COPY_BUDGET = 2300
_COPIED = 40


async def test_a_cold_copy_keeps_to_its_budget_of_calls(tmp_path: Path) -> None:
    """All that this thread does, read-ahead included."""
    async with _operations(tmp_path, _COPIED) as (operations, fs, asset, blobs):
        parent = await _entered(operations, asset)
        fh = await operations.opendir(parent, _CALLER)
        entries = fs.entries(fh)
        names: list[str] = []
        while (entry := await entries.wait(len(names))) is not None:
            names.append(entry.name)
            fs.looked_up(entry.node, fs.listed_attrs(entry))
        files = [name for name in names if name.removesuffix(SIDECAR_SUFFIX) in blobs]
        assert len(files) == 2 * _COPIED

        async def copy() -> None:
            for name in files:
                found = await operations.lookup(parent, name.encode(), _CALLER)
                opened = await operations.open(found.st_ino, os.O_RDONLY, _CALLER)
                assert await operations.read(opened.fh, 0, 128 * 1024)
                await operations.release(opened.fh)

        assert await python_calls(copy) / _COPIED <= _COPY_BUDGET
