"""What an archive said, kept over restarts; trouble with the disk is never more than a miss."""

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog
import trio
from trio.testing import wait_all_tasks_blocked

from attachfs.catalog import database
from attachfs.catalog import index as index_module
from attachfs.catalog.index import Entry, Index
from attachfs.catalog.index_files import index_files
from tests.support.oddities import ODDITIES, put_in_place

_ANEW = "the index is begun anew"
_MEMORY = "the index lives in memory"
_MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the index of a test is, in a directory that is not there yet."""
    return tmp_path / "cache" / "index"


@pytest.fixture
def opened(nursery: trio.Nursery) -> Iterator[Callable[[Path | None], Index]]:
    """Open indexes that write behind and are closed with the test."""
    indexes: list[Index] = []

    def opened(path: Path | None) -> Index:
        indexes.append(Index.open(path))
        indexes[-1].start(nursery)
        return indexes[-1]

    yield opened
    for index in indexes:
        index.close()


@pytest.fixture(params=["file", "memory"])
def index(
    request: pytest.FixtureRequest, path: Path, opened: Callable[[Path | None], Index]
) -> Index:
    """Run the test with an index in a file and with one in memory."""
    return opened(path if request.param == "file" else None)


def _kept(path: Path, *keys: bytes) -> list[Entry | None]:
    """Say what another process would find."""
    other = Index.open(path)
    with closing(other):
        assert other.persistent
        return [other.get(key) for key in keys]


async def test_what_is_put_is_seen_before_and_after_it_is_written(index: Index) -> None:
    """Values, times, deletes: a reader cannot tell whether they are written."""
    for key in (b"a", b"b", b"c"):
        index.put(key, key * 3, 1.5)
    await index.settle()
    index.put(b"b", b"new", 2.0)
    index.touch(b"a", 3.0)
    index.touch(b"b", 4.0)
    index.delete(b"c")
    index.touch(b"c", 5.0)
    index.touch(b"absent", 5.0)
    index.put(b"d", b"", 6.0)
    wanted = {b"a": Entry(b"aaa", 3.0), b"b": Entry(b"new", 4.0), b"d": Entry(b"", 6.0)}
    asked = [b"a", b"b", b"c", b"d", b"absent"]
    for _ in range(2):
        assert {key: index.get(key) for key in asked} == {**dict.fromkeys(asked), **wanted}
        assert index.get_many(asked) == wanted
        assert await trio.to_thread.run_sync(index.get_many, asked) == wanted
        assert index.keys(b"", 10) == [b"a", b"b", b"d"]
        await index.settle()
        assert not index._pending


async def test_a_key_may_be_put_again_while_it_is_written(index: Index) -> None:
    """The newer value is neither lost nor hidden, whatever was on its way."""
    for round_ in range(20):
        index.put(b"key", b"%d" % round_, float(round_))
        await trio.lowlevel.checkpoint()
        index.delete(b"key")
        await trio.lowlevel.checkpoint()
        assert index.get(b"key") is None
        index.put(b"key", b"%d again" % round_, float(round_))
        await trio.lowlevel.checkpoint()
        assert index.get(b"key") == (b"%d again" % round_, float(round_))
    await index.settle()
    assert index.get(b"key") == (b"19 again", 19.0)


async def test_keys_come_in_order_from_what_is_written_and_what_is_not(index: Index) -> None:
    """The limit holds for those that are there; deleted ones do not use it up."""
    for number in range(0, 20, 2):
        index.put(b"n/%02d" % number, b"", 0.0)
    for key in (b"m", b"n", b"n0", b"\xff", b"\xff\xff", b"\xff\xffz"):
        index.put(key, b"", 0.0)
    await index.settle()
    for number in range(1, 20, 2):
        index.put(b"n/%02d" % number, b"", 0.0)
    for number in range(4):
        index.delete(b"n/%02d" % number)
    index.touch(b"n/absent", 1.0)
    for _ in range(2):
        assert index.keys(b"n/", 3) == [b"n/04", b"n/05", b"n/06"]
        assert index.keys(b"n/", 100) == [b"n/%02d" % number for number in range(4, 20)]
        assert index.keys(b"n/1", 2) == [b"n/10", b"n/11"]
        assert index.keys(b"\xff\xff", 10) == [b"\xff\xff", b"\xff\xffz"]
        assert index.keys(b"", 1) == [b"m"]
        assert index.keys(b"n/", 0) == index.keys(b"o", 5) == []
        await index.settle()


async def test_many_entries_are_found_together(index: Index) -> None:
    """Also where some are not there, and some not written yet."""
    for number in range(3000):
        index.put(b"%d" % number, b"value %d" % number, float(number))
        if number == 1500:
            await index.settle()
    asked = [b"%d" % number for number in range(-5, 3005)]
    found = index.get_many(asked)
    assert found == {b"%d" % n: Entry(b"value %d" % n, float(n)) for n in range(3000)}
    await index.settle()
    assert index.get_many(asked) == found
    for number in range(0, 3000, 2):
        index.touch(b"%d" % number, 7.5)
        index.delete(b"%d" % (number + 1))
    await index.settle()
    assert index.get_many(asked) == {
        b"%d" % n: Entry(b"value %d" % n, 7.5) for n in range(0, 3000, 2)
    }


async def test_entries_outlive_the_index(
    path: Path, opened: Callable[[Path | None], Index]
) -> None:
    """What is settled is there for others before a close, and what is pending after it."""
    index = opened(path)
    index.put(b"empty", b"", 1.0)
    index.put(b"large", bytes(range(256)) * 4096, 2.25)
    await index.settle()
    wanted = [Entry(b"", 1.0), Entry(bytes(range(256)) * 4096, 2.25)]
    assert _kept(path, b"empty", b"large") == wanted
    index.put(b"late", b"value", 3.0)
    index.delete(b"empty")
    index.touch(b"large", 4.0)
    index.close()
    assert _kept(path, b"empty", b"large", b"late") == [None, (wanted[1].value, 4.0), (b"value", 3)]
    index.put(b"too late", b"", 1.0)
    index.close()
    assert index.get(b"large") is index.get(b"too late") is None
    assert index.keys(b"", 10) == []


async def test_memory_is_not_persistent(opened: Callable[[Path | None], Index], path: Path) -> None:
    """Callers can tell."""
    assert not opened(None).persistent
    assert opened(path).persistent


@pytest.mark.process
def test_entries_outlive_a_killed_process(path: Path) -> None:
    """What is settled survives SIGKILL, and the file is as good as before."""
    program = (
        "import os, signal, sys, trio\n"
        "from pathlib import Path\n"
        "from attachfs.catalog.index import Index\n"
        "async def main():\n"
        "    async with trio.open_nursery() as nursery:\n"
        "        index = Index.open(Path(sys.argv[1]))\n"
        "        index.start(nursery)\n"
        "        for number in range(5000):\n"
        "            index.put(b'%d' % number, bytes(1200), 1.0)\n"
        "        await index.settle()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "trio.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert done.returncode == -signal.SIGKILL
    keys = [b"%d" % number for number in range(5000)]
    assert _kept(path, *keys) == [(bytes(1200), 1.0)] * 5000
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_others_cannot_read_it(path: Path, opened: Callable[[Path | None], Index]) -> None:
    """Mode 0600 for every file, 0700 for the directory, also where the file was another's."""
    _empty(path)
    index = opened(path)
    index.put(b"key", b"value", 1.0)
    await index.settle()
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {"index": 0o600, "index-wal": 0o600, "index-shm": 0o600}
    other = path.parent / "below" / "index"
    opened(other)
    assert (other.parent.stat().st_mode & 0o777, other.stat().st_mode & 0o777) == (0o700, 0o600)


