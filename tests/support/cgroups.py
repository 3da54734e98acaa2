"""Control groups that limit how much memory a program may use, of either version."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.outcomes import until

_ROOT = Path("/sys/fs/cgroup")
_V1 = _ROOT / "memory"

# Run as `-c PROGRAM DIRECTORY mount ...`: it is limited before it does anything else.
_PROGRAM = """
import os, sys
with open(os.path.join(sys.argv.pop(1), "cgroup.procs"), "w") as processes:
    processes.write(str(os.getpid()))
from attachfs.cli.app import main
main()
"""


class Limited:
    """A control group with a limit of memory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def program(self) -> tuple[str, ...]:
        """What to run in place of `-m attachfs`, to be in the group from the start."""
        return ("-c", _PROGRAM, str(self._directory))

    @property
    def killed(self) -> int:
        """Count what was killed because memory ran out."""
        for name in ("memory.events", "memory.oom_control"):
            with suppress(FileNotFoundError):
                lines = (self._directory / name).read_text().splitlines()
                return int(dict(line.split() for line in lines)["oom_kill"])
        raise AssertionError("the kernel does not count what it kills")

    @property
    def most_bytes(self) -> int:
        """The most memory that was used at a time."""
        for name in ("memory.peak", "memory.max_usage_in_bytes"):
            with suppress(FileNotFoundError):
                return int((self._directory / name).read_text())
        raise AssertionError("the kernel does not say how much was used")


@contextmanager
def memory_limited(limit_bytes: int) -> Iterator[Limited]:
    """Make a control group for the block; nothing may be left in it at the end."""
    version_1 = (_V1 / "memory.limit_in_bytes").exists()
    root = _V1 if version_1 else _ROOT
    if not version_1:
        (root / "cgroup.subtree_control").write_text("+memory")
    directory = root / f"attachfs-tests-{os.getpid()}"
    directory.mkdir()
    try:
        limits = (
            # Swap counts as well, where it is counted at all.
            ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
            if version_1
            else ("memory.max", "memory.swap.max")
        )
        (directory / limits[0]).write_text(str(limit_bytes))
        with suppress(OSError):
            (directory / limits[1]).write_text(str(limit_bytes if version_1 else 0))
        yield Limited(directory)
    finally:
        until(lambda: not (directory / "cgroup.procs").read_text())
        directory.rmdir()
