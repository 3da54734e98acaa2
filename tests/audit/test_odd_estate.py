"""Everything odd at once, verified in every view, cold and warm: each row is what is so."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from attachfs.audit.verify import Verify
from tests.support.estates import Estate
from tests.support.jobs import findings_of
from tests.support.odd_estates import AS_OF, Row, odd_estate


def _told(rows: Mapping[str, Row], findings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the findings as a report has them, as far as the truth says something of each."""
    told = msgspec.json.decode(msgspec.json.encode(findings))
    return {
        path: {name: told[path][name] for name in _right(row)}
        for path, row in rows.items()
        if path in told
    }


def _right(row: Row) -> dict[str, Any]:
    """Return what a finding must say before the whole report settles what shares its bytes."""
    assert row.piece is not None
    return {
        name: value
        for name, value in row.finding.items()
        if name != "verdict" or not row.piece.is_twin
    }


@pytest.mark.parametrize("view", ["assets", "by-name", AS_OF, "publicassets"])
async def test_every_row_is_what_is_so(
    estate: Estate, expected_warnings: set[str], view: str
) -> None:
    """Each once, whatever is in the cache."""
    expected_warnings.add("were recorded")
    truth = odd_estate(0)
    truth.fill(estate.demo)
    rows = truth.attachments(view)
    public = [asset.uuid for asset in truth.of("public")]
    async with estate.mounted(public_assets=public) as mounted:
        for _ in range(2):
            findings = await findings_of(mounted.fs, Verify((view,)))
            assert findings.keys() == rows.keys()
            assert _told(rows, findings) == {path: _right(row) for path, row in rows.items()}


async def test_what_is_withheld_or_deleted_meanwhile_is_a_row(
    estate: Estate, expected_warnings: set[str]
) -> None:
    """Where it is named; where it is not listed any more, nothing else is left out for it."""
    expected_warnings.add("were recorded")
    estate.demo.set_switches(max_page_limit=5)
    truth = odd_estate(0)
    truth.fill(estate.demo)
    rows = truth.attachments("assets")
    denied, deleted = (truth.of(label)[0] for label in ("growing", "repeated"))
    async with estate.mounted(metadata_ttl_s=0, negative_ttl_s=0) as mounted:
        assert len(await (await mounted.catalog.assets()).whole()) > 0
        estate.demo.edit_asset(denied.uuid, deny=True)
        estate.demo.edit_asset(deleted.uuid, delete=True)
        findings = await findings_of(mounted.fs, Verify(("assets",)))
        of_denied = await findings_of(mounted.fs, Verify((f"assets/{denied.uuid}",)))
    assert {finding.verdict.value for finding in of_denied.values()} == {"unreadable"}
    assert not [path for path in findings if denied.uuid in path or deleted.uuid in path]
    others = {path: row for path, row in rows.items() if row.asset not in (denied, deleted)}
    assert _told(others, findings) == {path: _right(row) for path, row in others.items()}
