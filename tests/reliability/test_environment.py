"""The machine fails the mount: disks, clocks, limits, directories. Every byte stays right."""

import errno
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from io import FileIO
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.cgroups import memory_limited
from tests.support.clocks import Clocks
from tests.support.daemons import adopting, daemon_on, end
from tests.support.disks import fill, read_only, small_disk
from tests.support.evidence import attach, wrong_in
from tests.support.mounts import (
    PATIENCE_S,
    Mount,
    Steering,
    archive,
    attachfs,
    clocks,
    environment,
    mount,
    run,
)
from tests.support.outcomes import WELL, outcome, until
from tests.support.programs import Done, left_mounted, running, sentence
from tests.support.relays import Relay, relaying
from tests.support.reliability import SURVIVED, Row, record

__all__ = ["archive", "attachfs", "clocks", "environment", "mount", "run"]

pytestmark = pytest.mark.mount

Run = Callable[..., Done]
_GROUP = "The machine"
_MIB = 1 << 20
_DAY_S = 86_400
_SMALL_BYTES, _LARGE_BYTES = 5000, 6 * _MIB
_HELD_BYTES = 3 * _MIB
_DOWNLOADS = "/attachments/.*[0-9a-f]$"
_NO_STORE = "the cache directory is of no use"
_NO_INDEX = "the index lives in memory"
_DESCRIPTORS, _LARGE_AT_ONCE = 64, 12
_LIMIT_BYTES = 150_000_000
_LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({_DESCRIPTORS}, {_DESCRIPTORS}))
from attachfs.cli.app import main
main()
"""


@pytest.fixture
def relay(archive: Steering) -> Iterator[Relay]:
    """A relay in front of the archive."""
    with relaying(archive.url) as relay:
        yield relay


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path) -> Iterator[None]:
    """Unmount in the end what a mount that died has left."""
    yield
    left_mounted(tmp_path)


@pytest.fixture
def mountpoint(tmp_path: Path) -> Path:
    """An empty directory."""
    path = tmp_path / "mnt"
    path.mkdir()
    return path


@pytest.fixture
def cache(environment: dict[str, str]) -> Path:
    """Where mounts keep what they know, unless they are told otherwise."""
    return Path(environment["XDG_CACHE_HOME"], "attachfs")


def _survived(fault: str, where: str, tried: int, longest_s: float) -> None:
    record(Row(_GROUP, fault, where, tried, SURVIVED, "", longest_s))


def _since(begun_s: float) -> float:
    return time.monotonic() - begun_s


def test_a_disk_that_is_full_is_done_without(
    attachfs: Run,
    archive: Steering,
    relay: Relay,
    mountpoint: Path,
    tmp_path: Path,
) -> None:
    """Filled during a download, under store, index and log at once; and full from the start."""
    large, small, more = (
        attach(archive.running, size) for size in (_LARGE_BYTES, _SMALL_BYTES, _SMALL_BYTES)
    )
    with small_disk(tmp_path / "disk", 12 * _MIB) as disk, adopting():

        def start() -> Path:
            options = ("--cache-min-free", "0%", "--log-level", "debug", "--negative-ttl", "0s")
            where = ("--url", relay.url, "--token-file", archive.token_file)
            on_disk = {"XDG_CACHE_HOME": str(disk), "XDG_STATE_HOME": str(disk)}
            done = attachfs("mount", mountpoint, *where, *options, **on_disk)
            assert done.returncode == 0, done.stderr
            return Path(done.stdout.rstrip().partition("; log: ")[2])

        log = start()
        assert (mountpoint / large.path).stat()
        relay.hold(_HELD_BYTES)
        begun_s = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(wrong_in, mountpoint, large)
            assert relay.held.wait(PATIENCE_S)
            fill(disk)
            relay.release()
            assert reading.result(PATIENCE_S) == []
        for _ in range(2):
            fill(disk)  # what store, and then index, could not use, they gave back
            size_bytes = log.stat().st_size
            names = [mountpoint / small.directory / str(uuid4()) for _ in range(60)]
            assert {outcome(name.stat) for name in names} == {"ENOENT"}
        # Of its last page, and of one that was given back meanwhile: the rest is lost.
        assert log.stat().st_size < size_bytes + 2 * 4096
        assert wrong_in(mountpoint, small) == []
        (disk / "filling").unlink()
        assert wrong_in(mountpoint, more, large) == []
        daemon = daemon_on(mountpoint)
        assert attachfs("umount", mountpoint).returncode == 0
        assert end(daemon) == 0
        assert "unmounted" in log.read_text()
        assert "Traceback" not in log.read_text()
        _survived(
            "the disk of cache, index and log fills up", "in mid-download", 3, _since(begun_s)
        )

        fill(disk)
        begun_s = time.monotonic()
        start()
        assert wrong_in(mountpoint, large, small) == []
        daemon = daemon_on(mountpoint)
        assert attachfs("umount", mountpoint).returncode == 0
        assert end(daemon) == 0
        _survived("the disk of cache, index and log is full", "from the start", 2, _since(begun_s))


@pytest.mark.parametrize("gone", ["the reader of standard error", "the room for standard error"])
def test_a_log_that_cannot_be_written_is_done_without(
    archive: Steering, environment: dict[str, str], mountpoint: Path, gone: str
) -> None:
    """What is not logged is lost, and nothing else is: neither errors nor the mount's end."""
    evidence = attach(archive.running, _SMALL_BYTES)
    reading, writing = os.pipe()
    if gone == "the room for standard error":
        os.close(writing)
        writing = os.open("/dev/full", os.O_WRONLY)
    options = ("--url", archive.url, "--token-file", archive.token_file, "--log-level", "debug")
    begun_s = time.monotonic()
    with running(
        *("mount", mountpoint, *options, "--foreground"), env=environment, stderr=writing
    ) as process:
        os.close(writing)
        until(lambda: mountpoint.is_mount() or process.poll() is not None)
        os.close(reading)
        archive.fail_next(path_regex="/events/", status=500, times=99)  # an error is logged
        event = mountpoint / evidence.directory / "events" / str(uuid4())
        assert outcome(event.stat) == "EIO"
        assert wrong_in(mountpoint, evidence) == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert not mountpoint.is_mount()
    _survived(f"the log cannot be written: {gone} is gone", "all requests", 2, _since(begun_s))


