"""Keep what an archive said, by key, over restarts: an ordered store on SQLite, written behind."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import islice
from math import inf, nan
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeVar

import structlog
import trio

from attachfs.catalog.database import GET, Database, is_busy, is_damage, open_database

_MAX_BYTES: Final = 4 << 30
_MAX_MEMORY_BYTES: Final = 256 << 20
_MAX_PENDING_BYTES: Final = 32 << 20
_MAX_BATCH: Final = 2000  # entries: 20 ms of the writing thread
_AGAIN_S: Final = 0.25
_CLOSE_S: Final = 5.0
_STUCK_S: Final = 5.0
_SETTLED_NS: Final = 100_000_000
# Rows in one statement. The interpreter's lock is let go and waited for once a statement: beside
# a busy event loop, 100,000 entries took 4 s like this and 15 s one by one.
_ROWS: Final = (256, 16, 1)

_GET_MANY: Final = "SELECT key, value, at_s FROM entries WHERE key IN (@)"
_RANGE: Final = "SELECT key FROM entries WHERE key>=? AND key<? ORDER BY key LIMIT ?"
_TAIL: Final = "SELECT key FROM entries WHERE key>=? ORDER BY key LIMIT ?"
_PUT: Final = (
    "INSERT INTO entries VALUES @"
    " ON CONFLICT(key) DO UPDATE SET value=excluded.value, at_s=excluded.at_s"
)
_TOUCH: Final = "UPDATE entries SET at_s=? WHERE key IN (@)"
_DELETE: Final = "DELETE FROM entries WHERE key IN (@)"
_USED_BYTES: Final = (
    "SELECT (page_count - freelist_count) * page_size"
    " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)
_DROP_OLDEST: Final = (
    "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries ORDER BY at_s LIMIT ?)"
)

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Entry(NamedTuple):
    """Hold a value and when it was last known to be so, in seconds since 1970 UTC."""

    value: bytes
    at_s: float


class _Touch(NamedTuple):
    """Stand for a new time of whatever value is written."""

    at_s: float


_Change = Entry | _Touch | None  # None: deleted
_UNCHANGED: Final = _Touch(nan)


class Index:
    """Keep what an archive said, by key, each entry with its time, over restarts.

    What is put is seen at once and written behind, in one thread; several processes may share a
    file. Trouble with the disk is never raised: a damaged file is begun anew, other trouble makes
    the index live in memory, and an entry lost that way is a miss. So does a process that keeps it
    from being written for long, while more than 32 MiB wait for that. Once the file is larger than
    4 GiB (256 MiB in memory), the oldest entries go. Open it after the last fork: connections do
    not survive one.
    """

    def __init__(self, database: Database) -> None:
        self._database: Database | None = database
        self._path = database.path
        self._nursery: trio.Nursery | None = None
        self._limiter = trio.CapacityLimiter(1)
        self._pending: dict[bytes, _Change] = {}
        self._pending_bytes = 0
        self._running = False
        self._closed = False
        self._waiting = trio.lowlevel.ParkingLot()
        self._trouble: sqlite3.Error | None = None
        self._begun_anew = False
        self._busy_since_s = inf
        # A statement begun while another reads sees what that one sees, which may be too old.
        self._read_lock = threading.Lock()
        self._write_lock = threading.Lock()

    @classmethod
    def open(cls, path: Path | None) -> Self:
        """Open or make the file, mode 0600, or begin in memory where that fails; blocks."""
        return cls(open_database(path))

    def start(self, nursery: trio.Nursery) -> None:
        """Give the nursery in which writes are done behind, before anything is put."""
        self._nursery = nursery

    @property
    def persistent(self) -> bool:
        """Whether entries outlive the process: False in memory."""
        return self._path is not None

    def get(self, key: bytes) -> Entry | None:
        """Return an entry, None where there is none; never waits for a writer."""
        change = self._pending.get(key, _UNCHANGED)
        if not isinstance(change, _Touch):
            return change
        for value, at_s in self._read(GET, (key,)):
            return Entry(value, at_s if change is _UNCHANGED else change.at_s)
        if self._trouble is not None:
            self._wake()
        return None

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """Return the entries that are there, by key; may be called from any thread."""
        found: dict[bytes, Entry] = {}
        for chunk in _chunks(keys):
            # The changes first: what is taken out of them later is written by then.
            changes = {key: self._pending.get(key, _UNCHANGED) for key in chunk}
            for key, value, at_s in self._read(_many(_GET_MANY, len(chunk)), chunk):
                found[key] = Entry(value, at_s)
            for key, change in changes.items():
                if isinstance(change, Entry):
                    found[key] = change
                elif change is None:
                    found.pop(key, None)
                elif change is not _UNCHANGED and key in found:
                    found[key] = Entry(found[key].value, change.at_s)
        return found

    def written(self, prefix: bytes, limit: int) -> list[bytes]:
        """Return the first keys that begin with `prefix` on the disk, but for what is to go.

        Of what waits to be written there are none: it costs the same however much that is.
        """
        rows = self._read(_RANGE, (prefix, prefix[:-1] + bytes([prefix[-1] + 1]), limit))
        return [key for (key,) in rows if self._pending.get(key, _UNCHANGED) is not None]

    def stamp(self) -> tuple[int, int] | None:
        """Return what changes whenever any process writes; None where it has just done so.

        It is the time and size of SQLite's log (WAL), which costs a tenth of looking up a key. The
        kernel's times of files advance every few milliseconds: two writes at one moment look alike.
        """
        database = self._database
        if database is None or database.log is None:
            return None
        try:
            status = os.stat(database.log)  # noqa: PTH116 - a Path takes as long again
        except OSError:
            return None
        is_settled = time.time_ns() - status.st_mtime_ns > _SETTLED_NS
        return (status.st_mtime_ns, status.st_size) if is_settled else None

    def keys(self, prefix: bytes, limit: int) -> list[bytes]:
        """Return the first `limit` keys that begin with `prefix`, ascending."""
        changes = {key: to for key, to in self._pending.items() if key.startswith(prefix)}
        most = limit + sum(change is None for change in changes.values())
        stem = prefix.rstrip(b"\xff")
        if stem:
            rows = self._read(_RANGE, (prefix, stem[:-1] + bytes([stem[-1] + 1]), most))
        else:
            rows = self._read(_TAIL, (prefix, most))
        found = {key for (key,) in rows if changes.get(key, _UNCHANGED) is not None}
        found.update(key for key, change in changes.items() if isinstance(change, Entry))
        return sorted(found)[:limit]

    def put(self, key: bytes, value: bytes, at_s: float) -> None:
        """Set an entry."""
        self._change(key, Entry(value, at_s))

    def touch(self, key: bytes, at_s: float) -> None:
        """Give an entry another time, where there is one."""
        change = self._pending.get(key, _UNCHANGED)
        if isinstance(change, Entry):
            self._change(key, Entry(change.value, at_s))
        elif change is not None:
            self._change(key, _Touch(at_s))

    def delete(self, key: bytes) -> None:
        """Remove an entry, where there is one."""
        self._change(key, None)

    async def settle(self) -> None:
        """Wait until all that was put is written, or nobody writes any more."""
        await trio.lowlevel.checkpoint()
        while self._pending and self._running:
            await self._waiting.park()

    async def room(self) -> None:
        """Wait while more than 32 MiB of values wait to be written."""
        await trio.lowlevel.checkpoint()
        while self._pending_bytes > _MAX_PENDING_BYTES and self._running:
            await self._waiting.park()

    def close(self) -> None:
        """Write what is pending and close; blocks. Afterwards, everything is a miss."""
        until_s = time.monotonic() + _CLOSE_S
        with self._write_lock:
            self._closed = True
            while (self._pending or self._trouble is not None) and self.persistent:
                batch = dict(islice(self._pending.items(), _MAX_BATCH))
                if self._write(batch):
                    self._forget(batch)
                elif time.monotonic() > until_s:
                    _log.warning(
                        "the index is busy, its last entries are lost", path=str(self._path)
                    )
                    break
            self._pending.clear()
            self._pending_bytes = 0
            self._disconnect()

    def _change(self, key: bytes, change: _Change) -> None:
        if not self._closed:
            self._pending_bytes += _size(change) - _size(self._pending.get(key))
            self._pending[key] = change
            self._wake()

    def _forget(self, batch: dict[bytes, _Change]) -> None:
        """Take what is written out of the pending, unless it has changed meanwhile."""
        for key, change in batch.items():
            if self._pending.get(key, _UNCHANGED) is change:
                del self._pending[key]
                self._pending_bytes -= _size(change)

    def _wake(self) -> None:
        if self._nursery is not None and not self._running:
            with suppress(RuntimeError):  # the nursery is closed: what is pending waits for close()
                self._nursery.start_soon(self._run)
                self._running = True

    async def _run(self) -> None:
        try:
            while self._pending or self._trouble is not None:
                batch = dict(islice(self._pending.items(), _MAX_BATCH))
                if await trio.to_thread.run_sync(self._write_behind, batch, limiter=self._limiter):
                    self._forget(batch)
                    self._waiting.unpark_all()
                else:
                    await trio.sleep(_AGAIN_S)
        finally:
            self._running = False
            self._waiting.unpark_all()

    def _read(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        with self._read_lock:
            if self._database is None:
                return []
            try:
                return self._database.reader.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                if not is_busy(error):
                    self._trouble = error
                return []

    def _write_behind(self, batch: dict[bytes, _Change]) -> bool:
        """Write in the worker thread; False where it is to be tried again."""
        with self._write_lock:
            # What close() writes is newer than a batch that comes after it.
            return self._closed or self._write(batch)

    def _write(self, batch: dict[bytes, _Change]) -> bool:
        """Write or, where even memory fails, lose a batch; False where another process writes."""
        for _ in range(3):  # in the file, in a new one, in memory
            if self._trouble is not None:
                self._recover(self._trouble)
            try:
                if self._database is not None:
                    _transact(self._database, batch)
            except sqlite3.Error as error:
                if is_busy(error) and not self._is_stuck():
                    return False
                self._trouble = error
            else:
                self._busy_since_s = inf
                break
        return True

    def _is_stuck(self) -> bool:
        """Return whether another process, perhaps stopped, holds up more than may be pending."""
        now_s = time.monotonic()
        self._busy_since_s = min(self._busy_since_s, now_s)
        return self._pending_bytes > _MAX_PENDING_BYTES and now_s - self._busy_since_s > _STUCK_S

    def _recover(self, trouble: sqlite3.Error) -> None:
        """Begin anew, the first time that the file is damaged; else go on in memory."""
        before = self._taken()
        path = self._path
        damage = trouble if is_damage(trouble) and not self._begun_anew else None
        if damage is None and path is not None:
            _log.warning("the index lives in memory", path=str(path), reason=str(trouble))
            path = None
        database = open_database(path, damage, before)
        self._begun_anew = True
        self._path = database.path
        with self._read_lock:
            self._database = database
            self._trouble = None

    def _disconnect(self) -> None:
        database = self._taken()
        if database is not None:
            database.close()

    def _taken(self) -> Database | None:
        """Return the connections, which nobody uses from now on."""
        with self._read_lock:
            database, self._database = self._database, None
        return database


def _transact(database: Database, batch: dict[bytes, _Change]) -> None:
    """Write a batch in one transaction, and drop the oldest entries of too large a file."""
    puts, touched, deleted = [], dict[float, list[bytes]](), []
    for key, change in sorted(batch.items(), key=itemgetter(0)):
        if isinstance(change, Entry):
            puts.append((key, *change))
        elif change is None:
            deleted.append(key)
        else:
            touched.setdefault(change.at_s, []).append(key)
    execute = database.writer.execute
    with database.writer:  # committed, or rolled back
        execute("BEGIN IMMEDIATE")
        for rows in _chunks(puts):
            execute(_many(_PUT, len(rows)), [field for row in rows for field in row])
        for at_s, keys in touched.items():
            for chunk in _chunks(keys):
                execute(_many(_TOUCH, len(chunk)), (at_s, *chunk))
        for chunk in _chunks(deleted):
            execute(_many(_DELETE, len(chunk)), chunk)
        ((used_bytes,),) = execute(_USED_BYTES)
        if used_bytes > (_MAX_MEMORY_BYTES if database.path is None else _MAX_BYTES):
            execute(_DROP_OLDEST, (2 * _MAX_BATCH,))


def _size(change: _Change) -> int:
    return len(change.value) if isinstance(change, Entry) else 0


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split into few pieces of few sizes, so that their statements are prepared once."""
    at = 0
    for rows in _ROWS:
        while len(items) - at >= rows:
            yield items[at : at + rows]
            at += rows


@cache
def _many(sql: str, rows: int) -> str:
    """Write out the parameters of many rows: `@` stands for one."""
    return sql.replace("@", ",".join(["(?,?,?)" if sql is _PUT else "?"] * rows))
