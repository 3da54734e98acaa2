"""What a job tells while it goes on, to whoever asked for it: here, or through a socket.

Sizes in bytes, times in RFC 3339, UTC; paths are below the root of the tree.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from attachfs.audit.report import Finding


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """Say of which archive it is, which scan policy applies, and how much can be kept.

    `blocks_bad` says whether bytes count as bad that a scan found bad under another name.
    """

    archive: str
    scan_policy: str
    cache_bytes: int
    blocks_bad: bool = True


class Total(msgspec.Struct, frozen=True, tag="total"):
    """Count what has been found so far; `final` once that is all, or `estimated` what that is."""

    files: int
    size_bytes: int
    final: bool
    estimated: bool = False


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """Say that so many bytes more are done."""

    size_bytes: int


class Fetched(msgspec.Struct, frozen=True, tag="fetched"):
    """Say that an attachment is there now; `held` where it was before."""

    path: str
    size_bytes: int
    held: bool


class Skipped(msgspec.Struct, frozen=True, tag="skipped"):
    """Say that an attachment was left out, as it was asked for."""

    path: str
    reason: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Say of which path something could not be had, and why."""

    path: str
    reason: str


class Listed(msgspec.Struct, frozen=True, tag="listed"):
    """Name an entry of a directory; what is None was not asked for."""

    name: str
    kind: str
    size_bytes: int | None
    modified: str


class Described(msgspec.Struct, frozen=True, tag="described"):
    """Tell all that is known of a path."""

    path: str
    kind: str
    identity: str
    size_bytes: int | None
    modified: str
    fields: Mapping[str, Any]


class Bytes(msgspec.Struct, frozen=True, tag="bytes"):
    """Hand over the next bytes of a file; `last` with those that end it."""

    path: str
    data: bytes
    last: bool


class Checked(msgspec.Struct, frozen=True, tag="checked"):
    """Tell what a verification found."""

    finding: Finding


class Covered(msgspec.Struct, frozen=True, tag="covered"):
    """Say that all has been told of what is at and below paths, since the last one of these."""

    paths: tuple[str, ...]


Event = (
    Begun
    | Total
    | Progress
    | Fetched
    | Skipped
    | Failed
    | Listed
    | Described
    | Bytes
    | Checked
    | Covered
)
"""Whatever a job may tell."""

Tell = Callable[[Event], Awaitable[None]]
"""Take an event; raises nothing but cancellation."""
