"""Every filter of the lists finds what it should (contract §5.6)."""

from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from attachfs.demo import Archive

ASSETS = "/archivist/v2/assets"
EVENTS = "/archivist/v2/assets/-/events"


@pytest.fixture
def named(archive: Archive) -> dict[str, str]:
    """Assets of different kinds; their names by identity."""
    image = {"arc_attribute_type": "arc_attachment", "arc_file_name": "a b.jpg"}
    old = [{"arc_attachment_identity": "blobs/1"}, {"arc_attachment_identity": "blobs/2"}]
    bodies: dict[str, dict[str, Any]] = {
        "plain": {"attributes": {"arc_display_name": "plain", "n/m": "1", "blank": ""}},
        "image": {"attributes": {"arc_display_name": "image", "arc_primary_image": image}},
        "old": {"attributes": {"arc_display_name": "old one", "arc_attachments": old}},
        "public": {"attributes": {"arc_display_name": "it's"}, "public": True},
        "simple": {"proof_mechanism": "SIMPLE_HASH", "chain_id": "99"},
        "untracked": {"attributes": {"arc_display_name": "gone"}},
    }
    made = {name: archive.create_asset(body)["identity"] for name, body in bodies.items()}
    archive.create_event(
        made["untracked"].split("/")[1], {"behaviour": "Builtin", "operation": "StopTracking"}
    )
    return {identity: name for name, identity in made.items()}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "plain image old public simple"),
        ("attributes.arc_display_name=plain", "plain"),
        ("attributes.arc_display_name=nothing", ""),
        ("attributes.n/m=1", "plain"),
        ("attributes.n/m=1&attributes.arc_display_name=image", ""),
        ("attributes.blank=*", ""),
        ("attributes.blank!=*", "plain image old public simple"),
        ("attributes.arc_primary_image=*", "image"),
        ("attributes.arc_primary_image!=*", "plain old public simple"),
        ("attributes.arc_primary_image.arc_attribute_type=arc_attachment", "image"),
        ("attributes.arc_primary_image.arc_file_name=a b.jpg", "image"),
        ("attributes.arc_attachments[].arc_attachment_identity=blobs/2", "old"),
        ("attributes.arc_attachments[].arc_attachment_identity=blobs/3", ""),
        ("tracked=TRACKED", "plain image old public simple"),
        ("tracked=NOT_TRACKED", "untracked"),
        ("tracked=ANY", "plain image old public simple untracked"),
        ("tracked=ANY&attributes.arc_display_name=gone", "untracked"),
        ("attributes.arc_display_name=gone", ""),
        ("privacy=PUBLIC", "public"),
        ("privacy=RESTRICTED", "plain image old simple"),
        ("proof_mechanism=SIMPLE_HASH", "simple"),
        ("chain_id=99", "simple"),
        ("confirmation_status=PENDING", ""),
        ("confirmation_status=COMMITTED&attributes.blank!=*&chain_id=99", "simple"),
        ("filters=attributes.n/m=1 or chain_id=99", "plain simple"),
        ("filters=attributes.arc_display_name='it\\'s' OR chain_id='99'", "public simple"),
        ("filters=attributes.arc_display_name=old one or chain_id=98", "old"),
        ("filters=chain_id=99 or privacy=PUBLIC&filters=privacy=PUBLIC", "public"),
        ("filters=tracked=NOT_TRACKED or chain_id=99", "simple untracked"),
        ("filters=attributes.arc_primary_image!=* or chain_id=1", "plain old public simple"),
    ],
)
async def test_assets_are_filtered(
    client: httpx.AsyncClient, named: dict[str, str], query: str, expected: str
) -> None:
    """Filters of assets are equalities, presence and absence, and must all hold."""
    pairs = [_split(pair) for pair in query.split("&") if pair]
    answer = await client.get(f"{ASSETS}?{urlencode(pairs)}")
    assert answer.status_code == 200, answer.text
    found = {named[asset["identity"]] for asset in answer.json()["assets"]}
    assert found == set(expected.split())


