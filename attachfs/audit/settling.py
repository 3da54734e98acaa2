"""Settle verdicts by digest, once all is known: in whatever order, and by whomever, it was met."""

from collections.abc import Callable, Container, Iterable

from msgspec.structs import replace

from attachfs.archive.models import SCANNED_BAD
from attachfs.audit.report import Finding, Verdict
from attachfs.tree.scanning import ELSEWHERE


def found_bad(rows: Callable[[], Iterable[Finding]]) -> set[str]:
    """Return the identities of what has a SHA-256 of something that a scan found bad.

    Every SHA-256 counts that record or `/info` declares, in any of an attachment's findings.
    `rows` returns all findings, each time that it is called.
    """
    digests = {digest for finding in rows() if _is_own(finding) for digest in finding.digests}
    if not digests:
        return set()
    return {finding.identity for finding in rows() if not finding.digests.isdisjoint(digests)}


def settled(finding: Finding, bad: Container[str]) -> Finding:
    """Return a finding as it is where what was `found_bad` was known before it was read.

    Then no byte of it would have been asked for. What `/info` knows nothing of stays as it is: it
    was not scanned. So does what its own scan found bad.
    """
    if finding.identity not in bad or not finding.scanned_status or _is_own(finding):
        return finding
    return replace(
        finding, verdict=Verdict.BAD_SCAN, reason=ELSEWHERE, body_sha256=None, body_source=""
    )


def _is_own(finding: Finding) -> bool:
    """Return whether an attachment's own scan found it bad, by `/info` or by a refusal."""
    if finding.scanned_status == SCANNED_BAD:
        return True
    return finding.verdict is Verdict.BAD_SCAN and finding.reason != ELSEWHERE
