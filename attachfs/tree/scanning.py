"""Decide what the malware scan lets pass (contract section 3.3, design section 2)."""

from typing import Final

from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.identities import AttachmentPath
from attachfs.archive.models import SCANNED_BAD, SCANNED_OK, Info
from attachfs.escaping import MAX_QUOTE_CHARS, escaped
from attachfs.tree.nodes import Estate

ELSEWHERE: Final = f"{SCANNED_BAD} under another name"
"""Why bytes count as bad whose own scan says nothing."""


def scan_refusal(estate: Estate, path: AttachmentPath, info: Info) -> str | None:
    """Return why the scan policy forbids to read an attachment; None where it does not.

    Bytes that were found bad under one name are bad under every other.
    """
    if estate.policy is ScanPolicy.ALLOW:
        return None
    if info.scanned_status == SCANNED_BAD:
        reason = info.scanned_bad_reason
        return f"{SCANNED_BAD}: {escaped(reason, MAX_QUOTE_CHARS)}" if reason else SCANNED_BAD
    if estate.catalog.has_bad_twin(path, info):
        return ELSEWHERE
    if estate.policy is ScanPolicy.REQUIRE_OK and info.scanned_status != SCANNED_OK:
        return f"{info.scanned_status}, and --scan-policy is require-ok"
    return None


def is_bad(estate: Estate, path: AttachmentPath, info: Info) -> bool:
    """Return whether a scan found an attachment's bytes bad, under whatever name."""
    return info.scanned_status == SCANNED_BAD or estate.catalog.has_bad_twin(path, info)
