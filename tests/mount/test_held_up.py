"""A mount beside processes that are stopped while they hold its locks, or have put things there."""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from attachfs.mount.mounts import mounted_at
from tests.support.archives import declared, sha256, uuid_in
from tests.support.mounts import Mount, Steering
from tests.support.oddities import put_in_place

pytestmark = pytest.mark.mount

_MIB = 1024 * 1024
# Bounded waits, on a machine that is busy with other things. What is held is held for ever.
_BOUND_S = 25.0


@contextmanager
def _held(*paths: Path) -> Iterator[None]:
    """Hold locks as a process that is stopped would."""
    with ExitStack() as stack:
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@pytest.fixture
def bodies(archive: Steering) -> dict[str, bytes]:
    """Paths of attachments in a mount, small and large, and their bytes."""
    made: dict[str, bytes] = {}
    for number, size in enumerate((1000, 2 * _MIB, 6 * _MIB)):
        content = bytes([number]) * size
        demo = archive.running.archive
        blob = demo.create_blob(content)
        asset = demo.create_asset({"attributes": {"proof": declared(blob)}})
        made[f"assets/{uuid_in(asset)}/{uuid_in(blob)}"] = content
    return made


def _cache(environment: dict[str, str]) -> Path:
    return Path(environment["XDG_CACHE_HOME"]) / "attachfs"


def _read_all(mounted: Mount, bodies: dict[str, bytes]) -> None:
    for path, content in bodies.items():
        assert (mounted.path / path).read_bytes() == content


def test_a_held_ledger_stops_neither_reads_nor_the_end(
    mount: Callable[..., Mount], environment: dict[str, str], bodies: dict[str, bytes]
) -> None:
    """As by `attachfs cache clear`, stopped half-way; the mount says so."""
    mounted = mount()
    mounted.expected_warnings.add("holds the lock of the cache")
    with _held(_cache(environment) / "objects" / "ledger"):
        begun_s = time.monotonic()
        _read_all(mounted, bodies)
        assert mounted.end() == 0
        assert time.monotonic() - begun_s < _BOUND_S


def test_a_mount_begins_beside_all_locks_held(
    mount: Callable[..., Mount], environment: dict[str, str], bodies: dict[str, bytes]
) -> None:
    """Without the index, with the store; once they are let go, the next one has both."""
    cache = _cache(environment)
    assert mount().end() == 0
    with _held(cache / "objects" / "ledger", cache / "index"):
        begun_s = time.monotonic()
        mounted = mount()
        mounted.expected_warnings |= {"holds the lock of the cache", "the index lives in memory"}
        _read_all(mounted, bodies)
        assert mounted.end() == 0
        assert time.monotonic() - begun_s < 2 * _BOUND_S
    again = mount()
    _read_all(again, bodies)


def test_oddities_in_the_cache_stop_nothing(
    mount: Callable[..., Mount], environment: dict[str, str], bodies: dict[str, bytes]
) -> None:
    """Wherever a file is expected; right bytes are read, and a new mount begins."""
    cache = _cache(environment)
    first = mount()
    _read_all(first, bodies)
    assert first.end() == 0
    digests = [sha256(content) for content in bodies.values()]
    places = [cache / "objects" / "sha256" / digest[:2] / digest[2:] for digest in digests]
    assert all(place.exists() for place in places)
    (index,) = (cache / "index").glob("*.sqlite3")
    with ExitStack() as stack:
        for place in (*places, cache / "objects" / "drafts" / "x", index):
            stack.enter_context(put_in_place(place, "fifo"))
        mounted = mount()
        mounted.expected_warnings |= {"is damaged", "the index lives in memory"}
        begun_s = time.monotonic()
        _read_all(mounted, bodies)
        assert mounted.end() == 0
        assert time.monotonic() - begun_s < _BOUND_S


_HELD_UP = """
import time
from attachfs.cli import mount
from attachfs.cli.app import main
{}
mount._END_S = 0.5
main()
"""
_IN_A_THREAD = """
from attachfs.content.store import Store
Store.get = lambda *_: time.sleep(1e6)
"""
_IN_THE_LOOP = """
from attachfs.tree.filesystem import FileSystem
FileSystem.open_now = lambda *_: time.sleep(1e6)
"""


@pytest.mark.parametrize("held_up", [_IN_A_THREAD, _IN_THE_LOOP])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_mount_that_cannot_end_is_ended(
    mount: Callable[..., Mount], bodies: dict[str, bytes], held_up: str, how: signal.Signals
) -> None:
    """Whatever holds it up, a disk that hangs for one; nothing is left mounted or waiting."""
    mounted = mount(program=("-c", _HELD_UP.format(held_up)))
    reader = os.fork()
    if not reader:
        try:
            (mounted.path / next(iter(bodies))).read_bytes()
        finally:
            os._exit(0)
    time.sleep(0.3)  # until it waits, or a little before: it is to end in any case
    mounted.expected_status = 128 + how
    assert mounted.end(how) == 128 + how
    os.waitpid(reader, 0)
    assert mounted_at(mounted.path) is None
    assert any("not done 0.5 s after signal" in line for line in mounted.log)
    assert any("Thread 0x" in line for line in mounted.log)
