"""What a verification finds of each attachment."""

import hashlib
from pathlib import Path

import pytest

from attachfs.archive.endpoints import ScanPolicy
from attachfs.audit.report import Verdict
from attachfs.audit.verify import Verify
from attachfs.errors import NotFound
from tests.support.archives import declared, uuid_in
from tests.support.estates import Estate
from tests.support.jobs import LARGE, findings_of, paths_of

_ALL = Verify(("",))


async def test_what_is_well_is_verified(estate: Estate) -> None:
    """With names, size, digests and times of all who tell them."""
    blob = estate.blob(LARGE)
    asset = estate.demo.create_asset(
        {
            "attributes": {
                "arc_display_name": "door",
                "proof": declared(blob, arc_file_name="proof.bin"),
            }
        }
    )
    digest = hashlib.sha256(LARGE).hexdigest()
    async with estate.mounted() as mounted:
        path = f"{asset['identity']}/{uuid_in(blob)}"
        finding = (await findings_of(mounted.fs, Verify((path,))))[path]
    assert finding.identity == path
    assert (finding.verdict, finding.reason) == (Verdict.VERIFIED, "")
    assert (finding.asset_name, finding.event_type, finding.file_name) == ("door", "", "proof.bin")
    assert finding.size_bytes == len(LARGE)
    assert finding.record_sha256 == (digest,)
    assert (finding.info_sha256, finding.body_sha256) == (digest, digest)
    assert finding.accepted == "2024-05-06T00:00:00Z"
    assert finding.scanned_status == "NOT_SCANNED"
    assert finding.checked.endswith("Z")


async def test_an_event_has_a_type(estate: Estate) -> None:
    """And its asset a name."""
    holder, _ = estate.asset(arc_display_name="door")
    event, (uuid,) = estate.event(holder, b"proof")
    async with estate.mounted() as mounted:
        finding = (await findings_of(mounted.fs, _ALL))[f"{event.path}/{uuid}"]
    assert finding.asset_name == "door"
    assert finding.event_type


async def test_each_trouble_has_a_verdict_of_its_own(
    estate: Estate, expected_warnings: set[str]
) -> None:
    """One of them does not keep the others from being verified."""
    expected_warnings |= {"not what", "SHA-256", "mismatch"}
    holder, (good, damaged, gone, bad, wrong) = estate.asset(
        b"good", b"damaged", b"gone", b"bad", b"wrong"
    )
    estate.demo.edit_blob(damaged, flip_body_byte=3)
    estate.demo.edit_blob(gone, delete=True)
    estate.demo.edit_blob(bad, scanned_status="SCANNED_BAD", scanned_bad_reason="worm")
    estate.demo.edit_blob(wrong, flip_info_hash=True)
    paths = paths_of(holder, (good, damaged, gone, bad, wrong))
    async with estate.mounted() as mounted:
        found = await findings_of(mounted.fs, Verify(paths))
    verdicts = {path.rpartition("/")[2]: finding.verdict for path, finding in found.items()}
    assert verdicts == {
        good: Verdict.VERIFIED,
        damaged: Verdict.MISMATCHED,
        gone: Verdict.MISSING,
        bad: Verdict.BAD_SCAN,
        wrong: Verdict.MISMATCHED,
    }
    reasons = {path.rpartition("/")[2]: finding.reason for path, finding in found.items()}
    assert reasons[bad] == "worm"
    assert all(reasons[uuid] for uuid in (damaged, gone, wrong))
    flipped = hashlib.sha256(b"dam\x9eged").hexdigest()
    assert found[f"{holder.path}/{damaged}"].body_sha256 == flipped


@pytest.mark.parametrize(
    ("mounted_policy", "policy", "verdict"),
    [
        (ScanPolicy.BLOCK_BAD, "", Verdict.VERIFIED),
        (ScanPolicy.REQUIRE_OK, "", Verdict.NOT_SCANNED),
        (ScanPolicy.BLOCK_BAD, "require-ok", Verdict.NOT_SCANNED),
        (ScanPolicy.ALLOW, "allow", Verdict.VERIFIED),
        (ScanPolicy.REQUIRE_OK, "allow", Verdict.NOT_SCANNED),
    ],
)
async def test_what_nobody_scanned_is_a_matter_of_the_policy(
    estate: Estate, mounted_policy: ScanPolicy, policy: str, verdict: Verdict
) -> None:
    """The one that was asked for; but never are bytes read that the mount would not give."""
    holder, uuids = estate.asset(b"unseen")
    async with estate.mounted(policy=mounted_policy) as mounted:
        job = Verify(paths_of(holder, uuids), scan_policy=policy)
        (finding,) = (await findings_of(mounted.fs, job)).values()
    assert finding.verdict is verdict


@pytest.mark.parametrize("policy", ["", "block-bad", "require-ok"])
async def test_what_is_bad_under_one_name_is_bad_under_all(estate: Estate, policy: str) -> None:
    """Whatever name the scanner met it by."""
    holder, (first, second) = estate.asset(b"same", b"same")
    estate.demo.edit_blob(first, scanned_status="SCANNED_BAD", scanned_bad_reason="worm")
    async with estate.mounted() as mounted:
        await findings_of(mounted.fs, Verify((f"{holder.path}/{first}",)))
        found = await findings_of(mounted.fs, Verify(("",), scan_policy=policy))
    assert found[f"{holder.path}/{first}"].verdict is Verdict.BAD_SCAN
    assert found[f"{holder.path}/{second}"].verdict is Verdict.BAD_SCAN


async def test_what_the_store_has_is_read_and_hashed_again(
    estate: Estate, tmp_path: Path, expected_warnings: set[str]
) -> None:
    """What a disk made of it is fetched again, and then it is well."""
    expected_warnings.add("an object of the store is damaged")
    job = Verify(paths_of(*estate.asset(b"evidence")))
    async with estate.mounted(stored=True) as mounted:
        await findings_of(mounted.fs, job)
    (file,) = (path for path in (tmp_path / "objects/sha256").rglob("*") if path.is_file())
    file.write_bytes(b"EVIDENCE")
    async with estate.mounted(stored=True) as mounted:
        (finding,) = (await findings_of(mounted.fs, job)).values()
    assert finding.verdict is Verdict.VERIFIED
    assert file.read_bytes() == b"evidence"


async def test_a_directory_that_cannot_be_looked_into_is_a_finding(
    estate: Estate, expected_warnings: set[str]
) -> None:
    """For what is in it has not been verified."""
    expected_warnings.add("403")
    holder, _ = estate.asset(b"one")
    estate.demo.edit_asset(holder.asset, deny=True)
    async with estate.mounted() as mounted:
        found = await findings_of(mounted.fs, Verify((holder.path,)))
    assert {finding.verdict for finding in found.values()} == {Verdict.UNREADABLE}


async def test_nothing_is_found_where_nothing_is(estate: Estate) -> None:
    """A path that names nothing is an error."""
    async with estate.mounted() as mounted:
        assert await findings_of(mounted.fs, _ALL) == {}
        with pytest.RaisesGroup(NotFound):
            await findings_of(mounted.fs, Verify(("assets/nothing",)))
