"""The table of inodes, a million of them: what one takes, how long a name takes, who pauses."""

import ctypes
import gc
import json
import os
import random
import time
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import trio

from benchmarks.bench import Bench
from benchmarks.timing import Limit, Row

_MANY: Final = 1_000_000
_MANY_QUICK: Final = 200_000
_FEW: Final = 1_000
_LOOKUPS: Final = 5_000
_TTL_S: Final = 86400.0  # nothing is asked for
_FEW_INODES: Final = "a thousand"


def inodes(bench: Bench) -> list[Row]:
    """Fill a file system with inodes as a walk does, in this process, and look up names in it."""
    count = _MANY_QUICK if bench.quick else _MANY
    return trio.run(_measure, count, bench.runs)


async def _measure(count: int, runs: int) -> list[Row]:
    async with trio.open_nursery() as nursery:
        # As the mount does once it is there.
        gc.collect()
        gc.freeze()
        small, large = _Filled(nursery), _Filled(nursery)
        small.fill(_FEW)
        before_bytes = _resident_bytes()
        large.fill(count)
        each_bytes = (_resident_bytes() - before_bytes) / count
        pauses_ms = [_pause_ms() for _ in range(max(runs, 3))]
        contenders = {"attachfs": large, _FEW_INODES: small}
        figures: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(-1, max(runs, 5)):
            for name, filled in contenders.items():
                figure = await filled.lookup_us()
                if number >= 0:
                    figures[name].append(figure)
        gc.unfreeze()
        nursery.cancel_scope.cancel()
    size = f"{count:,} inodes"
    limits = [Limit(2, _FEW_INODES)]
    return [
        Row("lookups", f"lookup of a known name among {size}", "us", figures, limits),
        Row(
            "inode-memory",
            f"memory an inode, of {size}",
            "B",
            {"attachfs": [each_bytes]},
            [Limit(300)],
        ),
        Row(
            "gc-pause",
            f"full garbage collection with {size}",
            "ms",
            {"attachfs": pauses_ms},
            [Limit(20)],
        ),
    ]


class _Archive:
    """Stand for an archive: everything is known, and nothing is asked for."""

    url = "https://archive.example"

    def server_now_s(self) -> float:
        """Return what time it is there."""
        return time.time()


class _Filled:
    """Hold a file system in which some assets are known, and any number of inodes."""

    def __init__(self, nursery: trio.Nursery) -> None:
        from attachfs.archive.endpoints import ScanPolicy  # noqa: PLC0415 - what is measured
        from attachfs.archive.identities import Holder  # noqa: PLC0415 - likewise
        from attachfs.catalog.catalog import Catalog  # noqa: PLC0415 - likewise
        from attachfs.catalog.index import Index  # noqa: PLC0415 - likewise
        from attachfs.catalog.keys import record_key  # noqa: PLC0415 - likewise
        from attachfs.tree.filesystem import FileSystem  # noqa: PLC0415 - likewise
        from attachfs.tree.inodes import InodeTable  # noqa: PLC0415 - likewise
        from attachfs.tree.nodes import Estate  # noqa: PLC0415 - likewise

        self._chance = random.Random(1)  # noqa: S311 - the same in every run
        index = Index.open(None)
        index.start(nursery)
        archive: Any = _Archive()
        nothing: Any = None
        catalog = Catalog(archive, nursery, index, metadata_ttl_s=_TTL_S)
        policy = ScanPolicy.BLOCK_BAD
        self._fs = FileSystem(catalog, nothing, nursery, policy=policy, read_ahead_files=0)
        self._estate = Estate(catalog, nothing, InodeTable(catalog.server, b"root"), policy)
        self._assets = [self._uuid() for _ in range(_FEW)]
        for asset in self._assets:
            record = {"identity": f"assets/{asset}", "attributes": {"arc_display_name": asset}}
            index.put(record_key(Holder(asset)), json.dumps(record).encode(), time.time())

    def fill(self, count: int) -> None:
        """Add the inodes of attachments of events, which take the most, each of a known size."""
        from attachfs.archive.identities import AttachmentPath, Holder  # noqa: PLC0415
        from attachfs.tree.files import AttachmentFile  # noqa: PLC0415

        for number in range(count):
            path = AttachmentPath(Holder(self._uuid(), self._uuid()), self._uuid())
            node = AttachmentFile.of(self._estate, path)
            attrs = node.listed_attrs()._replace(size_bytes=1_000_000 + number)
            self._fs.looked_up(node, attrs)

    async def lookup_us(self) -> float:
        """Return how long a lookup takes, in microseconds."""
        from attachfs.tree.inodes import ROOT_INO  # noqa: PLC0415

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
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