def test_a_cache_directory_that_is_removed_is_done_without(
    mount: Callable[..., Mount], archive: Steering, relay: Relay, cache: Path
) -> None:
    """In mid-download and afterwards, and with what was known before."""
    known, large, other = (attach(archive.running, _LARGE_BYTES) for _ in range(3))
    small = attach(archive.running, _SMALL_BYTES)
    mounted = mount("--url", relay.url)
    mounted.expected_warnings.add(_NO_STORE)
    assert wrong_in(mounted.path, known) == []
    assert (mounted.path / large.path).stat()
    relay.hold(_HELD_BYTES)
    begun_s = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(wrong_in, mounted.path, large)
        assert relay.held.wait(PATIENCE_S)
        shutil.rmtree(cache)
        relay.release()
        assert reading.result(PATIENCE_S) == []
    assert wrong_in(mounted.path, other, small, known) == []
    _survived("the cache directory is removed", "in mid-download, and later", 4, _since(begun_s))


def test_a_cache_that_is_read_only_from_the_start_is_done_without(
    mount: Callable[..., Mount], archive: Steering, cache: Path
) -> None:
    """Store and index are warned of once, and everything is asked for again."""
    large, small = attach(archive.running, _LARGE_BYTES), attach(archive.running, _SMALL_BYTES)
    first = mount()
    assert wrong_in(first.path, large, small) == []
    assert first.end() == 0
    with read_only(cache):
        begun_s = time.monotonic()
        second = mount()
        second.expected_warnings |= {_NO_STORE, _NO_INDEX}
        assert wrong_in(second.path, large, small) == []
        assert second.end() == 0
        assert len(second.unexpected()) == 0
    for trouble in (_NO_STORE, _NO_INDEX):
        assert sum(trouble in line for line in second.log) == 1
    _survived("the cache directory is read-only", "from the start", 2, _since(begun_s))


