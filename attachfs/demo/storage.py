"""Storage: one directory with records in SQLite and blobs as files, owned by one process."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from attachfs.demo.errors import ArchiveError
from attachfs.demo.wire import Record

_FORMAT = "attachfs embedded archive, format 1\n"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS blobs (uuid TEXT PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS applications (uuid TEXT PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    uuid TEXT NOT NULL,
    asset TEXT NOT NULL,
    tracked INTEGER NOT NULL DEFAULT 1,
    deny TEXT NOT NULL DEFAULT '',
    record BLOB NOT NULL,
    UNIQUE (kind, uuid)
);
CREATE INDEX IF NOT EXISTS records_by_asset ON records (kind, asset, seq);
CREATE INDEX IF NOT EXISTS records_by_tracked ON records (kind, tracked, seq);
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """An asset or event as stored; `asset` is the UUID of the asset it belongs to (or is)."""

    seq: int
    uuid: str
    asset: str
    deny: str
    record: Record


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which records of a kind to read, and in what order.

    `kind` is `asset`, `event` or `free`; `after` continues behind that sequence number.
    """

    kind: str
    asset: str | None = None
    tracked: bool | None = None
    ascending: bool = False
    after: int | None = None

    def sql(self) -> tuple[str, list[str | int]]:
        """Return the WHERE and ORDER BY clauses and their values."""
        terms, values = ["kind = ?"], list[str | int]([self.kind])
        if self.asset is not None:
            terms.append("asset = ?")
            values.append(self.asset)
        if self.tracked is not None:
            terms.append("tracked = ?")
            values.append(int(self.tracked))
        terms.append("deny = ''")
        if self.after is not None:
            terms.append("seq > ?" if self.ascending else "seq < ?")
            values.append(self.after)
        order = "ASC" if self.ascending else "DESC"
        return f"WHERE {' AND '.join(terms)} ORDER BY seq {order}", values


