"""What is public needs no token and shows no people (contract §1.4, 7)."""

from collections.abc import Callable

import httpx
import pytest

from attachfs.demo import Archive, RunningArchive
from tests.support.plain import NO_AUTHORITIES

ASSETS = "/archivist/v2/assets"
PUBLIC = "/archivist/v2/publicassets"
Attach = Callable[..., tuple[str, str]]


@pytest.fixture
async def anyone(running: RunningArchive) -> httpx.AsyncClient:
    """A client without a token."""
    return httpx.AsyncClient(
        base_url=running.url, headers={"Connection": "close"}, verify=NO_AUTHORITIES
    )


async def test_public_assets_are_read_without_a_token(
    anyone: httpx.AsyncClient, attach: Attach
) -> None:
    """Record, events, attachment and metadata are open, identities prefixed, principals blank."""
    asset, blob = attach(b"evidence", public=True)
    async with anyone:
        record = (await anyone.get(f"{PUBLIC}/{asset}")).json()
        events = (await anyone.get(f"{PUBLIC}/{asset}/events")).json()["events"]
        event = (await anyone.get(f"/archivist/v2/{events[0]['identity']}")).json()
        files = f"/archivist/v2/attachments/publicassets/{asset}"
        body = await anyone.get(f"{files}/{blob}")
        own = await anyone.get(f"{files}/events/{event['identity'].split('/')[3]}/{blob}/info")
    assert record["identity"] == event["asset_identity"] == f"publicassets/{asset}"
    assert event == events[0]
    assert set(event["principal_accepted"].values()) == {""}
    assert set(event["principal_declared"].values()) == {""}
    assert "arc_access_policy_always_read" in event["event_attributes"]
    assert (body.content, own.status_code) == (b"evidence", 200)


async def test_private_assets_are_not_public(anyone: httpx.AsyncClient, attach: Attach) -> None:
    """The public interface knows nothing of them, and cannot list."""
    asset, _ = attach()
    async with anyone:
        for path, status in (
            (f"{PUBLIC}/{asset}", 404),
            (f"{PUBLIC}/{asset}/events", 404),
            (f"{PUBLIC}/-/events", 401),
            (PUBLIC, 401),
        ):
            assert (await anyone.get(path)).status_code == status


async def test_the_public_url_points_back_here(
    client: httpx.AsyncClient, running: RunningArchive, attach: Attach
) -> None:
    """`:publicurl` of asset and event is an address of this server that can be read."""
    asset, _ = attach(public=True)
    url = (await client.get(f"{ASSETS}/{asset}:publicurl")).json()["publicurl"]
    assert url == f"{running.url}{PUBLIC}/{asset}"
    event = (await client.get(f"{ASSETS}/{asset}/events")).json()["events"][0]["identity"]
    event_url = (await client.get(f"/archivist/v2/{event}:publicurl")).json()["publicurl"]
    assert event_url == f"{url}/events/{event.rsplit('/', 1)[1]}"
    assert (await client.get(event_url)).status_code == 200
    running.archive.set_switches(old_public_url=True)
    old = (await client.get(f"{ASSETS}/{asset}:publicurl")).json()["publicurl"]
    assert old == url.replace("/v2/", "/")


async def test_a_private_asset_has_no_public_url(client: httpx.AsyncClient, attach: Attach) -> None:
    """It is 404 with the service's text."""
    asset, _ = attach()
    answer = await client.get(f"{ASSETS}/{asset}:publicurl")
    assert (answer.status_code, answer.json()["message"]) == (404, "asset requested is not public")


async def test_the_public_interface_follows_its_switches(
    client: httpx.AsyncClient, archive: Archive, attach: Attach
) -> None:
    """The prefix can be dropped, and the wildcard allowed."""
    asset, _ = attach(public=True)
    archive.set_switches(public_prefix=False, public_wildcard=True)
    assert (await client.get(f"{PUBLIC}/{asset}")).json()["identity"] == f"assets/{asset}"
    events = (await client.get(f"{PUBLIC}/-/events")).json()["events"]
    assert [event["asset_identity"] for event in events] == [f"assets/{asset}"]


async def test_the_public_wildcard_shows_public_events_only(
    client: httpx.AsyncClient, archive: Archive, attach: Attach
) -> None:
    """Private events stay private where the wildcard is allowed."""
    attach()
    asset, _ = attach(public=True)
    archive.set_switches(public_wildcard=True)
    answer = await client.get(f"{PUBLIC}/-/events", headers={"X-Request-Total-Count": "true"})
    assert [event["asset_identity"] for event in answer.json()["events"]] == [
        f"publicassets/{asset}"
    ]
    assert answer.headers["x-total-count"] == "1"


async def test_a_tenancy_tells_its_domain(client: httpx.AsyncClient, attach: Attach) -> None:
    """`:publicinfo` wants `tenancies/`, as the service does."""
    asset, _ = attach()
    tenant = (await client.get(f"{ASSETS}/{asset}")).json()["tenant_identity"]
    path = f"/archivist/v1/tenancies/{tenant.split('/')[1]}:publicinfo"
    answer = await client.get(path, headers={"Authorization": ""})
    assert answer.json() == {"identity": tenant, "verified_domain": "archive.example"}
