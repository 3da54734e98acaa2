"""The file that a report is written to: whole, or not at all."""

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from attachfs.audit.page import render
from attachfs.audit.report import Report, to_json
from attachfs.errors import UsageError

_PAGES: Final = frozenset({".html", ".htm"})


class ReportFile:
    """Hold the place of a report from before the work that it tells of, as a context manager.

    Until `write` is done, what was at `target` stays there. The file has mode 0600: it says what
    evidence there is. Raises `UsageError` for a target that cannot be written, or of no kind known.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self.is_page = target.suffix.lower() in _PAGES
        if not self.is_page and target.suffix.lower() != ".json":
            raise UsageError(
                f"what kind of report is {target}? its name must end in .html or .json"
            )
        if target.is_dir():
            raise UsageError(f"cannot write the report to {target}: it is a directory")

    def __enter__(self) -> Self:
        try:
            self._descriptor, name = tempfile.mkstemp(
                prefix=f".{self._target.name[:64]}.", dir=self._target.parent
            )
        except OSError as error:
            raise self._unusable(error) from error
        self._draft = Path(name)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)
        with suppress(OSError):  # it has its name already
            self._draft.unlink()

    def write(self, report: Report, thumbnails: Mapping[str, bytes]) -> None:
        """Write the report, JPEGs by their findings' paths in it; raises `UsageError`."""
        if self.is_page:
            data = render(report, thumbnails).encode("utf-8", "backslashreplace")
        else:
            data = to_json(report)
        try:
            with open(self._descriptor, "wb", closefd=False) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._draft.replace(self._target)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> UsageError:
        return UsageError(
            f"cannot write the report to {self._target}: {error.strerror}; give another file"
        )
