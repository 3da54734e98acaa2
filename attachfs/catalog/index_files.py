"""The files of indexes, seen and emptied from outside, also while mounts use them."""

import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from attachfs.catalog.database import GET, SUFFIXES, alone, is_damage
from attachfs.catalog.index import Index
from attachfs.catalog.keys import OWNER
from attachfs.files import require_regular

_BUSY_S: Final = 2.0

_COUNT: Final = "SELECT COUNT(*), COALESCE(MAX(at_s), 0) FROM entries"
_OLDER: Final = "SELECT COUNT(*) FROM entries WHERE key<>? AND at_s<?"
_DELETE: Final = "DELETE FROM entries WHERE key<>? AND at_s<?"


class Owner(msgspec.Struct, frozen=True):
    """Say whose an index is: an archive's URL, and who asked it; empty where that is unknown."""

    url: str = ""
    identity: str = ""


class IndexFile(NamedTuple):
    """Hold what an index takes in bytes, how much it knows, since when (s since 1970), and whose.

    `entries` is None where it cannot be read.
    """

    path: Path
    size_bytes: int
    entries: int | None
    written_s: float
    owner: Owner


def sign(index: Index, owner: Owner, now_s: float) -> None:
    """Have an index say whose it is: the name of its file does not."""
    index.put(OWNER, msgspec.json.encode(owner), now_s)


def index_files(directory: Path) -> list[IndexFile]:
    """Return the indexes in a directory; what is not a regular file is none."""
    files = [path for path in directory.glob("*.sqlite3") if stat.S_ISREG(path.lstat().st_mode)]
    return [_described(path) for path in sorted(files)]


def remove_entries(path: Path, before_s: float) -> int:
    """Remove what was last known to be so before a time, in seconds since 1970; return how much.

    Nothing of it is left on the disk. Where nothing else is left, the file goes as well, unless a
    mount uses it. Raises `OSError` and `sqlite3.Error`.
    """
    with alone(path.parent), closing(_connect(path)) as connection:
        try:
            is_used = _is_used(connection)
            entries, _ = connection.execute(_COUNT).fetchone()
            (older,) = connection.execute(_OLDER, (OWNER, before_s)).fetchone()
        except sqlite3.Error as error:
            if not is_damage(error) or path.stat().st_mtime >= before_s:
                raise
            is_used, entries, older = False, 0, 0  # of use to nobody
        if not is_used and older >= entries - 1:
            for suffix in SUFFIXES:
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        elif older:
            connection.execute("PRAGMA secure_delete=ON")
            connection.execute(_DELETE, (OWNER, before_s))
            with suppress(sqlite3.OperationalError):  # who reads it keeps it as long as it was
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return int(older)


def _described(path: Path) -> IndexFile:
    size_bytes = 0
    for suffix in SUFFIXES:
        with suppress(FileNotFoundError):
            size_bytes += Path(f"{path}{suffix}").stat().st_size
    entries, written_s, owner = None, 0.0, Owner()
    with (
        suppress(sqlite3.Error, OSError, msgspec.DecodeError),
        closing(_connect(path)) as connection,
    ):
        entries, written_s = connection.execute(_COUNT).fetchone()
        for value, _ in connection.execute(GET, (OWNER,)):
            entries -= 1
            owner = msgspec.json.decode(value, type=Owner)
    return IndexFile(path, size_bytes, entries, written_s, owner)


def _is_used(connection: sqlite3.Connection) -> bool:
    """Tell whether others have the file open: then its journal cannot be changed."""
    connection.execute("PRAGMA busy_timeout=0")
    try:
        ((mode,),) = connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError:
        return True
    finally:
        connection.execute(f"PRAGMA busy_timeout={_BUSY_S * 1000:.0f}")
    return bool(mode != "delete")


def _connect(path: Path) -> sqlite3.Connection:
    """Open a file that is there, to read and to change it; raises `OSError` for a FIFO and such.

    SQLite opens what is in place of a journal, and waits there whatever signals come.
    """
    for suffix in SUFFIXES:
        require_regular(f"{path}{suffix}")
    uri = f"file:{quote(str(path))}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
