"""Asset-free events are created, read and searched (contract §9)."""

import json
import uuid as uuids
from pathlib import Path

import httpx
import pytest

EVENTS = "/archivist/v1/events"


@pytest.fixture
async def three(client: httpx.AsyncClient) -> list[str]:
    """Three events; their types, the oldest first."""
    for trail, kind in (("cake", "Mixing"), ("cake", "Baking"), ("tea", "Don't")):
        body = {"attributes": {"k": "v"}, "trails": [trail, "all"], "event_type": kind}
        assert (await client.post(EVENTS, json=body)).status_code == 200
    return ["Mixing", "Baking", "Don't"]


async def test_an_event_is_read_as_it_was_created(client: httpx.AsyncClient, samples: Path) -> None:
    """Its UUID is of version 7, and its fields are those of the documented answer."""
    body = json.loads((samples / "request_create_assetfree_event.json").read_text())
    sample = json.loads((samples / "assetfree_events_search_response.json").read_text())
    event = (await client.post(EVENTS, json=body)).json()
    assert set(event) == set(sample["events"][0])
    assert event["attributes"] == body["attributes"]
    assert uuids.UUID(event["identity"].removeprefix("events/")).version == 7
    assert (await client.get(f"/archivist/v1/{event['identity']}")).json() == event


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [2, 1, 0]),
        ("trails/any(t: t eq 'cake')", [1, 0]),
        ("trails/any(t: t eq 'cake') and event_type eq 'Baking'", [1]),
        ("event_type eq 'Baking' or event_type eq 'Mixing'", [1, 0]),
        ("not (event_type ne 'Don''t')", [2]),
        ("created_at gt 0", [2, 1, 0]),
        ("created_at lt 1000", []),
        ("ledger_entry/index eq '0'", []),
        ("origin_tenant ge 'tenant/' and not trails/any(x:x eq 'tea')", [1, 0]),
    ],
)
async def test_events_are_searched(
    client: httpx.AsyncClient, three: list[str], text: str, expected: list[int]
) -> None:
    """Filters combine, the newest comes first, and the total is in a header."""
    answer = await client.post(f"{EVENTS}/search", json={"filter": text})
    assert answer.status_code == 200, answer.text
    found = [event["event_type"] for event in answer.json()["events"]]
    assert found == [three[index] for index in expected]
    assert answer.headers["x-total-count"] == str(len(expected))


async def test_a_search_is_paged(client: httpx.AsyncClient, three: list[str]) -> None:
    """`top` and `skip` cut the list; there is no token."""
    body = {"filter": "", "top": 1, "skip": 1}
    answer = await client.post(f"{EVENTS}/search", json=body)
    assert [event["event_type"] for event in answer.json()["events"]] == [three[1]]
    assert set(answer.json()) == {"events"}
    assert answer.headers["x-total-count"] == "3"


@pytest.mark.parametrize(
    "body",
    [
        {"filter": "event_type"},
        {"filter": "event_type eq"},
        {"filter": "colour eq 'red'"},
        {"filter": "(event_type eq 'x'"},
        {"filter": "event_type is 'x'"},
        {"filter": "event_type eq 'x' 'y'"},
        {"filter": "'"},
        {"filter": 1},
        {"top": 51},
        {"top": "1"},
        {"skip": -1},
    ],
)
async def test_malformed_searches_are_refused(
    client: httpx.AsyncClient, body: dict[str, object]
) -> None:
    """They are 400, as everything malformed."""
    assert (await client.post(f"{EVENTS}/search", json=body)).status_code == 400


@pytest.mark.parametrize(
    "body",
    [{"attributes": {"n": 1}}, {"trails": "x"}, {"trails": [1]}, {"event_type": 1}],
)
async def test_malformed_events_are_refused(
    client: httpx.AsyncClient, body: dict[str, object]
) -> None:
    """Attributes obey the rules of assets; trails are strings."""
    assert (await client.post(EVENTS, json=body)).status_code == 400


async def test_a_body_of_more_than_64_kb_is_refused(client: httpx.AsyncClient) -> None:
    """The limit is that of the whole body."""
    assert (await client.post(EVENTS, content=b" " * 65_537)).status_code == 400


async def test_unknown_events_are_not_found(client: httpx.AsyncClient) -> None:
    """404 for a UUID, 400 for anything else."""
    path = f"{EVENTS}/0194b168-bac0-75e6-bbc4-a47cc45bdbf5"
    assert (await client.get(path)).status_code == 404
    assert (await client.get(f"{EVENTS}/x")).status_code == 400
