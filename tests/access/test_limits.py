"""What the system lets a process have, asked of processes that have little."""

import subprocess
import sys

import pytest

from tests.support.cgroups import memory_limited

pytestmark = pytest.mark.process

_MIB = 1024 * 1024


def _told(script: str) -> str:
    """Return what a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", f"import resource; from attachfs.access.limits import *; {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("soft", "hard", "raised"), [(100, 200, 200), (100, 20_000, 16_384), (18_000, 20_000, 18_000)]
)
def test_descriptors_are_taken_as_many_as_there_are(soft: int, hard: int, raised: int) -> None:
    """Up to what is ever needed; what is there already is left alone."""
    assert _told(
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}));"
        "raise_descriptor_limit(); print(descriptor_limit())"
    ) == str(raised)


@pytest.mark.parametrize(("hard", "left"), [(-1, "(1, 1)"), (0, "(0, 0)")])
def test_no_core_is_dumped(hard: int, left: str) -> None:
    """Neither to a file nor, but for who has nothing to say about it, to a program."""
    assert (
        _told(
            f"resource.setrlimit(resource.RLIMIT_CORE, (0, {hard}));"
            "forbid_core_dumps(); print(resource.getrlimit(resource.RLIMIT_CORE))"
        )
        == left
    )


def test_memory_is_taken_as_the_control_group_allows() -> None:
    """An eighth of it, or as much as would be taken anyway."""
    with memory_limited(64 * _MIB) as limited:
        inside = (
            f"open('{limited._directory}/cgroup.procs', 'w').write(str(__import__('os').getpid()))"
        )
        for most, share in ((256 * _MIB, 8 * _MIB), (5 * _MIB, 5 * _MIB)):
            assert _told(f"{inside}; print(memory_share_bytes({most}))") == str(share)
    assert int(_told(f"print(memory_share_bytes({_MIB}))")) == _MIB


_COUNT_HEAPS = """
import ctypes, threading
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
together = threading.Barrier(8)
def allocate():
    together.wait()
    for _ in range(1000):
        libc.malloc(1000)
threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
"""


def test_threads_allocate_from_one_heap() -> None:
    """What one of them frees, all others can use."""
    own = _told(f"exec({_COUNT_HEAPS!r})")
    shared = _told(f"share_heap(); exec({_COUNT_HEAPS!r})")
    assert own.count("<heap nr=") > 1
    assert shared.count("<heap nr=") == 1