def test_a_store_that_becomes_read_only_still_serves_what_it_has(
    mount: Callable[..., Mount], archive: Steering, cache: Path
) -> None:
    """What is there is not downloaded again, what is not goes by memory."""
    large, small = attach(archive.running, _LARGE_BYTES), attach(archive.running, _SMALL_BYTES)
    new = attach(archive.running, _LARGE_BYTES)
    objects = cache / "objects"
    with small_disk(objects, 64 * _MIB):
        first = mount("--cache-min-free", "0%")
        assert wrong_in(first.path, large, small) == []
        assert first.end() == 0
        for path in objects.glob("sha256/*/*"):
            os.utime(path, (0, 0))  # last used long ago, which is noted where that can be
        second = mount("--cache-min-free", "0%")
        second.expected_warnings.add(_NO_STORE)
        subprocess.run(["mount", "-o", "remount,ro", objects], check=True)
        archive.reset()
        begun_s = time.monotonic()
        assert wrong_in(second.path, large, small) == []
        assert archive.paths(_DOWNLOADS) == []
        assert wrong_in(second.path, new) == []
        assert second.end() == 0
    _survived("the store becomes read-only", "a running mount", 3, _since(begun_s))


def _index_of(cache: Path) -> Path:
    (index,) = cache.glob("index/*.sqlite3")
    return index


def test_an_index_of_a_newer_version_is_neither_misread_nor_destroyed(
    mount: Callable[..., Mount], archive: Steering, cache: Path
) -> None:
    """An older attachfs does without it; the newer one finds its own again."""
    small, large = attach(archive.running, _SMALL_BYTES), attach(archive.running, _LARGE_BYTES)
    first = mount()
    assert wrong_in(first.path, small, large) == []
    assert first.end() == 0
    index = _index_of(cache)
    with closing(sqlite3.connect(index)) as newer:
        # Newer in every respect: another table, and values that mean something else.
        newer.execute("ALTER TABLE entries RENAME TO things")
        newer.execute("CREATE TABLE entries(key BLOB PRIMARY KEY, value BLOB, at_s REAL, more)")
        newer.execute("INSERT INTO entries SELECT key, 'newer', at_s, 1 FROM things")
        newer.execute("PRAGMA user_version=99")
        newer.commit()
        newer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    stores = cache / "objects"
    (stores / "sha512" / "ab").mkdir(parents=True)
    (stores / "sha512" / "ab" / "cd").write_bytes(b"an object of a newer kind")
    (stores / "version").write_text("2")
    begun_s = time.monotonic()
    second = mount()
    second.expected_warnings |= {_NO_INDEX, "the index is begun anew"}
    assert wrong_in(second.path, small, large) == []
    assert len(list((second.path / "assets").iterdir())) > 2
    assert second.end() == 0
    with closing(sqlite3.connect(index)) as newer:
        ((version,),) = newer.execute("PRAGMA user_version")
        ((rows,),) = newer.execute("SELECT count(*) FROM entries WHERE value='newer'")
    assert version == 99
    assert rows > 0
    assert (stores / "sha512" / "ab" / "cd").read_bytes() == b"an object of a newer kind"
    assert (stores / "version").read_text() == "2"
    _survived("store and index are of a newer version", "from the start", 2, _since(begun_s))