def _empty(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.touch(0o644)


def _overwrite(path: Path) -> None:
    """Leave nothing but the first page."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))


def _of_version(path: Path, version: int) -> None:
    Index.open(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO entries VALUES (?, ?, ?)", (b"key", b"old", 1.0))
        connection.execute(f"PRAGMA user_version={version}")


def _older_version(path: Path) -> None:
    _of_version(path, database._FORMAT - 1)


def _other_tables(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE entries(key, something)")
        connection.execute(f"PRAGMA user_version={database._FORMAT}")


def _garbage(path: Path) -> None:
    path.write_bytes(b"garbage " * 1000)
    path.with_name("index-wal").write_bytes(b"more garbage " * 1000)


@pytest.mark.parametrize("spoil", [_older_version, _other_tables, _garbage])
async def test_a_file_that_is_none_of_ours_is_begun_anew(
    path: Path,
    opened: Callable[[Path | None], Index],
    expected_warnings: set[str],
    quiet_log: list[structlog.typing.EventDict],
    spoil: Callable[[Path], None],
) -> None:
    """One warning says so, and the new file is as good as any."""
    expected_warnings.add(_ANEW)
    path.parent.mkdir()
    spoil(path)
    index = opened(path)
    assert index.persistent
    assert index.get(b"key") is None
    index.put(b"key", b"value", 2.0)
    index.close()
    assert _kept(path, b"key") == [(b"value", 2.0)]
    assert [event["event"] for event in quiet_log] == [_ANEW]
    assert quiet_log[0]["reason"]


async def test_a_file_of_a_newer_version_is_left_as_it_is(
    path: Path, opened: Callable[[Path | None], Index], expected_warnings: set[str]
) -> None:
    """Whoever made it will want it again; meanwhile memory has to do."""
    expected_warnings.add("the index lives in memory")
    path.parent.mkdir()
    _of_version(path, database._FORMAT + 1)
    index = opened(path)
    assert not index.persistent
    assert index.get(b"key") is None
    index.put(b"key", b"value", 2.0)
    index.close()
    with closing(sqlite3.connect(path)) as connection:
        assert list(connection.execute("SELECT * FROM entries")) == [(b"key", b"old", 1.0)]


@pytest.mark.parametrize("noticed", ["by a reader", "by the writer"])
async def test_a_file_damaged_while_it_is_used_is_begun_anew(
    path: Path,
    opened: Callable[[Path | None], Index],
    expected_warnings: set[str],
    quiet_log: list[structlog.typing.EventDict],
    noticed: str,
) -> None:
    """Entries become misses, what is put goes on being kept, and nothing is raised."""
    first = opened(path)
    for number in range(10_000):
        first.put(b"%d" % number, bytes(1200), 1.0)
    first.close()
    index = opened(path)
    expected_warnings.add(_ANEW)
    _overwrite(path)
    if noticed == "by a reader":
        assert index.get(b"5000") is None
        assert index.get_many([b"%d" % number for number in range(10_000)]) == {}
        assert index.keys(b"9", 10) == []
        await wait_all_tasks_blocked()
    index.put(b"key", b"value", 2.0)
    assert index.get(b"key") == (b"value", 2.0)
    await index.settle()
    assert index.persistent
    assert index.keys(b"", 10) == [b"key"]
    assert _kept(path, b"key", b"5000") == [(b"value", 2.0), None]
    assert [event["event"] for event in quiet_log] == [_ANEW]


async def test_a_directory_that_cannot_be_made_means_memory(
    tmp_path: Path, opened: Callable[[Path | None], Index], expected_warnings: set[str]
) -> None:
    """Everything works but for the next start."""
    expected_warnings.add(_MEMORY)
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "index", tmp_path):  # below a file; a directory itself
        index = opened(path)
        assert not index.persistent
        index.put(b"key", b"value", 1.0)
        await index.settle()
        assert index.get(b"key") == (b"value", 1.0)


async def test_where_sqlite_has_no_wal_it_lives_in_memory(
    opened: Callable[[Path | None], Index],
    expected_warnings: set[str],
    monkeypatch: pytest.MonkeyPatch,
    path: Path,
) -> None:
    """As on network homes: without one, readers would wait for writers."""
    expected_warnings.add(_MEMORY)

    def without_wal(_path: object, _timeout_s: float = 0) -> sqlite3.Connection:
        return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    monkeypatch.setattr(database, "_connect", without_wal)
    assert not opened(path).persistent


async def test_two_indexes_share_a_file(path: Path, opened: Callable[[Path | None], Index]) -> None:
    """Both write, each sees what the other wrote, and nothing is lost."""
    one, two = opened(path), opened(path)
    for number in range(5000):
        one.put(b"one/%d" % number, bytes(200), 1.0)
        two.put(b"two/%d" % number, bytes(200), 2.0)
        one.put(b"both/%d" % number, b"", 1.0)
        two.put(b"both/%d" % number, b"", 1.0)
        if number % 100 == 0:
            await trio.lowlevel.checkpoint()
    await one.settle()
    await two.settle()
    for index in (one, two):
        assert [len(index.keys(prefix, 9999)) for prefix in (b"one/", b"two/", b"both/")] == (
            [5000] * 3
        )
    one.close()
    two.put(b"key", b"value", 3.0)
    await two.settle()
    assert _kept(path, b"one/7", b"key") == [(bytes(200), 1.0), (b"value", 3.0)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for other writers."""
    monkeypatch.setattr(database, "_BUSY_S", 0.0)
    for name in ("_AGAIN_S", "_CLOSE_S"):
        monkeypatch.setattr(index_module, name, 0.0)


@pytest.mark.usefixtures("impatient")
async def test_a_busy_writer_tries_again(
    path: Path, opened: Callable[[Path | None], Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop does not wait, reads go on, and nothing is lost."""
    index = opened(path)
    index.put(b"key", b"old", 1.0)
    await index.settle()
    refused, refusals = trio.Event(), [0]

    async def sleep(_duration_s: float) -> None:
        refusals[0] += 1
        if refusals[0] == 3:
            refused.set()
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(trio, "sleep", sleep)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM entries")
        index.put(b"late", b"value", 2.0)
        with trio.fail_after(30):
            await refused.wait()
        assert index.get(b"key") == (b"old", 1.0)
        assert index.get(b"late") == (b"value", 2.0)
        other.execute("ROLLBACK")
        await index.settle()
    assert _kept(path, b"key", b"late") == [(b"old", 1.0), (b"value", 2.0)]


@pytest.mark.usefixtures("impatient")
def test_closing_gives_up_where_another_writes_for_ever(
    path: Path, expected_warnings: set[str]
) -> None:
    """An unmount ends; what was not written is asked for again."""
    expected_warnings.add("the index is busy")
    index = Index.open(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        index.put(b"key", b"value", 1.0)
        index.close()
        assert index.get(b"key") is None


@pytest.mark.process
def test_a_full_disk_is_no_error(path: Path) -> None:
    """One warning, and the rest of the process's life in memory."""
    program = (
        "import resource, sys, structlog, trio\n"
        "from pathlib import Path\n"
        "from attachfs.catalog.index import Index\n"
        "async def main():\n"
        "    async with trio.open_nursery() as nursery:\n"
        "        index = Index.open(Path(sys.argv[1]))\n"
        "        index.start(nursery)\n"
        "        index.put(b'first', b'value', 1.0)\n"
        "        await index.settle()\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "        for number in range(5000):\n"
        "            index.put(b'%d' % number, bytes(1200), 1.0)\n"
        "        await index.settle()\n"
        "        assert not index.persistent\n"
        "        assert len(index.keys(b'', 9999)) >= 5000\n"
        "        assert index.get(b'4999') == (bytes(1200), 1.0)\n"
        "    index.close()\n"
        "with structlog.testing.capture_logs() as events:\n"
        "    trio.run(main)\n"
        "print([event['event'] for event in events])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == str([_MEMORY])
    assert _kept(path, b"first") == [(b"value", 1.0)]


async def test_there_is_room_again_when_enough_is_written(
    path: Path, opened: Callable[[Path | None], Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers wait while 32 MiB are pending, and not before."""
    index = opened(path)
    gate, passed = threading.Event(), list[str]()
    transact = index_module._transact

    def gated(*args: object) -> None:
        gate.wait()
        transact(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(index_module, "_transact", gated)

    async def wait_for_room() -> None:
        await index.room()
        passed.append("room")

    try:
        for number in range(32):
            index.put(b"%d" % number, bytes(_MIB), 1.0)
        await index.room()
        index.put(b"0", bytes(_MIB), 2.0)  # in place of the other
        await index.room()
        index.put(b"32", b"x", 1.0)
        async with trio.open_nursery() as callers:
            callers.start_soon(wait_for_room)
            await wait_all_tasks_blocked()
            assert passed == []
            gate.set()
        assert passed == ["room"]
    finally:
        gate.set()
    await index.settle()
    assert index._pending_bytes == 0


async def test_a_cancelled_nursery_leaves_the_rest_to_close(path: Path) -> None:
    """Nobody waits for a writer that is no more, and nothing is lost."""
    index = Index.open(path)
    async with trio.open_nursery() as nursery:
        index.start(nursery)
        nursery.cancel_scope.cancel()
        index.put(b"while cancelled", b"value", 1.0)
        with trio.CancelScope(shield=True):
            await index.settle()
    for number in range(33):
        index.put(b"closed/%02d" % number, bytes(_MIB), 2.0)
    await index.settle()
    await index.room()
    assert index.get(b"while cancelled") == (b"value", 1.0)
    index.close()
    assert _kept(path, b"while cancelled", b"closed/32") == [(b"value", 1.0), (bytes(_MIB), 2.0)]


async def test_closing_waits_for_the_batch_that_is_written(
    path: Path, opened: Callable[[Path | None], Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was put last is what is kept, whichever thread came first."""
    index = opened(path)
    begun, gate = threading.Event(), threading.Event()
    transact = index_module._transact

    def gated(*args: object) -> None:
        begun.set()
        gate.wait()
        transact(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(index_module, "_transact", gated)
    index.put(b"key", b"old", 1.0)
    await trio.to_thread.run_sync(begun.wait)
    index.put(b"key", b"new", 2.0)
    opener = threading.Thread(target=gate.set)
    opener.start()
    index.close()
    opener.join()
    assert _kept(path, b"key") == [(b"new", 2.0)]


async def test_the_oldest_entries_go_where_there_are_too_many(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those last known to be so, not those first put; the space is used again."""
    monkeypatch.setattr(index_module, "_MAX_BYTES", 4 * _MIB)
    monkeypatch.setattr(index_module, "_MAX_MEMORY_BYTES", 4 * _MIB)
    monkeypatch.setattr(index_module, "_MAX_BATCH", 100)
    index.put(b"first", bytes(1200), 1.0)
    for number in range(10_000):
        index.put(b"%d" % number, bytes(1200), 1000.0 - number)
        if number == 100:
            index.touch(b"first", 5000.0)
    await index.settle()
    kept = index.keys(b"", 99_999)
    assert 2000 < len(kept) < 3500
    assert b"first" in kept
    if index._path is not None:
        assert index._path.stat().st_size < 6 * _MIB


async def test_readers_in_threads_see_what_was_put_before(
    path: Path, opened: Callable[[Path | None], Index]
) -> None:
    """A snapshot that another thread reads is never used for a later read."""
    index = opened(path)
    keys = [b"%d" % number for number in range(2000)]
    for key in keys:
        index.put(key, bytes(100), 1.0)
    await index.settle()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            assert len(index.get_many(keys)) == 2000

    async with trio.open_nursery() as readers:
        readers.start_soon(trio.to_thread.run_sync, read)
        try:
            for number in range(100):
                index.put(b"key", b"%d" % number, float(number))
                await index.settle()
                assert index.get(b"key") == (b"%d" % number, float(number))
        finally:
            done.set()


@pytest.mark.process
def test_processes_that_begin_at_once_share_one_file(path: Path) -> None:
    """Whoever comes first makes it; nobody ends up in memory or with a file of its own."""
    program = (
        "import sys, structlog\n"
        "from pathlib import Path\n"
        "from attachfs.catalog.index import Index\n"
        "index = Index.open(Path(sys.argv[1]))\n"
        "index.put(sys.argv[2].encode(), b'value', 1.0)\n"
        "sys.stdin.read()\n"
        "index.close()\n"
        "print(index.persistent)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, path, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ,
            text=True,
        )
        for number in range(4)
    ]
    assert [process.communicate("")[0] for process in processes] == ["True\n"] * 4
    assert _kept(path, b"0", b"1", b"2", b"3") == [(b"value", 1.0)] * 4


async def test_what_another_has_begun_anew_is_gone_on_with(
    path: Path, opened: Callable[[Path | None], Index], expected_warnings: set[str]
) -> None:
    """Two notice the same damage: what the first has written since is not thrown away."""
    expected_warnings.add(_ANEW)
    one, other = opened(path), opened(path)
    for index, key in ((one, b"a"), (other, b"b")):
        index._trouble = sqlite3.DatabaseError("database disk image is malformed")
        index.put(key, b"value", 1.0)
        await index.settle()
    one.put(b"c", b"value", 1.0)
    await one.settle()
    assert _kept(path, b"a", b"b", b"c") == [Entry(b"value", 1.0)] * 3


async def test_a_lock_that_another_holds_means_memory(
    path: Path,
    opened: Callable[[Path | None], Index],
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: set[str],
) -> None:
    """Whoever opens or clears an index may be stopped: a mount does not wait for it."""
    expected_warnings.add(_MEMORY)
    monkeypatch.setattr(database, "_LOCK_S", 0.01)
    path.parent.mkdir(parents=True)
    directory = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    index = opened(path)
    assert not index.persistent
    index.put(b"key", b"value", 1.0)
    assert index.get(b"key") == (b"value", 1.0)
    os.close(directory)
    assert opened(path).persistent


@pytest.mark.parametrize("oddity", ODDITIES)
@pytest.mark.parametrize("suffix", database.SUFFIXES)
async def test_an_oddity_in_place_of_a_file_means_memory(
    path: Path,
    opened: Callable[[Path | None], Index],
    expected_warnings: set[str],
    oddity: str,
    suffix: str,
) -> None:
    """It is not opened, changed, removed or shown."""
    expected_warnings.add(_MEMORY)
    path = path.with_suffix(".sqlite3")
    opened(path).close()
    with put_in_place(Path(f"{path}{suffix}"), oddity):
        before = os.lstat(f"{path}{suffix}")
        index = opened(path)
        assert not index.persistent
        after = os.lstat(f"{path}{suffix}")
        assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
        if not suffix:
            assert index_files(path.parent) == []


@pytest.mark.usefixtures("impatient")
async def test_a_writer_that_is_stopped_means_memory_before_too_much_is_pending(
    path: Path,
    opened: Callable[[Path | None], Index],
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: set[str],
) -> None:
    """Whoever fills the index is not held up, and what it knows is not lost."""
    expected_warnings.add(_MEMORY)
    monkeypatch.setattr(index_module, "_STUCK_S", 0.0)
    monkeypatch.setattr(index_module, "_AGAIN_S", 0.01)
    index = opened(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(40):
            index.put(b"%d" % number, bytes(_MIB), 1.0)
        with trio.fail_after(30):
            await index.room()
            await index.settle()
        assert not index.persistent
        assert index.get(b"39") == (bytes(_MIB), 1.0)


async def test_a_stamp_tells_whether_anybody_has_written(
    path: Path, opened: Callable[[Path | None], Index]
) -> None:
    """It is the same while nobody does, and says nothing for a moment after."""
    ours, theirs = opened(path), opened(path)
    log = Path(f"{path}-wal")
    assert ours.stamp() is None  # it has just been made
    _age(log)
    before = ours.stamp()
    assert before is not None
    assert ours.stamp() == before
    theirs.put(b"key", b"value", 1.0)
    await theirs.settle()
    assert ours.stamp() is None
    _age(log)
    assert ours.stamp() not in (None, before)
    assert opened(None).stamp() is None


def _age(path: Path) -> None:
    """Have a file be a second older."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))
