"""What a verification found: one finding an attachment, and all of them together."""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from attachfs.escaping import escaped_json


class Verdict(StrEnum):
    """Say what became of an attachment; all but `VERIFIED` are a reason to look."""

    VERIFIED = "verified"
    MISMATCHED = "mismatched"
    MISSING = "missing"
    BAD_SCAN = "bad scan"
    NOT_SCANNED = "not scanned"
    UNREADABLE = "unreadable"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Say what was found of one attachment, or of a directory that could not be looked into.

    `path` is where it is in the tree, `identity` what the archive calls it. Digests are SHA-256 in
    lower-case hex: those that the record declares, also as of an earlier time that was looked at,
    the one of `/info`, and that of the bytes that came, where they came whole. Times are RFC 3339,
    UTC: `accepted` and `scanned` as the archive tells them, empty where it does not. `reason` is
    empty where all is well.

    `record_source` and `info_source` are `server`, or `index` for what this machine had kept, and
    `record_asked` and `info_asked` when the server was asked; empty where there was no answer.
    `body_source` is `server`, `cache` (of this machine, memory included) or `shared store`, joined
    by `+` where it was not one; empty where no bytes were read.
    """

    path: str
    identity: str
    verdict: Verdict
    reason: str = ""
    asset_name: str = ""
    event_type: str = ""
    file_name: str = ""
    mime_type: str = ""
    size_bytes: int | None = None
    accepted: str = ""
    record_sha256: tuple[str, ...] = ()
    info_sha256: str | None = None
    body_sha256: str | None = None
    scanned_status: str = ""
    scanned_bad_reason: str = ""
    scanned: str = ""
    record_source: str = ""
    record_asked: str = ""
    info_source: str = ""
    info_asked: str = ""
    body_source: str = ""
    checked: str = ""

    @property
    def digests(self) -> frozenset[str]:
        """Every SHA-256 that record and `/info` declare."""
        info = () if self.info_sha256 is None else (self.info_sha256,)
        return frozenset((*self.record_sha256, *info))


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Hold all findings of one run, sorted by path, and what was asked for.

    `paths` are those of the tree that were asked for, "" for all of it; times as `Finding` has
    them.
    """

    archive: str
    paths: tuple[str, ...]
    scan_policy: str
    program: str
    started: str
    ended: str
    findings: tuple[Finding, ...]

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many findings there are of each verdict, those without any included."""
        counted = Counter(finding.verdict for finding in self.findings)
        return {verdict: counted[verdict] for verdict in Verdict}

    @property
    def sources(self) -> Mapping[str, Mapping[str, int]]:
        """How many findings have record, `/info` and bytes from each source, as they name it."""
        return sources_of(self.findings)

    @property
    def verified_bytes(self) -> int:
        """How many bytes were verified."""
        return sum(
            finding.size_bytes or 0
            for finding in self.findings
            if finding.verdict is Verdict.VERIFIED
        )


def sources_of(findings: Iterable[Finding]) -> dict[str, dict[str, int]]:
    """Count from which sources record, `/info` and bytes of findings are."""
    counted = {"record": Counter[str](), "info": Counter[str](), "body": Counter[str]()}
    for finding in findings:
        counted["record"][finding.record_source] += 1
        counted["info"][finding.info_source] += 1
        counted["body"][finding.body_source] += 1
    return {
        what: {source: count for source, count in sorted(counts.items()) if source}
        for what, counts in counted.items()
    }


def is_well(counts: Mapping[Verdict, int]) -> bool:
    """Tell whether everything that was counted was verified."""
    return all(verdict is Verdict.VERIFIED or not count for verdict, count in counts.items())


def to_json(report: Report) -> bytes:
    """Return the report for programs: what it holds, the counts, and whether all is well."""
    fields = msgspec.to_builtins(report)
    document = {
        "is_well": is_well(report.counts),
        "counts": report.counts,
        "sources": report.sources,
        **fields,
    }
    return escaped_json(msgspec.json.format(msgspec.json.encode(document), indent=2))
