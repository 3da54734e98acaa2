"""The file of the index: opened, made, or begun anew where it is damaged."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from attachfs.files import lock, require_regular

_LOG_SUFFIX: Final = "-wal"
SUFFIXES: Final = ("", _LOG_SUFFIX, "-shm", "-journal")
_FORMAT: Final = 2  # PRAGMA user_version
# A table with row ids: values of 1.2 KB in WITHOUT ROWID overflow into pages of their own. 100,000
# of them took 5.2 s and 469 MB instead of 0.9 s and 142 MB, a point read 27 us instead of 9 us.
# The index by age costs a seventh of an upsert, and lets the oldest go without reading 4 GiB.
_SCHEMA: Final = (
    "CREATE TABLE entries(key BLOB PRIMARY KEY, value BLOB NOT NULL, at_s REAL NOT NULL)",
    "CREATE INDEX entries_by_age ON entries(at_s)",
    f"PRAGMA user_version={_FORMAT}",
)
# synchronous=OFF: in a WAL, what a process wrote survives its death by any signal; only a power
# loss can damage it, and what SQLite notices of that is a miss. Not mapped: it saved 2 of 9 us a
# read, and a file cut short by others would be a SIGBUS. More cached pages than 4 MiB read no
# faster.
_PRAGMAS: Final = ("PRAGMA synchronous=OFF", "PRAGMA mmap_size=0", "PRAGMA cache_size=-4096")
GET: Final = "SELECT value, at_s FROM entries WHERE key=?"
_BUSY_S: Final = 0.5
_OPEN_S: Final = 2.0
_LOCK_S: Final = 2.0

_log = structlog.get_logger(__name__)


class Database(NamedTuple):
    """Hold the connections; in memory (`path` None) they are one.

    `identity` is the device and inode of the file, `log` the path of its log (WAL).
    """

    path: Path | None
    reader: sqlite3.Connection
    writer: sqlite3.Connection
    identity: tuple[int, int] | None = None
    log: str | None = None

    def close(self) -> None:
        """Close both."""
        for connection in (self.reader, self.writer):
            with suppress(sqlite3.Error):
                connection.close()


def open_database(
    path: Path | None, damage: sqlite3.Error | None = None, before: Database | None = None
) -> Database:
    """Open a file, anew where it is damaged, or else memory; close the one `before`.

    Where somebody else has begun anew what was found damaged, that is opened.
    """
    with closing(before) if before is not None else nullcontext():
        return _opened(path, damage, before)


def _opened(path: Path | None, damage: sqlite3.Error | None, before: Database | None) -> Database:
    if path is not None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with alone(path.parent):
                # While it is open, no other file has its inode's number.
                if before is not None and before.identity not in (None, _identity(path)):
                    damage = None
                if before is not None:
                    before.close()
                try:
                    if damage is None:
                        return _open_file(path)
                except sqlite3.Error as error:
                    if not is_damage(error):
                        raise
                    damage = error
                _log.warning("the index is begun anew", path=str(path), reason=str(damage))
                for suffix in SUFFIXES:
                    Path(f"{path}{suffix}").unlink(missing_ok=True)
                return _open_file(path)
        except (OSError, sqlite3.Error) as error:
            _log.warning("the index lives in memory", path=str(path), reason=str(error))
    memory = _connect(":memory:")
    for statement in _SCHEMA:
        memory.execute(statement)
    return Database(None, memory, memory)


def _open_file(path: Path) -> Database:
    """Open or make a file; raises `sqlite3.DatabaseError` where it is damaged or another's."""
    for suffix in SUFFIXES:  # SQLite opens whatever is there, also by a link
        require_regular(f"{path}{suffix}")
    # Not opened where it is there: closing it would let go the locks that SQLite holds on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    with ExitStack() as on_failure:
        # Others may read all of it just now: in memory it would be for as long as we live.
        writer = on_failure.enter_context(closing(_connect(path, _OPEN_S)))
        reader = on_failure.enter_context(closing(_connect(path)))
        for pragma in _PRAGMAS:
            writer.execute(pragma)
            reader.execute(pragma)
        ((mode,),) = writer.execute("PRAGMA journal_mode=WAL")
        if mode != "wal":
            raise OSError(f"journal mode {mode} instead of wal")
        ((schema_version,),) = writer.execute("PRAGMA schema_version")
        if not schema_version:
            with writer:
                for statement in ("BEGIN IMMEDIATE", *_SCHEMA):
                    writer.execute(statement)
        ((version,),) = reader.execute("PRAGMA user_version")
        if version > _FORMAT:
            raise OSError(f"a newer attachfs has made it (format {version}, ours is {_FORMAT})")
        if version != _FORMAT:
            raise sqlite3.DatabaseError(f"its format is {version}, not {_FORMAT}")
        reader.execute(GET, (b"",)).fetchall()
        reader.execute("PRAGMA busy_timeout=0")
        writer.execute(f"PRAGMA busy_timeout={_BUSY_S * 1000:.0f}")
        on_failure.pop_all()
    return Database(path, reader, writer, _identity(path), f"{path}{_LOG_SUFFIX}")


def _identity(path: Path) -> tuple[int, int] | None:
    with suppress(FileNotFoundError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None


def _connect(path: Path | str, timeout_s: float = _BUSY_S) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Let one process at a time open, begin or remove a file there.

    Raises `OSError`, also where another process does so for longer than two seconds: it may be
    stopped.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not lock(descriptor, limit_s=_LOCK_S):
            raise OSError(errno.EBUSY, "another process holds its lock", str(directory))
        yield
    finally:
        os.close(descriptor)


def is_busy(error: sqlite3.Error) -> bool:
    """Tell that another process has the file to itself for a moment."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def is_damage(error: sqlite3.Error) -> bool:
    """Tell damage, or a table unlike ours (SQLITE_ERROR), from trouble with the disk."""
    strange = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR
    return strange or not isinstance(error, sqlite3.OperationalError)
