"""Assets change by events, and only in the ways the service allows (contract §5, 6)."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from attachfs.demo import Archive

ASSETS = "/archivist/v2/assets"
RECORD = {"operation": "Record", "behaviour": "RecordEvidence"}
SPRING, SUMMER, AUTUMN = (datetime(2023, month, 1, tzinfo=UTC) for month in (3, 6, 9))


async def test_a_new_asset_is_pending_and_then_committed(client: httpx.AsyncClient) -> None:
    """Creation answers PENDING without a tenant; the next read shows what became of it."""
    created = (await client.post(ASSETS, json={})).json()
    assert (created["confirmation_status"], created["tenant_identity"]) == ("PENDING", "")
    read = (await client.get(f"/archivist/v2/{created['identity']}")).json()
    assert read["confirmation_status"] == "COMMITTED"
    assert read["tenant_identity"].startswith("tenant/")
    assert set(read["behaviours"]) == {"RecordEvidence", "AssetCreator", "Builtin"}


async def test_the_answers_have_every_field_of_the_documented_ones(
    client: httpx.AsyncClient, samples: Path
) -> None:
    """Assets and events have the fields of the recordings, of the same types."""
    asset = (await client.post(ASSETS, json=_sample(samples, "request_create_asset"))).json()
    _assert_same_shape(asset, _sample(samples, "asset_create_response_pending"))
    path = f"/archivist/v2/{asset['identity']}/events"
    event = (await client.post(path, json=_sample(samples, "request_create_event"))).json()
    _assert_same_shape(event, _sample(samples, "event_create_response_pending"))
    assert event["timestamp_committed"] == "1970-01-01T00:00:00Z"
    assert event["principal_declared"]["display_name"] == ""


def _sample(samples: Path, name: str) -> Any:
    return json.loads((samples / f"{name}.json").read_text())


def _assert_same_shape(answer: dict[str, Any], sample: dict[str, Any]) -> None:
    assert list(answer) == list(sample)
    assert {key: type(value) for key, value in answer.items()} == {
        key: type(value) for key, value in sample.items()
    }


async def test_the_first_event_holds_the_initial_attributes(
    client: httpx.AsyncClient, archive: Archive
) -> None:
    """Walking the events reaches every attribute an asset ever had."""
    asset = archive.create_asset({"attributes": {"k": "v"}})["identity"]
    events = (await client.get(f"/archivist/v2/{asset}/events")).json()["events"]
    assert [event["operation"] for event in events] == ["NewAsset"]
    assert events[0]["asset_attributes"] == {"k": "v"}
    assert events[0]["behaviour"] == "AssetCreator"


async def test_at_time_shows_the_asset_as_it_stood(
    client: httpx.AsyncClient, archive: Archive
) -> None:
    """Attributes are merged by top-level key, and at_time undoes later merges."""
    asset = archive.create_asset({"attributes": {"a": "1", "d": {"x": "1", "y": "1"}}}, at=SPRING)[
        "identity"
    ]
    uuid = asset.split("/")[1]
    change = {"asset_attributes": {"b": "2", "d": {"x": "2"}}}
    archive.create_event(uuid, {**RECORD, **change}, at=SUMMER)
    stop = {"operation": "StopTracking", "behaviour": "Builtin"}
    archive.create_event(uuid, stop, at=AUTUMN)

    async def at(moment: str | None) -> httpx.Response:
        params = {} if moment is None else {"at_time": moment}
        return await client.get(f"/archivist/v2/{asset}", params=params)

    now = (await at(None)).json()
    assert now["attributes"] == {"a": "1", "b": "2", "d": {"x": "2"}}
    assert (now["tracked"], now["at_time"]) == ("NOT_TRACKED", "2023-09-01T00:00:00Z")
    june = (await at("2023-06-01T00:00:00Z")).json()
    assert (june["attributes"], june["tracked"]) == (now["attributes"], "TRACKED")
    april = (await at("2023-04-01T12:00:00.5+02:00")).json()
    assert april["attributes"] == {"a": "1", "d": {"x": "1", "y": "1"}}
    assert (await at("2023-02-28T23:59:59Z")).status_code == 404
    assert (await at("soon")).status_code == 400


async def test_tracking_stops_and_starts(client: httpx.AsyncClient, archive: Archive) -> None:
    """An untracked asset leaves the list but stays readable."""
    asset = archive.create_asset({})["identity"]
    path = f"/archivist/v2/{asset}"
    for operation, listed in (("StopTracking", 0), ("StartTracking", 1)):
        body = {"operation": operation, "behaviour": "Builtin"}
        assert (await client.post(f"{path}/events", json=body)).status_code == 200
        assert len((await client.get(ASSETS)).json()["assets"]) == listed
        assert (await client.get(path)).status_code == 200


async def test_the_old_attach_operation_appends(archive: Archive) -> None:
    """`Attach` answers with the asset's old list and the new attachments (contract §6.2)."""
    old = {"arc_attachment_identity": "blobs/1", "arc_display_name": "old"}
    new = {"arc_attachment_identity": "blobs/2", "arc_display_name": "new"}
    asset = archive.create_asset({"attributes": {"arc_attachments": [old]}})["identity"]
    event = archive.create_event(
        asset.split("/")[1],
        {
            "operation": "Attach",
            "behaviour": "Attachments",
            "event_attributes": {"arc_append_attachments": [new]},
        },
    )
    assert event["asset_attributes"] == {"arc_attachments": [old, new]}


