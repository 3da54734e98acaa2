"""Tests steer the archive from another process through `/_embedded/`."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from attachfs.demo import Archive

ASSETS = "/archivist/v2/assets"
Attach = Callable[..., tuple[str, str]]


async def test_control_wants_the_token(client: httpx.AsyncClient) -> None:
    """Without one nothing can be seen or changed."""
    nothing = {"Authorization": ""}
    for path in ("/_embedded/switches", "/_embedded/requests"):
        assert (await client.get(path, headers=nothing)).status_code == 401


async def test_switches_are_thrown_one_by_one(client: httpx.AsyncClient) -> None:
    """A partial change keeps the others; unknown and mistyped ones are refused."""
    before = (await client.get("/_embedded/switches")).json()
    after = (await client.patch("/_embedded/switches", json={"etag": True})).json()
    assert after == {**before, "etag": True}
    for wrong in ({"tag": True}, {"etag": "yes"}, {"missing_token_status": 500}):
        assert (await client.patch("/_embedded/switches", json=wrong)).status_code == 400
    assert (await client.get("/_embedded/switches")).json() == after


async def test_bodies_and_metadata_are_spoiled(client: httpx.AsyncClient, attach: Attach) -> None:
    """A byte is flipped, a digest wrong, a field overridden, until it is taken back."""
    asset, blob = attach(b"evidence")
    path = f"/archivist/v2/attachments/assets/{asset}/{blob}"
    honest = (await client.get(f"{path}/info")).json()
    faults = {"flip_body_byte": 2, "flip_info_hash": True, "info_overrides": {"size": 9}}
    await client.patch(f"/_embedded/blobs/{blob}", json=faults)
    info = (await client.get(f"{path}/info")).json()
    assert (await client.get(path)).content == b"ev\x96dence"
    assert info["hash"]["value"][1:] == honest["hash"]["value"][1:]
    assert info["hash"]["value"] != honest["hash"]["value"]
    assert info["size"] == 9
    cure: dict[str, Any] = {"flip_body_byte": None, "flip_info_hash": False, "info_overrides": {}}
    await client.patch(f"/_embedded/blobs/{blob}", json=cure)
    assert (await client.get(path)).content == b"evidence"
    assert (await client.get(f"{path}/info")).json() == honest


async def test_a_body_is_truncated(
    client: httpx.AsyncClient, archive: Archive, attach: Attach
) -> None:
    """With a length the connection breaks; chunked the body just ends early."""
    asset, blob = attach(b"evidence")
    path = f"/archivist/v2/attachments/assets/{asset}/{blob}"
    archive.edit_blob(blob, truncate_body=3)
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(path)
    archive.set_switches(content_length=False)
    assert (await client.get(path)).content == b"evi"


async def test_faults_reach_into_large_bodies(
    client: httpx.AsyncClient, archive: Archive, attach: Attach
) -> None:
    """A byte of a later chunk is flipped, and a large body cut, as a small one is."""
    asset, blob = attach(bytes(1 << 20))
    path = f"/archivist/v2/attachments/assets/{asset}/{blob}"
    archive.edit_blob(blob, flip_body_byte=700_000)
    assert (await client.get(path)).content.find(b"\xff") == 700_000
    archive.edit_blob(blob, truncate_body=600_000)
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(path)
    archive.set_switches(content_length=False)
    assert len((await client.get(path)).content) == 600_000


async def test_a_blob_is_foreign_or_gone(
    client: httpx.AsyncClient, archive: Archive, attach: Attach
) -> None:
    """A foreign blob is served as attachment only, a deleted one not at all."""
    asset, blob = attach()
    paths = f"/archivist/v1/blobs/{blob}", f"/archivist/v2/attachments/assets/{asset}/{blob}"
    archive.edit_blob(blob, foreign=True)
    assert [(await client.get(path)).status_code for path in paths] == [404, 200]
    await client.patch(f"/_embedded/blobs/{blob}", json={"delete": True})
    assert [(await client.get(path)).status_code for path in paths] == [404, 404]
    assert not archive.blobs.path(blob).exists()


async def test_records_are_edited_in_place(client: httpx.AsyncClient, attach: Attach) -> None:
    """Fields change without an event; a null removes a key."""
    asset, _ = attach()
    event = (await client.get(f"{ASSETS}/{asset}/events")).json()["events"][0]["identity"]
    change: dict[str, Any] = {"attributes": {"proof": None, "new": "x"}, "public": True}
    await client.patch(f"/_embedded/assets/{asset}", json=change)
    record = (await client.get(f"{ASSETS}/{asset}")).json()
    assert (record["attributes"], record["public"]) == ({"new": "x"}, True)
    uuid = event.rsplit("/", 1)[1]
    change = {"attributes": {"own": "y"}, "timestamp_accepted": "2001-01-01T00:00:00Z"}
    await client.patch(f"/_embedded/events/{uuid}", json=change)
    edited = (await client.get(f"/archivist/v2/{event}")).json()
    assert edited["event_attributes"] == {"own": "y"}
    assert edited["timestamp_accepted"] == "2001-01-01T00:00:00Z"


async def test_records_are_denied_and_deleted(client: httpx.AsyncClient, attach: Attach) -> None:
    """What is denied is 403 and not listed, what is deleted 404."""
    asset, blob = attach()
    record, content = f"{ASSETS}/{asset}", f"/archivist/v2/attachments/assets/{asset}/{blob}"

    async def statuses() -> list[int]:
        listed = len((await client.get(ASSETS)).json()["assets"])
        return [listed, *[(await client.get(path)).status_code for path in (record, content)]]

    for change, expected in (
        ({"deny": True}, [0, 403, 403]),
        ({"deny": "record"}, [0, 403, 200]),
        ({"deny": False}, [1, 200, 200]),
        ({"delete": True}, [0, 404, 404]),
    ):
        answer = await client.patch(f"/_embedded/assets/{asset}", json=change)
        assert answer.status_code == 200
        assert await statuses() == expected


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("assets/{asset}", {"colour": "red"}),
        ("assets/{asset}", {"attributes": "red"}),
        ("assets/{asset}", {"deny": "all"}),
        ("assets/{asset}", {"uuid": "x"}),
        ("blobs/{blob}", {"colour": "red"}),
        ("blobs/{blob}", {"scanned_status": "FINE"}),
    ],
)
async def test_edits_that_make_no_sense_are_refused(
    client: httpx.AsyncClient, attach: Attach, path: str, change: dict[str, Any]
) -> None:
    """A slip in a test is told at once."""
    asset, blob = attach()
    answer = await client.patch(f"/_embedded/{path}".format(asset=asset, blob=blob), json=change)
    assert answer.status_code == 400


async def test_listings_alone_may_be_denied(
    client: httpx.AsyncClient, archive: Archive, attach: Attach
) -> None:
    """`deny_listing` hides the list of assets, `deny_records` all but attachments."""
    asset, blob = attach()
    paths = (
        ASSETS,
        f"{ASSETS}/{asset}",
        f"{ASSETS}/{asset}/events",
        f"{ASSETS}/-/events",
        f"/archivist/v2/attachments/assets/{asset}/{blob}",
        f"/archivist/v2/attachments/assets/{asset}/{blob}/info",
    )
    archive.set_switches(deny_listing=True)
    assert [(await client.get(path)).status_code for path in paths] == [403, *[200] * 5]
    archive.set_switches(deny_records=True)
    assert [(await client.get(path)).status_code for path in paths] == [*[403] * 4, 200, 200]


async def test_key_order_may_be_random(
    client: httpx.AsyncClient, archive: Archive, attach: Attach
) -> None:
    """The value stays the same while its bytes differ."""
    asset, _ = attach()
    archive.set_switches(key_order_shuffle=True)
    answers = [await client.get(f"{ASSETS}/{asset}") for _ in range(8)]
    assert len({answer.content for answer in answers}) > 1
    assert all(answer.json() == answers[0].json() for answer in answers)


async def test_at_time_may_be_the_moment_of_reading(
    client: httpx.AsyncClient, archive: Archive, attach: Attach
) -> None:
    """With the switch a record says when it was read instead of when it changed."""
    asset, _ = attach()
    archive.edit_asset(asset, at_time="2001-01-01T00:00:00Z")
    archive.set_switches(at_time_is_now=True)
    assert (await client.get(f"{ASSETS}/{asset}")).json()["at_time"] > "2001-01-01T00:00:00Z"
