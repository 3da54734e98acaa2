"""Programs that read at random and compare all they get: one process, with as many threads.

Told what to read by a line of JSON; reads until its input ends, and says by another how it went.
"""

import errno
import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from random import Random
from select import select
from typing import Any, Final

from soaking.evidence import Evidence
from soaking.processes import say

MAX_TOLD: Final = 20  # failures told in full
_BLOCK_BYTES: Final = 1 << 20
_BESIDES: Final = frozenset({"asset.json", "events", "SHA256SUMS"})


@dataclass(frozen=True)
class Failure:
    """What a reader saw that it should not have seen; `offset` where that is known."""

    what: str
    path: str
    errno: str
    offset: int | None
    message: str


class WrongError(Exception):
    """What was read is not what was recorded."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset


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
        """Look at a file in one way, and note what came of it."""
        what = how.__name__
        self._at = None
        begun_s = time.monotonic()
        try:
            how(number)
        except WrongError as error:
            self._failed(what, number, "", error.offset, str(error))
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, str(error.errno))
            self._failed(what, number, name, self._at, str(error.strerror))
        except Exception as error:  # noqa: BLE001 - the thread would die of it, and nobody know
            self._failed(what, number, "", self._at, repr(error))
        self.took_s[what].append(time.monotonic() - begun_s)

    def read(self, number: int) -> None:
        """Read all of a file."""
        at = 0
        with self._path(number).open("rb", buffering=0) as file:
            while block := self._block(file.fileno(), number, at, _BLOCK_BYTES):
                at += len(block)
            _forget(file.fileno())
        if at != self.evidence.size_bytes(number):
            raise WrongError(f"it ends before {self.evidence.size_bytes(number)}", at)

    def slice(self, number: int) -> None:
        """Read a piece of a file."""
        all_bytes = self.evidence.size_bytes(number)
        at = self._random.randrange(all_bytes)
        size_bytes = self._random.randrange(1, all_bytes - at + 1)
        with self._path(number).open("rb", buffering=0) as file:
            block = self._block(file.fileno(), number, at, size_bytes)
            _forget(file.fileno())
        if len(block) != size_bytes:
            raise WrongError(f"{len(block)} bytes instead of {size_bytes}", at)

    def stat(self, number: int) -> None:
        """See how long a file is."""
        size_bytes = self._path(number).stat().st_size
        if size_bytes != self.evidence.size_bytes(number):
            raise WrongError(f"a size of {size_bytes}")

    def list(self, number: int) -> None:
        """List the directory of a file."""
        parent = str(PurePath(self.paths[number]).parent)
        names = set(os.listdir(self.root / parent))  # noqa: PTH208 - names are all that is asked
        if names != self._names[parent]:
            raise WrongError(f"the listing differs in {sorted(names ^ self._names[parent])}")

    def info(self, number: int) -> None:
        """Read what /info says of a file."""
        path = self._path(number)
        info = json.loads(path.with_name(f"{path.name}.info.json").read_bytes())
        told = info["size"], info["hash"]["value"]
        if told != (self.evidence.size_bytes(number), self.evidence.sha256(number)):
            raise WrongError(f"/info tells of {told}")

    def _path(self, number: int) -> Path:
        return self.root / self.paths[number]

    def _block(self, file: int, number: int, at: int, size_bytes: int) -> bytes:
        self._at = at
        block = os.pread(file, size_bytes, at)
        self.bytes_read += len(block)
        wrong = self.evidence.first_wrong(number, at, block)
        if wrong is not None:
            raise WrongError("a wrong byte", wrong)
        return block

    def _failed(
        self, what: str, number: int, errno_name: str, offset: int | None, message: str
    ) -> None:
        self.failures.append(Failure(what, self.paths[number], errno_name, offset, message))


def _forget(file: int) -> None:
    # The kernel has room for all of it: nothing would be asked for twice.
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    """Read as told on standard input."""
    told: dict[str, Any] = json.loads(sys.stdin.readline())
    root, paths = Path(told["root"]), told["paths"]
    evidence = Evidence(len(paths))
    readers = [Reader(root, paths, evidence, seed) for seed in told["seeds"]]
    over = threading.Event()
    threads = [threading.Thread(target=reader.run, args=(over,)) for reader in readers]
    for thread in threads:
        thread.start()
    select([sys.stdin], [], [])
    over.set()
    for thread in threads:
        thread.join()
    took_s: dict[str, list[float]] = defaultdict(list)
    for reader in readers:
        for what, times_s in reader.took_s.items():
            took_s[what] += times_s
    failures = [asdict(failure) for reader in readers for failure in reader.failures]
    say(
        {
            "took_s": took_s,
            "failed": len(failures),
            "failures": failures[:MAX_TOLD],
            "bytes_read": sum(reader.bytes_read for reader in readers),
        }
    )


if __name__ == "__main__":
    main()
