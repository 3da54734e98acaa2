"""Count where bodies come from."""

from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """Say where a body comes from: the server, this machine, memory included, or other hosts."""

    SERVER = "server"
    CACHE = "cache"
    SHARED_STORE = "shared store"


@dataclass(slots=True)
class Served:
    """Count bodies by where they were found, once a reader or look ahead: `shared` are under way.

    `shared_store` is what another host had fetched. `mismatches` are downloads that were not what
    was recorded.
    """

    memory: int = 0
    disk: int = 0
    shared: int = 0
    shared_store: int = 0
    fetched: int = 0
    mismatches: int = 0
