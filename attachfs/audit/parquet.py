"""A report that is written while it is made: a directory of Parquet files, to be gone on with.

    report.parquet/
      _report.json             what was asked for, since when, until when, and the counts
      part-00000001.parquet    a row a finding, and in its metadata, what it covers
      part-again-1.parquet     what could not be read: where the server was away, another run can
      ...

A file is written under another name and renamed: so each is whole, and what it covers is in no
other. When all has been looked at, files are written again whose verdicts other rows change
(`settling`), whichever run those are of. Readers of such directories (pyarrow, pandas, DuckDB,
Spark) leave names with `_` or `.` out.
"""

import fcntl
import os
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from attachfs.archive.endpoints import ScanPolicy
from attachfs.audit.report import Finding, Verdict, sources_of
from attachfs.audit.settling import found_bad, settled
from attachfs.errors import UsageError
from attachfs.files import require_regular

SUFFIX: Final = ".parquet"
_HEAD: Final = "_report.json"
_AGAIN: Final = "part-again-"
_COVERS: Final = b"attachfs.covers"
# No more than these, or of so long, is lost where the program is killed: 10 M rows in three days
# are 4,000 files.
_ROWS: Final = 5_000
_WRITE_S: Final = 60.0

# What reading a file raises that is no part, or none any more.
_DAMAGES: Final = (
    OSError,
    KeyError,
    TypeError,
    ValueError,
    pa.ArrowException,
    msgspec.MsgspecError,
)
_SCHEMA: Final = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        ("reason", pa.string()),
        ("asset_name", pa.string()),
        ("event_type", pa.string()),
        ("file_name", pa.string()),
        ("mime_type", pa.string()),
        ("size_bytes", pa.int64()),
        ("accepted", pa.string()),
        ("record_sha256", pa.list_(pa.string())),
        ("info_sha256", pa.string()),
        ("body_sha256", pa.string()),
        ("scanned_status", pa.string()),
        ("scanned_bad_reason", pa.string()),
        ("scanned", pa.string()),
        ("record_source", pa.string()),
        ("record_asked", pa.string()),
        ("info_source", pa.string()),
        ("info_asked", pa.string()),
        ("body_source", pa.string()),
        ("checked", pa.string()),
    ]
)


class Head(msgspec.Struct, kw_only=True):
    """Say what a report is of; times are RFC 3339, UTC, `ended` empty while it goes on."""

    archive: str
    paths: tuple[str, ...]
    scan_policy: str
    program: str
    started: str
    ended: str = ""
    counts: dict[Verdict, int] = {}
    sources: dict[str, dict[str, int]] = {}
    verified_bytes: int = 0


