"""Work that is asked for as a value: by the command line here, or by one that asks a mount."""

from typing import Any

import msgspec

from attachfs.audit.copy_out import CopyOut
from attachfs.audit.events import Event
from attachfs.audit.look import Describe, List
from attachfs.audit.prefetch import Prefetch
from attachfs.audit.verify import Verify
from attachfs.errors import UsageError

Job = List | Describe | CopyOut | Prefetch | Verify
"""Whatever can be asked for; `run(fs, tell)` does it."""


def parse_job(value: Any) -> Job:
    """Return the job that decoded JSON describes; raises `UsageError`."""
    try:
        return msgspec.convert(value, Job)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        raise UsageError(f"no job is like this: {error}") from error


def parse_event(value: Any) -> Event:
    """Return the event that decoded JSON describes; raises `msgspec.ValidationError`."""
    return msgspec.convert(value, Event)  # type: ignore[no-any-return]
