"""What every row is given: the data, the servers, the mounts, and how often to run."""

import mmap
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.data import Blob, Data
from benchmarks.mounts import TOKEN, Mounts
from benchmarks.programs import Unfit
from benchmarks.servers import Servers

_WARM_BYTES: Final = 768 * 1024 * 1024
TMPFS: Final = Path("/dev/shm")  # noqa: S108 - memory, so that no disk is measured


@dataclass(frozen=True, slots=True)
class Bench:
    """Hold one run of the benchmarks; `work` is a directory on a disk, removed at the end."""

    data: Data
    servers: Servers
    mounts: Mounts
    work: Path
    runs: int
    quick: bool

    def curl(self) -> list[str]:
        """Return a curl command line as far as the URLs."""
        certificate = str(self.servers.certificate)
        return ["curl", "-sSf", "-H", f"Authorization: Bearer {TOKEN}", "--cacert", certificate]

    def bytes_url(self, url: str, blob: Blob) -> str:
        """Return the URL of a blob's bytes."""
        return f"{url}/archivist/v2/attachments/{blob.path}"


def warm_memory() -> None:
    """Touch as much memory as a contender may fill, and free it again.

    On a virtual machine the host provides a page when it is first written, and takes free ones
    back after seconds: whoever writes a file there pays for it (256 MiB took 0.2 s to a second
    instead of 0.06 s), unless somebody has just freed as much.
    """
    with mmap.mmap(-1, _WARM_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for offset in range(0, _WARM_BYTES, mmap.PAGESIZE):
            memory[offset] = 1


def forget_pages(path: Path) -> None:
    """Drop the pages of a file, or of all files below a directory, from the page cache."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def forget_names() -> None:
    """Drop the kernel's names and inodes, of all file systems; needs root."""
    try:
        Path("/proc/sys/vm/drop_caches").write_text("2")
    except OSError as error:
        raise Unfit(f"timing lookups needs root: {error.strerror}") from error


def same_tree(expected: Path, copied: Path, names: list[str]) -> None:
    """Raise where a copied file is not as it should be: a fast copy of wrong bytes is none."""
    for name in names:
        done = subprocess.run(["cmp", "-s", expected / name, copied / name], check=False)
        if done.returncode:
            raise Unfit(f"{copied / name} has not the right bytes")


def remove(path: Path) -> None:
    """Remove a file or a directory that may not be there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
