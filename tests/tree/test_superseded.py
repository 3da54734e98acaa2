"""What an asset had once: whichever URL serves it, verified by the record of its time."""

from datetime import UTC, datetime

import pytest

from attachfs.archive.identities import Holder
from attachfs.errors import Mismatch, NotFound
from tests.support.archives import declared, uuid_in
from tests.support.estates import BLOB_PATHS, Estate
from tests.support.trees import entries, ls, read, stat, xattr

_CONTENTS = (b"edition 1", b"edition two", b"edition three")
_SWITCHES = [(True, False), (False, False), (True, True), (False, True)]


class _Document:
    """An asset of which three events, a month apart, each set another edition."""

    def __init__(self, estate: Estate) -> None:
        created = datetime(2023, 1, 1, tzinfo=UTC)
        asset = estate.demo.create_asset({"attributes": {}}, at=created)
        self.holder = Holder(uuid_in(asset))
        self.events = []
        self.blobs = []
        for month, content in enumerate(_CONTENTS, 1):
            blob = estate.blob(content)
            at, on_asset = f"2024-0{month}-01T00:00:00Z", {"document": declared(blob)}
            self.events.append(estate.event(self.holder, at=at, on_asset=on_asset)[0])
            self.blobs.append(uuid_in(blob))

    def as_of(self, month: int) -> str:
        """Return the asset's directory as of the middle of a month."""
        return f"as-of/2024-0{month}-15/assets/{self.holder.asset}"


@pytest.fixture(params=_SWITCHES, ids=["event", "neither", "both", "asset"])
def document(estate: Estate, request: pytest.FixtureRequest) -> _Document:
    """On an archive that serves it by the URL of the event, by none, by both, by the asset's."""
    event, asset = request.param
    estate.demo.set_switches(
        event_url_serves_asset_attributes=event, asset_url_serves_superseded=asset
    )
    return _Document(estate)


async def test_every_edition_is_in_the_directory_of_its_event(
    estate: Estate, document: _Document
) -> None:
    """Listed and read, with a sidecar and checksums, the superseded as the latest."""
    async with estate.mounted() as mounted:
        for event, blob, content in zip(document.events, document.blobs, _CONTENTS, strict=True):
            names = {"event.json", "SHA256SUMS", blob, f"{blob}.info.json"}
            assert set(await ls(mounted.fs, event.path)) == names
            assert await read(mounted.fs, f"{event.path}/{blob}") == content
            assert blob.encode() in await read(mounted.fs, f"{event.path}/{blob}.info.json")
            assert blob.encode() in await read(mounted.fs, f"{event.path}/SHA256SUMS")


async def test_every_edition_is_in_the_asset_as_of_its_month(
    estate: Estate, document: _Document
) -> None:
    """And no other is listed there."""
    async with estate.mounted() as mounted:
        for month, (blob, content) in enumerate(zip(document.blobs, _CONTENTS, strict=True), 1):
            names = {"asset.json", "events", "SHA256SUMS", blob, f"{blob}.info.json"}
            assert set(await ls(mounted.fs, document.as_of(month))) == names
            path = f"{document.as_of(month)}/{blob}"
            assert (await stat(mounted.fs, path)).size_bytes == len(content)
            assert await read(mounted.fs, path) == content
            assert await xattr(mounted.fs, path, "user.archivist.verified_by") == "record+info"


async def test_listing_and_reading_agree_on_the_inode(estate: Estate, document: _Document) -> None:
    """Bytes of one path are shared by all times."""
    async with estate.mounted() as mounted:
        blob = document.blobs[0]
        listed = {
            entry.name: entry.node.ino for entry in await entries(mounted.fs, document.as_of(1))
        }
        assert listed[blob] == (await stat(mounted.fs, f"{document.as_of(1)}/{blob}")).ino


@pytest.mark.parametrize("document", [(True, False), (False, False)], indirect=True)
async def test_an_edition_is_read_as_of_then_after_it_was_not_found_today(
    estate: Estate, document: _Document
) -> None:
    """What the asset of today lacks says nothing of the asset of then."""
    found = True
    async with estate.mounted() as mounted:
        with pytest.raises(NotFound):
            await stat(mounted.fs, f"{document.holder.path}/{document.blobs[0]}")
        try:
            await stat(mounted.fs, f"{document.as_of(1)}/{document.blobs[0]}")
        except NotFound:
            found = False
    assert found


async def test_an_edition_is_downloaded_once(estate: Estate, document: _Document) -> None:
    """In whichever directories it is read."""
    async with estate.mounted() as mounted:
        blob = document.blobs[0]
        for path in (document.as_of(1), document.events[0].path, document.as_of(1)):
            assert await read(mounted.fs, f"{path}/{blob}") == _CONTENTS[0]
        bodies = [
            r for r in await estate.requests(f"{BLOB_PATHS}|blobs/{blob}$") if r.status == 200
        ]
        assert len(bodies) == 1


async def test_an_edition_is_verified_by_the_record_of_its_time(
    estate: Estate, document: _Document
) -> None:
    """A digest that only the older record declares is one that the bytes must have."""
    wrong = declared(estate.demo.blobs.record(document.blobs[0]), arc_blob_hash_value="0" * 64)
    first = document.events[0].event
    assert first is not None
    estate.demo.edit_event(first, asset_attributes={"document": wrong})
    async with estate.mounted() as mounted:
        for directory in (document.as_of(1), document.events[0].path):
            with pytest.raises(Mismatch, match=f"record={'0' * 64}"):
                await read(mounted.fs, f"{directory}/{document.blobs[0]}")
        assert await read(mounted.fs, f"{document.as_of(2)}/{document.blobs[1]}") == _CONTENTS[1]


async def test_damaged_bytes_of_an_edition_are_not_read(
    estate: Estate, document: _Document
) -> None:
    """Whichever URL they come from."""
    estate.demo.edit_blob(document.blobs[0], flip_body_byte=3)
    async with estate.mounted() as mounted:
        with pytest.raises(Mismatch, match="not those that were recorded"):
            await read(mounted.fs, f"{document.as_of(1)}/{document.blobs[0]}")


async def test_what_no_record_declares_is_not_found(estate: Estate, document: _Document) -> None:
    """A blob of the tenant is no evidence of an asset that never had it."""
    stray = uuid_in(estate.blob(b"stray"))
    async with estate.mounted() as mounted:
        for directory in (document.as_of(1), document.holder.path, document.events[0].path):
            with pytest.raises(NotFound):
                await stat(mounted.fs, f"{directory}/{stray}")
