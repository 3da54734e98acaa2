"""Programs that read at random and compare all they get: one process, with as many threads.

Told what to do by one line of JSON; says how it went by another.
"""

import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from soaking.evidence import Evidence

_MAX_TOLD: Final = 20  # failures told in full
_Look = Callable[[Random, int], None]


@dataclass
class Reader:
    """Read at random until a time of the monotonic clock; note how long it took, and failures."""

    root: Path
    paths: list[str]
    evidence: Evidence
    until_s: float
    seed: int
    took_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: list[str] = field(default_factory=list)
    bytes_read: int = 0

    def run(self) -> None:
        """Read until it is time to stop."""
        random = Random(self.seed)  # noqa: S311 - no secret
        looks: tuple[tuple[str, _Look], ...] = (
            ("read", self._read),
            ("read", self._read),
            ("read", self._read),
            ("slice", self._slice),
            ("stat", self._stat),
            ("list", self._list),
            ("info", self._info),
        )
        while time.monotonic() < self.until_s:
            what, look = random.choice(looks)
            number = random.randrange(len(self.paths))
            begun_s = time.monotonic()
            try:
                look(random, number)
            except (OSError, ValueError) as error:
                self.failures.append(f"{what} {self.paths[number]}: {error}")
            self.took_s[what].append(time.monotonic() - begun_s)

    def _read(self, _random: Random, number: int) -> None:
        with (self.root / self.paths[number]).open("rb", buffering=0) as file:
            content = file.readall()
            # The kernel has room for all of it: nothing would be asked for twice.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.bytes_read += len(content)
        _compare(content, self.evidence.content(number))

    def _slice(self, random: Random, number: int) -> None:
        right = self.evidence.content(number)
        begin = random.randrange(len(right))
        size_bytes = random.randrange(1, len(right) - begin + 1)
        with (self.root / self.paths[number]).open("rb", buffering=0) as file:
            content = os.pread(file.fileno(), size_bytes, begin)
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.bytes_read += len(content)
        _compare(content, right[begin : begin + size_bytes])

    def _stat(self, _random: Random, number: int) -> None:
        size_bytes = (self.root / self.paths[number]).stat().st_size
        if size_bytes != self.evidence.size_bytes(number):
            raise ValueError(f"a size of {size_bytes}")

    def _list(self, _random: Random, number: int) -> None:
        path = self.root / self.paths[number]
        names = {each.name for each in path.parent.iterdir()}
        there = {
            Path(each).name for each in self.paths if Path(each).parent.name == path.parent.name
        }
        if not there <= names:
            raise ValueError(f"{there - names} are not listed")

    def _info(self, _random: Random, number: int) -> None:
        path = self.root / self.paths[number]
        info = json.loads(path.with_name(f"{path.name}.info.json").read_bytes())
        if info["size"] != self.evidence.size_bytes(number):
            raise ValueError(f"/info tells of {info['size']} bytes")


def _compare(found: bytes, right: memoryview) -> None:
    if found != right:
        raise ValueError(f"wrong bytes: {len(found)} of them, {len(right)} expected")


def main() -> None:
    """Read as told on standard input."""
    told: dict[str, Any] = json.loads(sys.stdin.readline())
    until_s = time.monotonic() + told["seconds"]
    evidence = Evidence(told["files"])
    evidence.content(0)
    readers = [
        Reader(Path(told["root"]), told["paths"], evidence, until_s, told["seed"] + number)
        for number in range(told["threads"])
    ]
    threads = [threading.Thread(target=reader.run) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s: dict[str, list[float]] = defaultdict(list)
    for reader in readers:
        for what, times_s in reader.took_s.items():
            took_s[what] += times_s
    failures = [failure for reader in readers for failure in reader.failures]
    print(
        json.dumps(
            {
                "took_s": took_s,
                "failed": len(failures),
                "failures": failures[:_MAX_TOLD],
                "bytes_read": sum(reader.bytes_read for reader in readers),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
