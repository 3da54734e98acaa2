"""What a directory holds, what is known of a path."""

from datetime import UTC, datetime

import pytest

from attachfs.archive.identities import Holder
from attachfs.audit.events import Described, Failed, Listed
from attachfs.audit.look import Describe, List
from attachfs.catalog.uuids import pack_uuid
from attachfs.errors import NotFound
from tests.support.archives import declared, uuid_in
from tests.support.estates import BLOB_PATHS, Estate
from tests.support.jobs import of_kind, told_by


async def test_a_directory_is_listed_in_its_order(estate: Estate) -> None:
    """Names and kinds."""
    holder, (uuid,) = estate.asset(b"one")
    async with estate.mounted() as mounted:
        told = of_kind(Listed, await told_by(mounted.fs, List(holder.path)))
        kinds = {entry.name: entry.kind for entry in told}
        root = of_kind(Listed, await told_by(mounted.fs, List("")))
    assert kinds == {
        "asset.json": "record",
        "SHA256SUMS": "checksums",
        "events": "events",
        uuid: "attachment",
        f"{uuid}.info.json": "sidecar",
    }
    assert [entry.kind for entry in root] == ["directory"] * len(root)
    assert "assets" in [entry.name for entry in root]


async def test_details_are_size_and_time(estate: Estate) -> None:
    """Of files; bytes are not fetched for that."""
    holder, (uuid,) = estate.asset(b"three")
    async with estate.mounted() as mounted:
        job = List(f"{holder.path}/{uuid}", details=True)
        (entry,) = of_kind(Listed, await told_by(mounted.fs, job))
        assert entry == Listed(uuid, "attachment", 5, "2024-05-06T00:00:00Z")
        told = of_kind(Listed, await told_by(mounted.fs, List(holder.path, details=True)))
        sizes = {entry.name: entry.size_bytes for entry in told}
        assert sizes["events"] is None
        assert sizes[uuid] == 5
        assert (sizes["asset.json"] or 0) > 100
        assert await estate.count(BLOB_PATHS) == 0


async def test_details_that_cannot_be_had_hide_no_others(
    estate: Estate, expected_warnings: set[str]
) -> None:
    """They are told of."""
    expected_warnings.add("404")
    holder, (one, two) = estate.asset(b"one", b"two")
    async with estate.mounted() as mounted:
        estate.demo.edit_blob(one, delete=True)
        told = await told_by(mounted.fs, List(holder.path, details=True))
    listed = {entry.name for entry in of_kind(Listed, told)}
    assert {two, "asset.json", "events"} <= listed
    assert {event.path for event in of_kind(Failed, told)} <= {
        f"{holder.path}/{one}",
        f"{holder.path}/{one}.info.json",
    }


@pytest.mark.parametrize("details", [False, True])
async def test_the_past_is_listed_as_it_was(estate: Estate, details: bool) -> None:  # noqa: FBT001
    """Without what came later; an event that may not be seen is told of, the others listed."""
    early, later = (
        Holder(uuid_in(estate.demo.create_asset({}, at=datetime(year, 1, 1, tzinfo=UTC))))
        for year in (2020, 2022)
    )
    seen, withheld = (estate.event(early, at=f"2021-0{n}-01T00:00:00Z")[0] for n in (1, 2))
    estate.demo.edit_event(str(withheld.event), deny=True)
    async with estate.mounted() as mounted:
        past = "as-of/2021-12-31/assets"
        told = of_kind(Listed, await told_by(mounted.fs, List(past, details=details)))
        assert [entry.name for entry in told] == [early.asset]
        now = of_kind(Listed, await told_by(mounted.fs, List("assets", details=details)))
        assert {entry.name for entry in now} == {early.asset, later.asset}
        # It is on no list; so is it known of where it was on one.
        listing = await mounted.catalog.events(early)
        listing.ids.append(pack_uuid(str(withheld.event)))
        events = f"{past}/{early.asset}/events"
        told_of_events = await told_by(mounted.fs, List(events, details=details))
    assert str(seen.event) in {entry.name for entry in of_kind(Listed, told_of_events)}
    assert len(of_kind(Listed, told_of_events)) == 2
    assert [failed.path for failed in of_kind(Failed, told_of_events)] == [events]


async def test_many_entries_all_come(estate: Estate) -> None:
    """In batches."""
    for _ in range(150):
        estate.asset()
    async with estate.mounted() as mounted:
        told = of_kind(Listed, await told_by(mounted.fs, List("assets", details=True)))
    assert len({entry.name for entry in told}) == 150


async def test_an_attachment_is_described_by_record_and_info(estate: Estate) -> None:
    """With what the bytes are verified by, and where they are."""
    blob = estate.blob(b"evidence")
    attributes = {"proof": declared(blob, arc_file_name="a.bin", arc_display_name="A")}
    asset = estate.demo.create_asset({"attributes": attributes})
    path = f"{asset['identity']}/{uuid_in(blob)}"
    async with estate.mounted() as mounted:
        (described,) = of_kind(Described, await told_by(mounted.fs, Describe((path,))))
    assert (described.path, described.kind, described.identity) == (path, "attachment", path)
    assert (described.size_bytes, described.modified) == (8, "2024-05-06T00:00:00Z")
    fields = described.fields
    assert fields["info"]["hash"] == blob["hash"]
    assert (fields["attribute"], fields["file_name"], fields["display_name"]) == (
        "proof",
        "a.bin",
        "A",
    )
    assert fields["url"].startswith(estate.running.url)
    assert fields["verified_by"]


async def test_other_paths_have_a_kind_and_an_identity(estate: Estate) -> None:
    """And what is not there is told of, the others being described."""
    holder, _ = estate.asset(b"one")
    event, _ = estate.event(holder, b"two")
    paths = (holder.path, "nothing", event.path, f"{holder.path}/asset.json", "assets")
    async with estate.mounted() as mounted:
        told = await told_by(mounted.fs, Describe(paths))
    assert [(one.kind, one.identity) for one in of_kind(Described, told)] == [
        ("asset", holder.path),
        ("event", event.path),
        ("record", holder.path),
        ("directory", ""),
    ]
    assert [failed.path for failed in of_kind(Failed, told)] == ["nothing"]


async def test_what_is_not_there_cannot_be_listed(estate: Estate) -> None:
    """Nor what the archive has no more."""
    async with estate.mounted() as mounted:
        for path in ("nothing", "assets/00000000-0000-0000-0000-000000000001"):
            with pytest.raises(NotFound):
                await told_by(mounted.fs, List(path))
