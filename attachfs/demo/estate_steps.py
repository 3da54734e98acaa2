"""The kinds of step that the story of the sample estate is told in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A blob. `scan` is the scanner's status and reason, or None while it has not been."""

    name: str
    at: str
    content: Callable[[], bytes]
    scan: tuple[str, str] | None = None


@dataclass(frozen=True)
class Attached:
    """Stands in attributes for the dict that attaches a blob in the current form (§6.1)."""

    blob: str
    file_name: str | None = None
    display_name: str | None = None
    old_form: bool = False


@dataclass(frozen=True)
class Named:
    """Stands in attributes for a blob's identity as a plain string, which attaches nothing."""

    blob: str


@dataclass(frozen=True, kw_only=True)
class Creation:
    """An asset."""

    name: str
    at: str
    attributes: Mapping[str, Any]
    public: bool = False


@dataclass(frozen=True, kw_only=True)
class Happening:
    """An event; `of` names its asset."""

    of: str
    name: str
    at: str
    event: Mapping[str, Any] = field(default_factory=dict)
    asset: Mapping[str, Any] = field(default_factory=dict)
    behaviour: str = "RecordEvidence"
    operation: str = "Record"
