"""How bytes are fetched and kept."""

from dataclasses import dataclass

from attachfs.archive.endpoints import ScanPolicy


@dataclass(frozen=True, slots=True)
class ContentSettings:
    """Say how bytes are fetched and kept: bytes, and seconds.

    Verdicts and other failures are latched for `verdict_ttl_s`: the kernel repeats a failed read
    page by page (69 reads seen), which must cost no further download.
    """

    policy: ScanPolicy
    memory_bytes: int = 256 * 1024 * 1024
    verify_first_bytes: int = 4 * 1024 * 1024
    verdict_ttl_s: float = 5.0
    timeout_s: float = 30.0
