"""Readers that read at random and compare all they get: threads of a worker."""

import errno
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path, PurePath
from random import Random
from typing import Final

from soaking.evidence import Evidence

_BLOCK_BYTES: Final = 1 << 20
_BESIDES: Final = frozenset({"asset.json", "events", "SHA256SUMS"})


@dataclass(frozen=True)
class Failure:
    """What a reader found wrong; `offset` where that is known."""

    what: str
    path: str
    errno: str
    offset: int | None
    message: str

    def __str__(self) -> str:
        at = "" if self.offset is None else f" at {self.offset}"
        return f"{self.what} {self.path}{at}: {self.errno} {self.message}"


Report = tuple[dict[str, list[float]], list[Failure], int]
"""A time in seconds for each look by its kind, all failures, and how many bytes were read."""


@dataclass
class Reader:
    """Look at random at what is there; note how long it took, and every failure."""

    root: Path
    paths: list[str]
    evidence: Evidence
    seed: int
    took_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: list[Failure] = field(default_factory=list)
    bytes_read: int = 0
    _at: int | None = None

    def __post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311 - no secret
        self._names: dict[str, set[str]] = {}
        for path in map(PurePath, self.paths):
            names = self._names.setdefault(str(path.parent), set(_BESIDES))
            names |= {path.name, f"{path.name}.info.json"}

    def run(self, over: threading.Event) -> None:
        """Look until it is over."""
        looks = [self.read, self.read, self.read, self.slice, self.stat, self.list, self.info]
        while not over.is_set():
            self.look(self._random.choice(looks), self._random.randrange(len(self.paths)))

    def look(self, how: Callable[[int], None], number: int) -> None:
        """Look at a file in one way, and note the time and what was wrong."""
        self._at = None
        begin_s = time.monotonic()
        try:
            how(number)
        except Exception as error:  # noqa: BLE001 - else the thread would die unnoticed
            name, message = "", str(error) if isinstance(error, AssertionError) else repr(error)
            if isinstance(error, OSError):
                name = errno.errorcode.get(error.errno or 0, str(error.errno))
                message = str(error.strerror)
            failure = Failure(how.__name__, self.paths[number], name, self._at, message)
            self.failures.append(failure)
        self.took_s[how.__name__].append(time.monotonic() - begin_s)

    def read(self, number: int) -> None:
        """Read all of a file, and whatever follows."""
        self._compare(number, 0, self.evidence.size_bytes(number) + 1)

    def slice(self, number: int) -> None:
        """Read a piece of a file."""
        begin = self._random.randrange(self.evidence.size_bytes(number))
        left_bytes = self.evidence.size_bytes(number) - begin
        self._compare(number, begin, self._random.randrange(1, left_bytes + 1))

    def stat(self, number: int) -> None:
        """See how long a file is."""
        size_bytes = self._path(number).stat().st_size
        if size_bytes != self.evidence.size_bytes(number):
            raise AssertionError(f"a size of {size_bytes}")

    def list(self, number: int) -> None:
        """List the directory of a file."""
        parent = str(PurePath(self.paths[number]).parent)
        names = set(os.listdir(self.root / parent))  # noqa: PTH208 - names are all that is asked
        if names != self._names[parent]:
            raise AssertionError(f"the listing differs in {sorted(names ^ self._names[parent])}")

    def info(self, number: int) -> None:
        """Read what /info says of a file."""
        path = self._path(number)
        info = json.loads(path.with_name(f"{path.name}.info.json").read_bytes())
        told = info["size"], info["hash"]["value"]
        if told != (self.evidence.size_bytes(number), self.evidence.sha256(number)):
            raise AssertionError(f"/info tells of {told}")

    def _path(self, number: int) -> Path:
        return self.root / self.paths[number]

    def _compare(self, number: int, begin: int, size_bytes: int) -> None:
        """Read so many bytes from an offset on; raise where one is wrong, or the end is."""
        end = min(begin + size_bytes, self.evidence.size_bytes(number))
        at = begin
        with self._path(number).open("rb", buffering=0) as file:
            while at < begin + size_bytes:
                self._at = at
                wanted_bytes = min(begin + size_bytes - at, _BLOCK_BYTES)
                if not (block := os.pread(file.fileno(), wanted_bytes, at)):
                    break
                self.bytes_read += len(block)
                if (wrong := self.evidence.first_wrong(number, at, block)) is not None:
                    self._at = wrong
                    raise AssertionError("a wrong byte")
                at += len(block)
            # The kernel has room for all of it: no second read would reach the mount.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if at != end:
            self._at = at
            raise AssertionError(f"it ends before {end}")


def read(pipe: Connection, root: Path, paths: list[str], seeds: Iterable[int]) -> None:
    """Read by a thread for each seed until a message comes, then send a report of each."""
    evidence = Evidence(len(paths))
    readers = [Reader(root, paths, evidence, seed) for seed in seeds]
    over = threading.Event()
    with ThreadPoolExecutor(len(readers)) as threads:
        for reader in readers:
            threads.submit(reader.run, over)
        pipe.poll(None)
        over.set()
    reports = [(dict(each.took_s), each.failures, each.bytes_read) for each in readers]
    pipe.send(reports)