def _split(pair: str) -> tuple[str, str]:
    if "!=*" in pair and not pair.startswith("filters"):
        return pair.removesuffix("=*"), "*"
    name, _, value = pair.partition("=")
    return name, value


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"operation": "Record"}, "a b"),
        ({"behaviour": "AssetCreator"}, "created"),
        ({"event_attributes.kind": "a"}, "a"),
        ({"asset_attributes.state": "new"}, "b"),
        ({"asset.attributes.state": "new"}, "created a b"),
        ({"principal_declared.email": "x@y.example"}, "b"),
        ({"principal_accepted.display_name": "attachfs demo"}, "created a b"),
        ({"timestamp_declared_before": "2001-01-01T00:00:00Z"}, "b"),
        ({"timestamp_declared_since": "2001-01-01T00:00:00Z"}, "created a"),
        ({"timestamp_accepted_since": "2000-01-01T02:00:00.5+02:00"}, "created a b"),
        ({"timestamp_committed_before": "2000-01-01T00:00:00Z"}, ""),
        ({"minimum_trust": "COMMITTED"}, "created a b"),
        ({"minimum_trust": "CONFIRMED"}, ""),
        ({"confirmation_status": "COMMITTED"}, "created a b"),
        ({"proof_mechanism": "MERKLE_LOG"}, "created a b"),
        ({"proof_mechanism": "SIMPLE_HASH"}, ""),
        ({"from": "0x0"}, ""),
        ({"transaction_id": "0x0"}, ""),
        ({"mmr_index": "1000000"}, ""),
        ({"filters": "event_attributes.kind=a or event_attributes.kind=b"}, "a b"),
    ],
)
async def test_events_are_filtered(
    client: httpx.AsyncClient, archive: Archive, query: dict[str, str], expected: str
) -> None:
    """Filters of events reach their own attributes, the asset's, principals and times."""
    asset = archive.create_asset({"attributes": {"state": "old"}})["identity"].split("/")[1]
    record = {"operation": "Record", "behaviour": "RecordEvidence"}
    archive.create_event(asset, {**record, "event_attributes": {"kind": "a"}})
    archive.create_event(
        asset,
        {
            **record,
            "event_attributes": {"kind": "b"},
            "asset_attributes": {"state": "new"},
            "timestamp_declared": "2000-01-01T00:00:00Z",
            "principal_declared": {"email": "x@y.example"},
        },
    )
    answer = await client.get(EVENTS, params=query)
    assert answer.status_code == 200, answer.text
    found = {event["event_attributes"].get("kind", "created") for event in answer.json()["events"]}
    assert found == set(expected.split())


async def test_an_event_is_found_by_its_leaf(client: httpx.AsyncClient, archive: Archive) -> None:
    """mmr_index is the index that the event's own log entry shows."""
    archive.create_asset({})
    event = (await client.get(EVENTS)).json()["events"][0]
    index = event["merklelog_entry"]["commit"]["index"]
    found = (await client.get(EVENTS, params={"mmr_index": index})).json()["events"]
    assert [item["identity"] for item in found] == [event["identity"]]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (ASSETS, {"foo": "bar"}),
        (ASSETS, {"allow_insecure": "true"}),
        (ASSETS, {"public": "true"}),
        (ASSETS, {"attributes.": "x"}),
        (ASSETS, {"attributes..x": "x"}),
        (ASSETS, {"attributes.a.b.c": "x"}),
        (ASSETS, {"attributes.a[]": "x"}),
        (ASSETS, {"attributes[a]": "x"}),
        (ASSETS, {"event_attributes.a": "x"}),
        (ASSETS, {"tracked": "yes"}),
        (ASSETS, {"privacy": "public"}),
        (ASSETS, {"filters": ""}),
        (ASSETS, {"filters": "chain_id"}),
        (ASSETS, {"filters": "chain_id='9"}),
        (ASSETS, {"filters": "chain_id=9 or "}),
        (EVENTS, {"attributes.a": "x"}),
        (EVENTS, {"timestamp_accepted_since": "yesterday"}),
        (EVENTS, {"timestamp_since": "2000-01-01T00:00:00Z"}),
        (EVENTS, {"principal_declared.name": "x"}),
        (EVENTS, {"mmr_index": "one"}),
        (EVENTS, {"minimum_trust": "SOME"}),
        (EVENTS, {"tracked": "ANY"}),
    ],
)
async def test_unknown_and_malformed_parameters_are_refused(
    client: httpx.AsyncClient, path: str, query: dict[str, str]
) -> None:
    """What a list does not know is an error, not ignored."""
    answer = await client.get(path, params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


async def test_the_refusal_names_the_parameter(client: httpx.AsyncClient) -> None:
    """The message is the query parser's."""
    answer = await client.get(ASSETS, params={"foobar": "1"})
    assert answer.json()["message"] == "invalid query parameter not in proto: foobar"
