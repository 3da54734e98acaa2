"""What a mount is made with."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from attachfs.archive.concurrency import MAX_CONCURRENT
from attachfs.archive.credentials import Credentials
from attachfs.archive.endpoints import ScanPolicy

_MIB: Final = 1024 * 1024
DEFAULT_URL: Final = "https://app.datatrails.ai"


class Knowledge(StrEnum):
    """Say what is believed: what is known, for its lifetime; what is asked for anew; what is kept.

    `ANEW` believes nothing that was asked for before, and `OFFLINE` asks nothing.
    """

    KEPT = "kept"
    ANEW = "anew"
    OFFLINE = "offline"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Hold the options of one mount: sizes in bytes, durations in seconds.

    `cache_size_bytes` bounds what is kept below `cache_dir`. A `public` mount has no credentials.
    `public_assets` are lower-case UUIDs, each once. `max_requests` bounds the small ones under way.
    Pickled, they hold no secret, as their credentials do not. `knowledge` says what is believed of
    what was known before.
    """

    url: str
    credentials: Credentials | None
    cache_dir: Path
    cache_size_bytes: int = 10 * 1024 * _MIB
    memory_cache_bytes: int = 256 * _MIB
    metadata_ttl_s: float = 60.0
    negative_ttl_s: float = 5.0
    stale_ok_s: float = 3600.0
    cache_min_free_fraction: float = 0.05
    verify_first_bytes: int = 4 * _MIB
    read_ahead_files: int = 64
    timeout_s: float = 30.0
    scan_policy: ScanPolicy = ScanPolicy.BLOCK_BAD
    untracked: bool = False
    public: bool = False
    public_assets: tuple[str, ...] = ()
    ca_bundle: Path | None = None
    shared_store: str | None = None
    max_requests: int = MAX_CONCURRENT
    knowledge: Knowledge = Knowledge.KEPT
