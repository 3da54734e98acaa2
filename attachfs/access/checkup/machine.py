"""What this machine lets a mount have."""

from typing import Final

from attachfs.access.checkup.findings import Check, Finding, ok, warning
from attachfs.access.limits import obtainable_descriptors

# All connections, and some files besides.
_FEW: Final = 1024


async def _descriptors() -> Finding:
    count = obtainable_descriptors()
    if count < _FEW:
        return warning(
            f"{count:,} at most: fewer connections, and not many large files at a time",
            f"raise the limit to {_FEW:,} or more: ulimit -Hn, LimitNOFILE= of systemd, "
            "or /etc/security/limits.conf",
        )
    return ok(f"{count:,} at most")


DESCRIPTORS: Final = Check("open files", _descriptors)
"""Check how many descriptors a mount may have."""
