"""Attachments are served where they are referred to, in every manner left open (§3, 6.4)."""

import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio

from attachfs.demo import Archive, RunningArchive

ATTACHMENTS = "/archivist/v2/attachments"
NOBODY = "00000000-0000-4000-8000-000000000000"
RECORD = {"operation": "Record", "behaviour": "RecordEvidence"}
Attach = Callable[..., tuple[str, str]]


def marked(blob: str) -> dict[str, str]:
    """Return the dict that attaches a blob."""
    return {"arc_attribute_type": "arc_attachment", "arc_blob_identity": f"blobs/{blob}"}


async def test_an_asset_serves_what_its_attributes_attach(
    client: httpx.AsyncClient, attach: Attach
) -> None:
    """Body and metadata agree in type, length and digest."""
    asset, blob = attach(b"evidence")
    path = f"{ATTACHMENTS}/assets/{asset}/{blob}"
    body, info = await client.get(path), (await client.get(f"{path}/info")).json()
    assert body.headers["content-type"] == info["mime_type"]
    assert int(body.headers["content-length"]) == info["size"] == len(body.content)
    assert hashlib.sha256(body.content).hexdigest() == info["hash"]["value"]
    assert info["identity"] == f"attachments/{blob}"


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"k": marked("{}")}, 200),
        ({"k": [marked("{}")]}, 200),
        ({"arc_attachments": [{"arc_attachment_identity": "blobs/{}"}]}, 200),
        ({"arc_attachments": [{"arc_attachment_identity": "attachments/{}"}]}, 200),
        ({"arc_append_attachments": [{"arc_attachment_identity": "blobs/{}"}]}, 200),
        ({"k": "blobs/{}"}, 404),
        ({"k": {"arc_blob_identity": "blobs/{}"}}, 404),
        ({"arc_file_name": "f", "arc_blob_hash_alg": "SHA256"}, 404),
    ],
)
async def test_every_form_of_declaration_is_understood(
    client: httpx.AsyncClient, archive: Archive, attributes: dict[str, Any], status: int
) -> None:
    """Marked dicts, lists of them and the old list attach; strings and unmarked dicts do not."""
    blob = archive.create_blob(b"x")["identity"].split("/")[1]
    asset = archive.create_asset({"attributes": _filled(attributes, blob)})["identity"]
    answer = await client.get(f"{ATTACHMENTS}/{asset}/{blob}")
    assert answer.status_code == status


def _filled(value: Any, blob: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, blob) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, blob) for item in value]
    return value.format(blob)


async def test_events_serve_their_own_and_by_switch_what_they_set(
    client: httpx.AsyncClient, archive: Archive, attach: Attach
) -> None:
    """A superseded attachment is left to the event that set it, or with the switch to nobody."""
    asset, first = attach(b"first")
    second, third = (
        archive.create_blob(content)["identity"].split("/")[1] for content in (b"second", b"third")
    )
    event = archive.create_event(
        asset,
        {
            **RECORD,
            "event_attributes": {"own": marked(third)},
            "asset_attributes": {"proof": marked(second)},
        },
    )["identity"]
    created = (await client.get(f"/archivist/v2/assets/{asset}/events")).json()["events"][-1]

    async def statuses(identity: str) -> list[int]:
        return [
            (await client.get(f"{ATTACHMENTS}/{identity}/{blob}")).status_code
            for blob in (first, second, third)
        ]

    assert await statuses(f"assets/{asset}") == [404, 200, 404]
    assert await statuses(event) == [404, 200, 200]
    assert await statuses(created["identity"]) == [200, 404, 404]
    archive.set_switches(event_url_serves_asset_attributes=False, asset_url_serves_superseded=True)
    assert await statuses(f"assets/{asset}") == [200, 200, 404]
    assert await statuses(event) == [404, 404, 200]
    assert await statuses(created["identity"]) == [404, 404, 404]


async def test_unknown_things_are_not_found(client: httpx.AsyncClient, attach: Attach) -> None:
    """A wrong asset, event or attachment is 404, and what is no UUID 400."""
    asset, blob = attach()
    for path, status in (
        (f"assets/{NOBODY}/{blob}", 404),
        (f"assets/{asset}/{NOBODY}", 404),
        (f"assets/{asset}/{NOBODY}/info", 404),
        (f"assets/{asset}/events/{NOBODY}/{blob}", 404),
        (f"publicassets/{asset}/{blob}", 404),
        (f"assets/{asset}/blob", 400),
        (f"assets/asset/{blob}", 400),
        (f"assets/{asset}/events/event/{blob}/info", 400),
        (f"assets/{asset}", 404),
    ):
        assert (await client.get(f"{ATTACHMENTS}/{path}")).status_code == status, path
    assert (await client.get(f"/archivist/v1/blobs/{NOBODY}")).status_code == 404
    assert (await client.get(f"/archivist/v1/blobs/{blob.upper()}")).status_code == 200


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=2-4", (206, b"234", "bytes 2-4/10")),
        ("bytes=7-", (206, b"789", "bytes 7-9/10")),
        ("bytes=7-99", (206, b"789", "bytes 7-9/10")),
        ("bytes=10-", (416, b"", "bytes */10")),
        ("bytes=4-2", (200, b"0123456789", None)),
        ("bytes=-3", (200, b"0123456789", None)),
        ("lines=1-2", (200, b"0123456789", None)),
    ],
)
async def test_ranges_are_honoured_only_when_switched_on(
    client: httpx.AsyncClient,
    archive: Archive,
    attach: Attach,
    asked: str,
    expected: tuple[int, bytes, str | None],
) -> None:
    """By default a ranged request gets everything, as the service seems to do."""
    asset, blob = attach(b"0123456789")
    path = f"{ATTACHMENTS}/assets/{asset}/{blob}"
    ignored = await client.get(path, headers={"Range": asked})
    assert (ignored.status_code, ignored.content) == (200, b"0123456789")
    archive.set_switches(honour_range=True)
    answer = await client.get(path, headers={"Range": asked})
    content_range = answer.headers.get("content-range")
    assert (answer.status_code, answer.content, content_range) == expected


