"""What a check is, what it may find, and how checks are gone through."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

import trio

from attachfs.errors import AttachfsError, SetupError

# However many bounded waits a check consists of.
_LONGEST_S: Final = 15.0


class Outcome(StrEnum):
    """Say how a check went; a warning is nothing that keeps a mount from working."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold what a check found, and what to do about it; `exit_code` is that of a failure."""

    outcome: Outcome
    found: str
    advice: str = ""
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """Hold a check under its name, and the names of those without which it makes no sense."""

    name: str
    run: Callable[[], Awaitable[Finding]]
    after: tuple[str, ...] = ()


def ok(found: str) -> Finding:
    """Say that all is well."""
    return Finding(Outcome.OK, found)


def warning(found: str, advice: str) -> Finding:
    """Say what is not well, and does not keep a mount from working."""
    return Finding(Outcome.WARNING, found, advice)


def skipped(found: str) -> Finding:
    """Say why there is nothing to check; what depends on it is checked all the same."""
    return Finding(Outcome.SKIPPED, found)


def failed(error: AttachfsError, advice: str = "") -> Finding:
    """Say what a mount would say: without `advice`, the end of its message is what to do."""
    found, last = str(error), advice
    if not advice and "; " in found:
        found, _, last = found.rpartition("; ")
    exit_code = error.exit_code if isinstance(error, SetupError) else SetupError.exit_code
    return Finding(Outcome.FAILED, found, last, exit_code)


def in_thread(work: Callable[[], Finding]) -> Callable[[], Awaitable[Finding]]:
    """Return a check out of what may block; if it does for too long, its thread is left alone."""
    return partial(trio.to_thread.run_sync, work, abandon_on_cancel=True)


async def examine(
    checks: Iterable[Check], tell: Callable[[str, Finding], None], *, longest_s: float = _LONGEST_S
) -> None:
    """Make the checks in order and `tell` of each by its name; none raises, none waits for long.

    What depends on a check that failed is skipped, and what depends on that.
    """
    missing: set[str] = set()
    for check in checks:
        lacks = [name for name in check.after if name in missing]
        if lacks:
            finding = skipped(f"needs {lacks[0]}")
        else:
            finding = await _made(check, longest_s)
        if lacks or finding.outcome is Outcome.FAILED:
            missing.add(check.name)
        tell(check.name, finding)


async def _made(check: Check, longest_s: float) -> Finding:
    with trio.move_on_after(longest_s):
        try:
            return await check.run()
        except AttachfsError as error:
            return failed(error)
        except OSError as error:
            return _unexpected(error.strerror or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - the other checks go on, whatever it was
            return _unexpected(type(error).__name__)  # its text may be anything
    return Finding(
        Outcome.FAILED,
        f"it did not end within {longest_s:g} s",
        "find out what hangs: a disk of the network, or another mount",
        SetupError.exit_code,
    )


def _unexpected(reason: str) -> Finding:
    found = f"the check itself failed: {reason}"
    return Finding(Outcome.FAILED, found, "tell the authors of attachfs", SetupError.exit_code)
