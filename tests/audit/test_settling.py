"""Verdicts by digest: whatever was met first, and whoever met it."""

from itertools import permutations
from typing import Any

import pytest

from attachfs.archive.models import NOT_SCANNED, SCANNED_BAD, SCANNED_OK
from attachfs.audit.report import Finding, Verdict
from attachfs.audit.settling import found_bad, settled
from attachfs.tree.scanning import ELSEWHERE

_BAD, _OTHER = "ab" * 32, "cd" * 32


def _finding(path: str, verdict: Verdict = Verdict.VERIFIED, **fields: Any) -> Finding:
    known = {
        "record_sha256": (_BAD,),
        "info_sha256": _BAD,
        "scanned_status": NOT_SCANNED,
        "info_source": "server",
    }
    return Finding(path=path, verdict=verdict, **{"identity": path} | known | fields)


def _bad(*findings: Finding) -> set[str]:
    return found_bad(lambda: findings)


_WORM = _finding("worm", Verdict.BAD_SCAN, reason="worm", scanned_status=SCANNED_BAD)


@pytest.mark.parametrize(
    ("verdict", "fields"),
    [
        (Verdict.VERIFIED, {"body_sha256": _BAD, "body_source": "server"}),
        (Verdict.VERIFIED, {"scanned_status": SCANNED_OK, "body_source": "cache"}),
        (Verdict.VERIFIED, {"record_sha256": ()}),
        (Verdict.VERIFIED, {"info_sha256": None}),
        (Verdict.NOT_SCANNED, {"reason": NOT_SCANNED}),
        (Verdict.MISMATCHED, {"reason": "bytes", "body_sha256": _OTHER, "body_source": "server"}),
        (Verdict.MISMATCHED, {"reason": "digests", "info_sha256": _OTHER}),
        (Verdict.MISSING, {"reason": "404"}),
        (Verdict.UNREADABLE, {"reason": "500"}),
        (Verdict.BAD_SCAN, {"reason": ELSEWHERE}),
    ],
)
def test_what_has_a_bad_digest_is_bad_as_if_that_had_been_known(
    verdict: Verdict, fields: dict[str, Any]
) -> None:
    """Its row is the same in every order: of bytes that were not asked for."""
    known_first = _finding("twin", Verdict.BAD_SCAN, reason=ELSEWHERE)
    for findings in permutations([_WORM, _finding("twin", verdict, **fields)]):
        bad = _bad(*findings)
        (twin,) = (settled(one, bad) for one in findings if one.path == "twin")
        assert twin.verdict is Verdict.BAD_SCAN
        assert (twin.reason, twin.body_sha256, twin.body_source) == (
            known_first.reason,
            None,
            "",
        )
        assert settled(twin, bad) == twin


@pytest.mark.parametrize(
    "finding",
    [
        _WORM,
        _finding("other", record_sha256=(_OTHER,), info_sha256=_OTHER),
        # What has no /info was never scanned; it is missing or unreadable whatever comes first.
        _finding("gone", Verdict.MISSING, info_sha256=None, scanned_status="", info_source=""),
        _finding("away", Verdict.UNREADABLE, info_sha256=None, scanned_status="", info_source=""),
    ],
)
def test_all_else_stays_as_it_is(finding: Finding) -> None:
    """What its own scan found bad keeps the reason."""
    assert settled(finding, _bad(_WORM, finding)) == finding


@pytest.mark.parametrize(
    ("worm", "twin"),
    [
        ({"info_sha256": None}, {}),  # `/info` may have another algorithm's digest
        ({"record_sha256": (_OTHER,)}, {"record_sha256": ()}),
        ({"info_sha256": _OTHER}, {"info_sha256": None}),
        ({"record_sha256": (_OTHER, _BAD), "info_sha256": None}, {"info_sha256": _OTHER}),
        ({"scanned_status": NOT_SCANNED, "reason": "the server refused it"}, {}),
    ],
)
def test_every_digest_of_what_is_bad_is_bad(worm: dict[str, Any], twin: dict[str, Any]) -> None:
    """By record or `/info`, and by a refusal of the server that knows of a later scan."""
    bad = _finding("worm", Verdict.BAD_SCAN, **{"scanned_status": SCANNED_BAD} | worm)
    good = _finding("twin", **twin)
    assert settled(good, _bad(good, bad)).verdict is Verdict.BAD_SCAN
    assert settled(bad, _bad(good, bad)) == bad


def test_a_twin_says_nothing_of_its_other_digests() -> None:
    """Only what its own scan found bad does."""
    twin = _finding("twin", Verdict.BAD_SCAN, reason=ELSEWHERE, record_sha256=(_BAD, _OTHER))
    other = _finding("other", record_sha256=(_OTHER,), info_sha256=_OTHER)
    assert settled(other, _bad(_WORM, twin, other)) == other


def test_what_is_known_in_one_view_counts_in_all() -> None:
    """As of an earlier time, an attachment may have had another digest."""
    today = _finding("today", identity="same", record_sha256=(_OTHER,), info_sha256=None)
    past = _finding("as-of", identity="same", record_sha256=(_OTHER, _BAD), info_sha256=None)
    bad = _bad(_WORM, today, past)
    assert settled(today, bad).verdict is settled(past, bad).verdict is Verdict.BAD_SCAN


def test_without_anything_bad_all_is_well() -> None:
    """Whatever it shares."""
    assert _bad(_finding("well"), _finding("twin")) == set()
