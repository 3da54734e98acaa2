"""What the system lets this process have: descriptors, memory, core dumps."""

import ctypes
import re
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

# Enough for every connection and for a large file open in each of some thousand programs.
_DESCRIPTORS: Final = 16_384
_MEMORY_SHARE: Final = 8
_M_ARENA_MAX: Final = -8  # malloc.h
_CGROUPS: Final = Path("/sys/fs/cgroup")


def raise_descriptor_limit() -> None:
    """Take as many descriptors as may be had without being root (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = obtainable_descriptors()
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def obtainable_descriptors() -> int:
    """Return how many descriptors are taken where as many may be had."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)


def descriptor_limit() -> int:
    """Return how many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def forbid_core_dumps(*, for_good: bool = True) -> None:
    """Leave no copy of the memory, which holds the token, behind a crash.

    Unless that is `for_good`, the process may allow them again. A limit of 1 forbids those that
    are piped to a program too, where 0 does not (core(5)).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if hard == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit if for_good else hard))


def share_heap() -> None:
    """Have all threads allocate from one heap of the C library, where it has several (mallopt(3)).

    Each thread's own kept what it had freed, a part of every body that went through it: in ten
    minutes of 64 readers memory grew from 126 to 149 MiB, of which 54 were in use. With one heap it
    stays at 110 MiB, as fast: the interpreter's lock lets threads allocate one at a time anyway.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def memory_share_bytes(most_bytes: int) -> int:
    """Return `most_bytes`, or an eighth of what the control group allows where that is less."""
    allowed = [allowed for file in _limit_files() if (allowed := _read_limit(file)) is not None]
    return min([most_bytes, *(limit // _MEMORY_SHARE for limit in allowed)])


def _limit_files() -> list[Path]:
    """Return where the limits of this process and of the groups around it stand (cgroups(7))."""
    files: list[Path] = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers == "":
                root, name = _CGROUPS, "memory.max"
            elif "memory" in controllers.split(","):
                root, name = _CGROUPS / "memory", "memory.limit_in_bytes"
            else:
                continue
            inside = root / group.lstrip("/")
            # In a container the path may be that of the host: then the root is our own group.
            files += [
                parent / name
                for parent in (inside, *inside.parents)
                if parent == root or root in parent.parents
            ]
    return files


def _read_limit(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if re.fullmatch(r"\d{1,19}", text) else None
