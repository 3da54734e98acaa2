"""The table of inodes, a million of them: memory of each, time of a lookup, pauses."""

import ctypes
import gc
import json
import os
import random
import time
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

import trio

from attachfs.archive.client import Archive
from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.catalog.keys import record_key
from attachfs.tree.files import AttachmentFile
from attachfs.tree.inodes import ROOT_INO, InodeTable
from attachfs.tree.nodes import Estate
from benchmarks.bench import Bench, row
from harness.gauges import memory_bytes
from harness.rows import Limit, Row, alternate
from tests.support.archives import build, index_in_memory, said, scripted

_MANY: Final = 1_000_000
_MANY_QUICK: Final = 200_000
_FEW: Final = 1_000
_LOOKUPS: Final = 5_000
_TTL_S: Final = 86400.0  # no request is made
_FEW_INODES: Final = "a thousand"


@row
def inodes(bench: Bench) -> list[Row]:
    """Fill a file system with inodes as a walk does, in this process, and look up names in it."""
    return trio.run(_measure, _MANY_QUICK if bench.quick else _MANY, bench.runs)


async def _measure(count: int, runs: int) -> list[Row]:
    # Everything is known: the archive is never asked.
    async with scripted(lambda _: said(500)) as archive, trio.open_nursery() as nursery:
        # As the mount does once it is there.
        gc.collect()
        gc.freeze()
        small, large = _FilledTree(archive, nursery), _FilledTree(archive, nursery)
        small.fill(_FEW)
        before_bytes = _resident_bytes()
        large.fill(count)
        each_bytes = (_resident_bytes() - before_bytes) / count
        pauses_ms = [_pause_ms() for _ in range(max(runs, 3))]
        contenders = {
            name: partial(trio.from_thread.run, tree.lookup_us)
            for name, tree in (("attachfs", large), (_FEW_INODES, small))
        }
        lookups = partial(alternate, contenders, runs=max(runs, 5))
        figures = await trio.to_thread.run_sync(lookups)
        gc.unfreeze()
        nursery.cancel_scope.cancel()
    lookup, memory = "lookup of a known name among", "memory an inode, of"
    pause, size = "full garbage collection with", f"{count:,} inodes"
    return [
        Row("lookups", f"{lookup} {size}", "us", figures, [Limit(2, _FEW_INODES)]),
        Row("inode-memory", f"{memory} {size}", "B", {"attachfs": [each_bytes]}, [Limit(300)]),
        Row("gc-pause", f"{pause} {size}", "ms", {"attachfs": pauses_ms}, [Limit(20)]),
    ]


class _FilledTree:
    """A file system in which some assets are known, and any number of inodes."""

    def __init__(self, archive: Archive, nursery: trio.Nursery) -> None:
        self._chance = random.Random(1)  # noqa: S311 - the same in every run
        index = index_in_memory(nursery)
        mounted = build(archive, nursery, Path(), metadata_ttl_s=_TTL_S, index=index)
        self._fs, catalog = mounted.fs, mounted.catalog
        inodes = InodeTable(catalog.server, b"root")
        self._context = Estate(catalog, mounted.content, inodes, ScanPolicy.BLOCK_BAD)
        self._assets = [self._uuid() for _ in range(_FEW)]
        for asset in self._assets:
            record = {"identity": f"assets/{asset}", "attributes": {"arc_display_name": asset}}
            index.put(record_key(Holder(asset)), json.dumps(record).encode(), time.time())

    def fill(self, count: int) -> None:
        """Add the inodes of attachments of events, which take the most, each of a known size."""
        for number in range(count):
            path = AttachmentPath(Holder(self._uuid(), self._uuid()), self._uuid())
            node = AttachmentFile.of(self._context, path)
            attrs = node.listed_attrs()._replace(size_bytes=1_000_000 + number)
            self._fs.looked_up(node, attrs)

    async def lookup_us(self) -> float:
        """Return how long a lookup takes, in microseconds."""
        parent = (await self._fs.lookup(ROOT_INO, b"assets")).ino
        names = [self._chance.choice(self._assets).encode() for _ in range(_LOOKUPS)]
        begin_s = time.perf_counter()
        for name in names:
            attrs = await self._fs.lookup(parent, name)
            self._fs.forget(attrs.ino, 1)
        return (time.perf_counter() - begin_s) / len(names) * 1e6

    def _uuid(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))


def _pause_ms() -> float:
    begin_s = time.perf_counter()
    gc.collect()
    return (time.perf_counter() - begin_s) * 1e3


def _resident_bytes() -> int:
    # Without what has been freed: a table that has just grown leaves its smaller self behind.
    ctypes.CDLL(None).malloc_trim(0)
    return memory_bytes(os.getpid(), "VmRSS")