async def test_headers_that_are_left_open_follow_their_switches(
    client: httpx.AsyncClient, archive: Archive, attach: Attach
) -> None:
    """Length, ETag and disposition come and go."""
    asset, blob = attach(b"evidence")
    path = f"{ATTACHMENTS}/assets/{asset}/{blob}"
    plain = (await client.get(path)).headers
    assert "content-length" in plain
    assert not {"etag", "content-disposition", "accept-ranges"} & set(plain)
    archive.set_switches(content_length=False, etag=True, content_disposition=True)
    answer = await client.get(path)
    assert answer.content == b"evidence"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["content-disposition"] == 'attachment; filename="filename"'
    again = await client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


async def test_metadata_change_their_form_by_switch(
    client: httpx.AsyncClient, archive: Archive, attach: Attach
) -> None:
    """The identity's prefix and the fields are those of other years where asked for."""
    asset, blob = attach()
    path = f"{ATTACHMENTS}/assets/{asset}/{blob}/info"
    archive.set_switches(info_identity_prefix="blobs", minimal_info=True)
    info = (await client.get(path)).json()
    assert info["identity"] == f"blobs/{blob}"
    assert set(info) == {"identity", "hash", "mime_type", "timestamp_accepted", "size"}


async def test_large_bodies_arrive_whole(client: httpx.AsyncClient, attach: Attach) -> None:
    """A body of several chunks is the one that was stored."""
    content = bytes(range(256)) * 8192 + b"end"
    asset, blob = attach(content)
    assert (await client.get(f"{ATTACHMENTS}/assets/{asset}/{blob}")).content == content


async def test_a_client_may_go_away_in_the_middle(
    client: httpx.AsyncClient, running: RunningArchive, attach: Attach
) -> None:
    """The archive stops reading, serves on, and thinks nothing of it."""
    asset, blob = attach(bytes(32 << 20))
    path = f"{ATTACHMENTS}/assets/{asset}/{blob}"
    request = client.build_request("GET", path)
    stream = await trio.open_tcp_stream("127.0.0.1", request.url.port or 0)
    lines = [f"GET {path} HTTP/1.1", *(f"{k}: {v}" for k, v in request.headers.items()), "", ""]
    await stream.send_all("\r\n".join(lines).encode())
    assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 200")
    await stream.aclose()
    assert (await client.get(f"{path}/info")).status_code == 200
    with trio.fail_after(10):
        while not running.archive.requests(f"{blob}$"):
            await trio.lowlevel.checkpoint()
    (entry,) = running.archive.requests(f"{blob}$")
    assert entry.response_bytes < 32 << 20
    assert running.archive.traffic.tracebacks == []


async def test_attachments_may_move_within_the_server(
    client: httpx.AsyncClient, archive: Archive, attach: Attach
) -> None:
    """The redirect keeps the query, and its target wants the token as well."""
    asset, blob = attach(b"evidence")
    archive.edit_blob(blob, scanned_status="SCANNED_BAD")
    archive.set_switches(redirect="same-origin")
    path = f"{ATTACHMENTS}/assets/{asset}/{blob}"
    moved = await client.get(path, params={"allow_insecure": "1"})
    assert moved.status_code == 307
    assert (await client.get(moved.headers["location"])).content == b"evidence"
    naked = await client.get(moved.headers["location"], headers={"Authorization": ""})
    assert naked.status_code == 401


async def test_attachments_may_move_to_another_server(
    client: httpx.AsyncClient, archive: Archive, attach: Attach
) -> None:
    """The location is the same path under the other base URL."""
    asset, blob = attach()
    archive.set_switches(redirect="http://other.example:1")
    path = f"{ATTACHMENTS}/assets/{asset}/{blob}"
    answer = await client.get(path)
    assert answer.headers["location"] == f"http://other.example:1{path}"
    assert (await client.get(f"{path}/info")).status_code == 200