def test_a_damaged_index_is_begun_anew(
    mount: Callable[..., Mount], archive: Steering, cache: Path
) -> None:
    """Overwritten, cut short or empty: one warning, right bytes, and known again the next time."""
    small, large = attach(archive.running, _SMALL_BYTES), attach(archive.running, _LARGE_BYTES)
    first = mount()
    assert wrong_in(first.path, small, large) == []
    assert len(list((first.path / "assets").iterdir())) > 2
    assert first.end() == 0
    good = _index_of(cache).read_bytes()
    assert len(good) > 8192
    damages = {
        "garbage": os.urandom(len(good)),
        "garbage behind a good first page": good[:4096] + os.urandom(len(good) - 4096),
        "half of it": good[: len(good) // 2],
        "nothing": b"",
    }

    def with_damage(number: int, content: bytes) -> float:
        own = cache.parent / f"damaged {number}"
        shutil.copytree(cache, own)
        _index_of(own).write_bytes(content)
        mountpoint = own / "mnt"
        mountpoint.mkdir()
        begun_s = time.monotonic()
        mounted = mount("--cache-dir", own, on=mountpoint)
        mounted.expected_warnings.add("the index is begun anew")
        assert wrong_in(mounted.path, small, large) == []
        assert len(list((mounted.path / "assets").iterdir())) > 2
        assert mounted.end() == 0
        assert sum("begun anew" in line for line in mounted.log) <= 1
        return _since(begun_s)

    with ThreadPoolExecutor(len(damages)) as pool:
        took_s = list(pool.map(with_damage, range(len(damages)), damages.values()))
    for number in range(len(damages)):
        with closing(sqlite3.connect(_index_of(cache.parent / f"damaged {number}"))) as index:
            ((rows,),) = index.execute("SELECT count(*) FROM entries")
            assert rows > 2
    _survived("the index is damaged: " + ", ".join(damages), "from the start", 8, max(took_s))


def test_clocks_that_jump_change_nothing(
    mount: Callable[..., Mount], archive: Steering, clocks: Clocks
) -> None:
    """A day forward and back, under the mount and between mounts: nothing is believed for longer.

    Nor for less time, while the mount runs; tokens are not renewed for it.
    """
    running = archive.running
    known, later = attach(running, _SMALL_BYTES, _LARGE_BYTES), attach(running, _SMALL_BYTES)
    options = (
        *archive.client,
        *("--metadata-ttl", "1h", "--stale-ok", "0s"),
    )
    first = mount(*options, credentials=False, program=clocks.program())
    paths = [first.path / known.directory / name for name in known.attachments]
    begun_s = time.monotonic()
    assert wrong_in(first.path, known) == []
    assert len(list((first.path / "assets").iterdir())) > 2
    for fast_s in (_DAY_S, 0, -_DAY_S):
        archive.reset()
        clocks.set_utc(fast_s)
        assert wrong_in(first.path, known) == []
        assert [path.stat().st_size for path in paths] == list(known.sizes_bytes)
        assert len(list((first.path / "assets").iterdir())) > 2
        assert archive.paths() == []
    assert wrong_in(first.path, later) == []
    assert archive.paths("/token$") == []
    assert first.end() == 0  # a day in the past

    for fast_s in (_DAY_S * 2, -_DAY_S * 3):
        archive.reset()
        clocks.set_utc(fast_s)
        mounted = mount(*options, credentials=False, program=clocks.program())
        assert wrong_in(mounted.path, known, later) == []
        assert len(list((mounted.path / "assets").iterdir())) > 2
        assert archive.paths(f"v2/{known.directory}$") != []  # too old, or of the future
        assert archive.paths(_DOWNLOADS) == []
        assert mounted.end() == 0
    _survived("the clock is set a day forward, or back", "a mount, a restart", 14, _since(begun_s))


def test_few_descriptors_are_enough(
    mount: Callable[..., Mount], archive: Steering, run: Run
) -> None:
    """With 64 of them, as many small files are read at once, and all large ones in their turn.

    Large ones that are open at the same time may be too many: that is an error, and no more.
    """
    running = archive.running
    small = [attach(running, _SMALL_BYTES) for _ in range(_DESCRIPTORS)]
    large = [attach(running, 2 * _MIB) for _ in range(_LARGE_AT_ONCE)]
    many = attach(running, *([_SMALL_BYTES] * _DESCRIPTORS))
    mounted = mount("--negative-ttl", "0s", program=("-c", _LIMITED))
    limits = resource.prlimit(mounted.process.pid, resource.RLIMIT_NOFILE)
    assert limits == (_DESCRIPTORS, _DESCRIPTORS)
    mounted.expected_warnings.add("Too many open files")
    pieces = [*small, *large]
    with ExitStack() as stack:
        files = [
            stack.enter_context((mounted.path / piece.path).open("rb", buffering=0))
            for piece in pieces
        ]
        archive.fail_next(path_regex=_DOWNLOADS, status=0, delay_s=0.2, times=len(pieces))
        begun_s = time.monotonic()
        with ThreadPoolExecutor(len(pieces)) as pool:
            contents = list(pool.map(_contents_of, files))
        longest_s = _since(begun_s)
    archive.reset()
    refused = [content for content in contents[len(small) :] if isinstance(content, OSError)]
    assert [
        (len(piece.content), content if isinstance(content, OSError) else "other bytes")
        for piece, content in zip(pieces, contents, strict=True)
        if content != piece.content and content not in refused
    ] == []
    assert wrong_in(mounted.path, *large, many) == []
    done = run("ls", "-l", mounted.path / many.directory)
    assert (done.returncode, done.stderr) == (0, "")
    assert mounted.end() == 0
    record(
        Row(
            _GROUP,
            f"no more than {_DESCRIPTORS} file descriptors",
            f"{len(small)} small and {len(large)} large files at once",
            len(pieces),
            SURVIVED if not refused else f"{SURVIVED}; {len(refused)} large ones after an error",
            errno.errorcode[refused[0].errno or 0] if refused else "",
            longest_s,
        )
    )


def _contents_of(file: FileIO) -> bytes | OSError:
    try:
        return file.readall()
    except OSError as error:
        return error


def test_little_memory_is_enough(mount: Callable[..., Mount], archive: Steering, run: Run) -> None:
    """In 150 MB, as much is read in small files at once, with a large one, while all is listed."""
    pieces = [attach(archive.running, *([_MIB] * 26)) for _ in range(5)]
    pieces.append(attach(archive.running, 40 * _MIB))
    attach(archive.running, *([10] * 200))
    with memory_limited(_LIMIT_BYTES) as limited:
        # A forked process shares memory that is charged to the fork server.
        mounted = mount(program=limited.program, popen=subprocess.Popen)
        begun_s = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            listing = pool.submit(run, "ls", "-lR", mounted.path / "assets")
            reading = [pool.submit(wrong_in, mounted.path, piece) for piece in pieces]
            found = [wrong for each in reading for wrong in each.result()]
            listed = listing.result()
        assert limited.killed == 0
        assert (listed.returncode, found) == (0, [])
        assert mounted.end() == 0
        assert limited.most_bytes > _LIMIT_BYTES // 2  # it was enough to matter
    _survived(
        "150 MB of memory (cgroup)", "130 small files, a large one, `ls -lR`", 132, _since(begun_s)
    )


def test_places_that_cannot_be_written_are_done_without(
    mount: Callable[..., Mount], archive: Steering, attachfs: Run, tmp_path: Path
) -> None:
    """No HOME, no TMPDIR, no runtime directory: with a cache directory of its own, all is well."""
    evidence = attach(archive.running, _SMALL_BYTES)
    (tmp_path / "temporary").mkdir(mode=0o700)
    nowhere = {
        **dict.fromkeys(("HOME", "TMPDIR"), "/proc/nowhere"),
        **dict.fromkeys(("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_STATE_HOME"), ""),
        "TEMP": str(tmp_path / "temporary"),
    }
    mounted = mount("--cache-dir", tmp_path / "own", **nowhere)
    assert wrong_in(mounted.path, evidence) == []
    assert attachfs("refresh", mounted.path, **nowhere).returncode == 0
    where = ("--url", archive.url, "--token-file", archive.token_file)
    (tmp_path / "other").mkdir()
    done = attachfs("mount", tmp_path / "other", *where, **nowhere)
    assert done.returncode == 43
    assert "--cache-dir" in sentence(done)
    record(
        Row(
            _GROUP,
            "HOME, TMPDIR and XDG_RUNTIME_DIR are of no use",
            "mount, refresh",
            2,
            WELL,
            "",
            0,
        )
    )
