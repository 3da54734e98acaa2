"""How far a long job is: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from attachfs.cli.output import complain, say
from attachfs.escaping import escaped
from attachfs.wording import rough_size

if TYPE_CHECKING:
    from attachfs.audit.events import Event

_LINE_EVERY_S: Final = 5.0


class Progress:
    """Show on standard error how many files and bytes are done, and how many there are.

    To be used as a context manager. Lines are printed through `say`, or they would break the bar.
    """

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self.files = self.total_files = 0
        self.bytes = self.total_bytes = 0
        self._final = self._estimated = False
        self._told_s = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                desc=f"{self._verb}: looking",
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
                dynamic_ncols=True,
                leave=False,
            )
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def take(self, event: "Event") -> None:
        """Take what a job tells; what says nothing of progress is no matter."""
        from attachfs.audit.events import Checked, Failed, Fetched, Skipped, Total
        from attachfs.audit.events import Progress as Step

        match event:
            case Total(files, size_bytes, final, estimated):
                self.total_files, self.total_bytes = files, size_bytes
                self._final, self._estimated = final, estimated
            case Step(size_bytes):
                self.bytes += size_bytes
            case Fetched() | Skipped() | Failed() | Checked():
                self.files += 1
            case _:
                return
        self._show()

    def say(self, text: str, *, err: bool = False) -> None:
        """Print a line on standard output, or on standard error."""
        file = sys.stderr if err else sys.stdout
        if self._bar is None:
            say(text, err=err)
        else:
            self._bar.write(escaped(text), file=file)

    def complain(self, message: str) -> None:
        """Print what is wrong, in a line on standard error."""
        self.say(f"attachfs: {message}", err=True)

    def _show(self) -> None:
        if self._bar is not None:
            # What is not all found yet gives no time that is left.
            is_known = self._final or self._estimated
            self._bar.total = max(self.total_bytes, self.bytes) if is_known else None
            self._bar.set_description_str(f"{self._verb}: {self._counted()}", refresh=False)
            self._bar.update(self.bytes - self._bar.n)
        elif time.monotonic() - self._told_s >= _LINE_EVERY_S:
            self._told_s = time.monotonic()
            so_far = "" if self._final or self._estimated else " found so far"
            about = "about " if self._estimated else ""
            complain(
                f"{self._verb}: {self._counted()}, {rough_size(self.bytes)} of {about}"
                f"{rough_size(self.total_bytes)}{so_far}"
            )

    def _counted(self) -> str:
        about = "about " if self._estimated else ""
        more = "" if self._final or self._estimated else "+"
        return f"{self.files:,} of {about}{self.total_files:,}{more} files"


def problem(path: str, reason: str) -> str:
    """Return what to print of a path at which something failed."""
    return f"{path}: {reason}"


def files_of(count: int) -> str:
    """Return a number of files in words."""
    return f"{count:,} file{'' if count == 1 else 's'}"