@pytest.mark.parametrize(
    "attributes",
    [
        {"n": 1},
        {"n": None},
        {"n": True},
        {"n": ["text"]},
        {"n": {"x": {"y": "z"}}},
        {"n": [{"x": ["y"]}]},
        {"": "x"},
        {"a.b": "x"},
        {"a[]": "x"},
        {"a\nb": "x"},
        {"a\x7fb": "x"},
        {"k" * 1025: "x"},
        {"k": "v" * 4097},
        {"k": {"a.b": "x"}},
        {"k": {"a": "v" * 4097}},
        {f"k{n}": "v" * 4000 for n in range(13)},
        "text",
    ],
)
async def test_attributes_against_the_rules_are_refused(
    client: httpx.AsyncClient, archive: Archive, attributes: Any
) -> None:
    """Numbers, deep nesting, bad keys and too much text are answered with 400."""
    asset = archive.create_asset({})["identity"]
    for path, body in (
        (ASSETS, {"attributes": attributes}),
        (f"/archivist/v2/{asset}/events", {**RECORD, "event_attributes": attributes}),
        (f"/archivist/v2/{asset}/events", {**RECORD, "asset_attributes": attributes}),
    ):
        answer = await client.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, 3)


@pytest.mark.parametrize(
    "attributes",
    [
        {"documents/a b\"'☂": "../x\n\0" + "v" * 4000},
        {"k" * 1024: ""},
        {"d": {}, "l": [], "e": {"": ""}},
    ],
)
async def test_hostile_but_legal_attributes_are_kept(
    client: httpx.AsyncClient, attributes: dict[str, Any]
) -> None:
    """Keys may hold slashes and any script, values anything at all."""
    created = (await client.post(ASSETS, json={"attributes": attributes})).json()
    read = (await client.get(f"/archivist/v2/{created['identity']}")).json()
    assert read["attributes"] == attributes


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"{",
        b'{"operation":"Record"}',
        b'{"operation":1,"behaviour":"RecordEvidence"}',
        b'{"operation":"Record","behaviour":"RecordEvidence","timestamp_declared":"x"}',
        b'{"operation":"Record","behaviour":"RecordEvidence","principal_declared":"me"}',
        b'{"operation":"Record","behaviour":"RecordEvidence","principal_declared":{"email":1}}',
    ],
)
async def test_malformed_events_are_refused(
    client: httpx.AsyncClient, archive: Archive, body: bytes
) -> None:
    """Operation and behaviour are required, and the rest must be well-formed."""
    asset = archive.create_asset({})["identity"]
    answer = await client.post(f"/archivist/v2/{asset}/events", content=body)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "body",
    [{"public": "yes"}, {"proof_mechanism": "X"}, {"behaviours": "x"}, {"behaviours": [1]}],
)
async def test_malformed_assets_are_refused(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    """Fields of the wrong type are answered with 400, unknown ones are dropped."""
    assert (await client.post(ASSETS, json=body)).status_code == 400
    assert (await client.post(ASSETS, json={"unknown": 1})).status_code == 200