class Storage:
    """Records and blob files in a directory that survives restarts.

    Other users can read no file in it, whatever the umask: the key of all tokens is there.
    `was_exposed` says that they could before.

    Args:
        root: The directory; made if it does not exist.

    Raises:
        ArchiveError: The directory is in use, not writable, or holds something else.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blob_dir = root / "blobs"
        self._db_path = root / "archive.sqlite3"
        self._lock_file = _claim(root)
        try:
            self.was_exposed = _make_private(self._db_path)
            self.blob_dir.mkdir(mode=0o700, exist_ok=True)
            self.blob_dir.chmod(0o700)
            self._db = self._connect(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            self._lock_file.close()
            raise ArchiveError(
                f"The archive in {root} cannot be opened ({error}): restore it or use another one."
            ) from error

    def close(self) -> None:
        """Close the database and give the directory up."""
        self._db.close()
        self._lock_file.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all changes of the block or none; blocks may nest."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # --- single values -------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        """Return a value of the archive as a whole, as its signing key."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Store a value of the archive as a whole."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def load(self, table: str, uuid: str) -> Record | None:
        """Return a record of `blobs` or `applications`."""
        row = self._db.execute(
            f"SELECT record FROM {table} WHERE uuid = ?",  # noqa: S608 -- a table's name
            (uuid,),
        ).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Record)

    def load_all(self, table: str) -> list[Record]:
        """Return every record of `blobs` or `applications`."""
        rows = self._db.execute(f"SELECT record FROM {table} ORDER BY rowid")  # noqa: S608
        return [msgspec.json.decode(row[0], type=Record) for row in rows]

    def save(self, table: str, uuid: str, record: Record) -> None:
        """Store a record of `blobs` or `applications`."""
        self._db.execute(
            f"INSERT INTO {table} VALUES (?, ?)"  # noqa: S608 -- a table's name
            " ON CONFLICT (uuid) DO UPDATE SET record = excluded.record",
            (uuid, msgspec.json.encode(record)),
        )

    def remove(self, table: str, uuid: str) -> None:
        """Remove a record of `blobs` or `applications`, and the blob's file."""
        self._db.execute(f"DELETE FROM {table} WHERE uuid = ?", (uuid,))  # noqa: S608
        if table == "blobs":
            self.blob_path(uuid).unlink(missing_ok=True)

    def blob_path(self, uuid: str) -> Path:
        """Return the file with the bytes of a blob."""
        return self.blob_dir / uuid

    # --- assets and events ---------------------------------------------------------------

    def add(self, kind: str, uuid: str, asset: str, record: Record) -> int:
        """Append an asset or event and return its sequence number, which orders lists."""
        cursor = self._db.execute(
            "INSERT INTO records (kind, uuid, asset, tracked, record) VALUES (?, ?, ?, ?, ?)",
            (kind, uuid, asset, _tracked(record), msgspec.json.encode(record)),
        )
        return int(cursor.lastrowid or 0)

    def is_empty(self) -> bool:
        """Tell whether there are neither records nor blobs."""
        sql = "SELECT EXISTS (SELECT 1 FROM records) OR EXISTS (SELECT 1 FROM blobs)"
        return not self._db.execute(sql).fetchone()[0]

    def next_seq(self) -> int:
        """Return the sequence number that the next asset or event gets."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
        return 1 if row is None else int(row[0]) + 1

    def get(self, kind: str, uuid: str) -> Row | None:
        """Return an asset or event."""
        found = self._db.execute(
            "SELECT seq, uuid, asset, deny, record FROM records WHERE kind = ? AND uuid = ?",
            (kind, uuid),
        ).fetchone()
        return None if found is None else _row(found)

    def put(self, kind: str, uuid: str, record: Record, deny: str | None = None) -> None:
        """Replace an asset or event in place, and with `deny` who may see it."""
        self._db.execute(
            "UPDATE records SET tracked = ?, record = ?, deny = coalesce(?, deny)"
            " WHERE kind = ? AND uuid = ?",
            (_tracked(record), msgspec.json.encode(record), deny, kind, uuid),
        )

    def erase(self, kind: str, uuid: str) -> None:
        """Remove an event, or an asset with its events."""
        self._db.execute("DELETE FROM records WHERE kind = ? AND uuid = ?", (kind, uuid))
        if kind == "asset":
            self._db.execute("DELETE FROM records WHERE asset = ?", (uuid,))

    def select(self, selection: Selection) -> Iterator[tuple[Row, Record]]:
        """Yield the records that the selection names, each with that of its asset.

        May run in a thread: it has a connection of its own and sees committed records.
        """
        clauses, values = selection.sql()
        assets: dict[str, Record] = {}
        with contextlib.closing(self._connect()) as db:
            for found in db.execute(
                f"SELECT seq, uuid, asset, deny, record FROM records {clauses}",  # noqa: S608
                values,
            ):
                row = _row(found)
                if selection.kind != "event":
                    yield row, row.record
                    continue
                if row.asset not in assets:
                    (owner,) = db.execute(
                        "SELECT record FROM records WHERE kind = 'asset' AND uuid = ?",
                        (row.asset,),
                    ).fetchone()
                    assets[row.asset] = msgspec.json.decode(owner, type=Record)
                yield row, assets[row.asset]

    def first(self, selection: Selection, limit: int) -> list[Row]:
        """Return at most `limit` of the records that the selection names."""
        clauses, values = selection.sql()
        found = self._db.execute(
            f"SELECT seq, uuid, asset, deny, record FROM records {clauses} LIMIT ?",  # noqa: S608
            [*values, limit],
        )
        return [_row(item) for item in found]

    def count(self, selection: Selection) -> int:
        """Count the records that the selection names."""
        clauses, values = selection.sql()
        sql = f"SELECT count(*) FROM records {clauses}"  # noqa: S608 -- clauses are ours
        return int(self._db.execute(sql, values).fetchone()[0])

    def _connect(self, script: str = "") -> sqlite3.Connection:
        db = sqlite3.connect(self._db_path, isolation_level=None, check_same_thread=False)
        try:
            # A demonstration's archive need not survive a power cut, and fsync would dominate.
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = OFF")
            db.executescript(script)
        except sqlite3.Error:
            db.close()
            raise
        return db


def _tracked(record: Record) -> int:
    return int(record.get("tracked") != "NOT_TRACKED")


def _row(found: tuple[int, str, str, str, bytes]) -> Row:
    seq, uuid, asset, deny, record = found
    return Row(
        seq=seq, uuid=uuid, asset=asset, deny=deny, record=msgspec.json.decode(record, type=Record)
    )


def _make_private(database: Path) -> bool:
    """Let only the owner read a database, made if need be; return whether others could before.

    SQLite gives new journals the mode of the database.
    """
    was_exposed = False
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    for suffix, more in (("", os.O_CREAT), ("-wal", 0), ("-shm", 0)):
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(f"{database}{suffix}", flags | more, 0o600)
            try:
                was_exposed |= bool(os.fstat(descriptor).st_mode & 0o077)
                os.fchmod(descriptor, 0o600)
            finally:
                os.close(descriptor)
    return was_exposed


def _claim(root: Path) -> IO[str]:
    """Mark a directory as an archive and as ours until the returned file is closed."""
    foreign = ArchiveError(f"{root} holds something else: give an empty or new directory.")
    marker = root / "ARCHIVE"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not marker.exists():
            if any(root.iterdir()):
                raise foreign
            marker.touch(mode=0o600)
            marker.write_text(_FORMAT)
        lock_file = marker.open("r+")
        os.fchmod(lock_file.fileno(), 0o600)  # whoever may read it may lock it
    except OSError as error:
        raise ArchiveError(
            f"{root} cannot be used for the archive ({os.strerror(error.errno or 0)}): "
            "give a directory that you may write to."
        ) from error
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock_file.close()
        raise ArchiveError(
            f"{root} is in use by another archive: stop that one or give another directory."
        ) from error
    if lock_file.read() != _FORMAT:
        lock_file.close()
        raise foreign
    return lock_file
