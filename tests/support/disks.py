"""Disks of a test's own: small ones that can be filled, and such that take nothing any more."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def small_disk(path: Path, size_bytes: int) -> Iterator[Path]:
    """Have a disk of that size mounted on a directory, which is made, for the block."""
    path.mkdir(parents=True, exist_ok=True)
    options = f"size={size_bytes},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Have a directory, and all below it, read-only for the block."""
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def fill(disk: Path) -> None:
    """Write to a disk until it takes no more byte."""
    with suppress(OSError), (disk / "filling").open("ab", buffering=0) as file:
        for block_bytes in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while file.write(bytes(block_bytes)) == block_bytes:
                    pass
    assert os.statvfs(disk).f_bavail == 0