class ParquetReport:
    """Write findings to a directory, as a context manager; one process at a time.

    What could not be read is in the report, too, and is not covered. `now_s` is a monotonic clock
    in seconds. Raises `UsageError` for a directory that is something
    else, whole already, or being written.
    """

    def __init__(self, target: Path, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._target = target
        self._now_s = now_s
        self._written_s = now_s()
        self._findings: list[Finding] = []
        self._covering: list[Finding] = []
        self._covers: list[str] = []
        self._again: list[Finding] = []
        self._agains = 0
        self._number = 0
        self._head: Head | None = None
        self.counts: Counter[Verdict] = Counter(dict.fromkeys(Verdict, 0))
        self.verified_bytes = 0
        self.sources: Mapping[str, Mapping[str, int]] = {}

    def __enter__(self) -> Self:
        try:
            self._target.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(self._target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._head = self._read_head()
        except BlockingIOError:
            os.close(self._lock)
            raise UsageError(f"another run is writing {self._target}; give another name") from None
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        try:
            self._write_part()
        finally:
            os.close(self._lock)

    def begin(
        self, archive: str, paths: tuple[str, ...], scan_policy: str, program: str, started: str
    ) -> frozenset[str]:
        """Begin the report, or go on with it; return what is covered already.

        Raises `UsageError` where what is there was asked for otherwise.
        """
        head = Head(
            archive=archive,
            paths=paths,
            scan_policy=scan_policy,
            program=program,
            started=started,
        )
        if self._head is None:
            self._head = head
            self._write_head()
            return frozenset()
        for field in ("archive", "paths", "scan_policy"):
            before, now = getattr(self._head, field), getattr(head, field)
            if before != now:
                raise UsageError(
                    f"{self._target} was begun with another {field.replace('_', ' ')}: "
                    f"{_text(before)}, not {_text(now)}; ask for the same again, or give "
                    "another name"
                )
        if self._head.ended:
            self._head = msgspec.structs.replace(self._head, ended="")
            self._write_head()
        return self._read_parts()

    def add(self, finding: Finding) -> None:
        """Take a finding of what is covered next."""
        self._covering.append(finding)

    def cover(self, paths: tuple[str, ...]) -> None:
        """Take note that all findings of what is at and below paths have been added."""
        again = {
            _piece_of(finding.path, paths)
            for finding in self._covering
            if finding.verdict is Verdict.UNREADABLE
        }
        for finding in self._covering:
            self._count(Verdict(finding.verdict), finding.size_bytes)
            piece = _piece_of(finding.path, paths)
            is_again = piece is None or piece in again
            (self._again if is_again else self._findings).append(finding)
        self._covering = []
        self._covers += [path for path in paths if path not in again]
        if len(self._again) >= _ROWS:
            self._write_again()
        if len(self._findings) >= _ROWS or self._now_s() - self._written_s >= _WRITE_S:
            self._write_part()

    def end(self, ended: str) -> list[Finding]:
        """Say that all has been looked at; return the findings whose verdict that has changed.

        The report is whole unless something could not be read, of which what was added since the
        last cover is: directories.
        """
        assert self._head is not None  # noqa: S101 - it was begun
        self.cover(())
        self._write_part()
        self._write_again()
        changed = self._settle() if self._head.scan_policy != ScanPolicy.ALLOW else []
        self._head = msgspec.structs.replace(
            self._head,
            ended=ended,
            counts={verdict: self.counts[verdict] for verdict in Verdict},
            sources=sources_of(self._rows()),
            verified_bytes=self.verified_bytes,
        )
        self._write_head()
        self.sources = self._head.sources
        return changed

    def _settle(self) -> list[Finding]:
        """Settle the verdicts of all rows by digest, and return those that are others now."""
        bad = found_bad(self._rows)
        changed: list[Finding] = []
        for file in self._parts() if bad else ():
            findings, covers = self._read_findings(file)
            after = [settled(finding, bad) for finding in findings]
            if after != findings:
                self._write_rows(file.name, after, covers)
            for before, now in zip(findings, after, strict=True):
                if now.verdict is not before.verdict:
                    self._count(before.verdict, before.size_bytes, by=-1)
                    self._count(now.verdict, now.size_bytes)
                    changed.append(now)
        return changed

    def _parts(self) -> list[Path]:
        return sorted(self._target.glob(f"part-*{SUFFIX}"))

    def _rows(self) -> Iterator[Finding]:
        """Yield all findings that are written, a file in memory at a time."""
        for file in self._parts():
            yield from self._read_findings(file)[0]

    def _read_findings(self, file: Path) -> tuple[list[Finding], list[str]]:
        """Return what is in a part, and what it covers; raises `UsageError` where it is damaged."""
        try:
            table = pq.ParquetFile(file).read()
            covers = msgspec.json.decode(table.schema.metadata[_COVERS], type=list[str])
            return msgspec.convert(table.to_pylist(), list[Finding]), covers
        except _DAMAGES as error:
            raise _damaged(file, error) from error

    def _count(self, verdict: Verdict, size_bytes: int | None, *, by: int = 1) -> None:
        self.counts[verdict] += by
        if verdict is Verdict.VERIFIED:
            self.verified_bytes += by * (size_bytes or 0)

    def _read_head(self) -> Head | None:
        try:
            require_regular(self._target / _HEAD)
            head = msgspec.json.decode((self._target / _HEAD).read_bytes(), type=Head)
        except FileNotFoundError:
            if any(file.name != f".{_HEAD}" for file in self._target.iterdir()):
                raise UsageError(
                    f"{self._target} is a directory with other things in it; give another name"
                ) from None
            return None
        except msgspec.MsgspecError as error:
            raise UsageError(
                f"{self._target / _HEAD} is none of attachfs's reports; give another name"
            ) from error
        except OSError as error:
            raise self._unusable(error) from error
        if head.ended and not head.counts.get(Verdict.UNREADABLE):
            raise UsageError(
                f"{self._target} is a whole report, of {head.ended}; give another name, "
                "or remove it"
            )
        return head

    def _read_parts(self) -> frozenset[str]:
        covered: list[str] = []
        for file in self._target.iterdir():
            if file.name.startswith(".part-"):
                file.unlink()  # whoever wrote it was killed
            if file.name.startswith(_AGAIN):
                file.unlink()
            elif file.name.startswith("part-"):
                covered += self._read_part(file)
        return frozenset(covered)

    def _read_part(self, file: Path) -> list[str]:
        """Count what is in a part, and return what it covers."""
        try:
            table = pq.read_table(file, columns=["verdict", "size_bytes"])
            covered = msgspec.json.decode(table.schema.metadata[_COVERS], type=list[str])
            number = int(file.stem.removeprefix("part-"))
            columns = table.to_pydict()
            verdicts = [Verdict(verdict) for verdict in columns["verdict"]]
        except _DAMAGES as error:
            raise _damaged(file, error) from error
        self._number = max(self._number, number)
        for verdict, size_bytes in zip(verdicts, columns["size_bytes"], strict=True):
            self._count(verdict, size_bytes)
        return covered

    def _write_part(self) -> None:
        if not self._findings and not self._covers:
            return
        self._number += 1
        self._write_rows(f"part-{self._number:08}{SUFFIX}", self._findings, self._covers)
        self._findings, self._covers = [], []
        self._written_s = self._now_s()

    def _write_again(self) -> None:
        if self._again:
            self._agains += 1
            self._write_rows(f"{_AGAIN}{self._agains}{SUFFIX}", self._again, [])
            self._again = []

    def _write_rows(self, name: str, findings: list[Finding], covers: list[str]) -> None:
        rows = [msgspec.to_builtins(finding) for finding in findings]
        schema = _SCHEMA.with_metadata({_COVERS: msgspec.json.encode(covers)})

        def write(draft: Path) -> None:
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), draft, compression="zstd")

        self._write(name, write)

    def _write_head(self) -> None:
        data = msgspec.json.format(msgspec.json.encode(self._head), indent=2)
        self._write(_HEAD, lambda draft: draft.write_bytes(data))

    def _write(self, name: str, write: Any) -> None:
        """Write a file whole, or not at all."""
        draft = self._target / f".{name}"
        try:
            draft.touch(mode=0o600)
            write(draft)
            descriptor = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            draft.replace(self._target / name)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> UsageError:
        return UsageError(
            f"cannot write the report to {self._target}: {error.strerror or error}; "
            "give another name"
        )


def _damaged(file: Path, error: Exception) -> UsageError:
    return UsageError(f"{file} is damaged ({error}); remove it, and what it covered is done again")


def _piece_of(path: str, pieces: Container[str]) -> str | None:
    """Return the piece that a path is at or below, if there is one."""
    at = path
    while at not in pieces:
        at, slash, _ = at.rpartition("/")
        if not slash:
            return None
    return at


def _text(value: object) -> str:
    return ", ".join(value) or "/" if isinstance(value, tuple) else str(value)
