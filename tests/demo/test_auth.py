"""Tokens are fetched, checked and revoked; applications are kept (contract §1.2, 1.3)."""

import base64
import json
from typing import Any

import httpx
import pytest

from attachfs.demo import Archive, RunningArchive

TOKEN = "/archivist/iam/v1/appidp/token"
APPLICATIONS = "/archivist/iam/v1/applications"
ASSETS = "/archivist/v2/assets"


async def fetch(client: httpx.AsyncClient, running: RunningArchive, **changes: str) -> Any:
    """Ask for a token with the running archive's credentials."""
    form = {
        "grant_type": "client_credentials",
        "client_id": running.client_id,
        "client_secret": running.client_secret_file.read_text().strip(),
        **changes,
    }
    return await client.post(TOKEN, data=form, headers={"Authorization": ""})


async def test_a_fetched_token_opens_the_archive(
    client: httpx.AsyncClient, running: RunningArchive
) -> None:
    """It is a JWT whose expiry goes with `expires_in`."""
    running.archive.set_switches(token_lifetime_s=660)
    body = (await fetch(client, running)).json()
    assert (body["expires_in"], body["token_type"]) == (660, "Bearer")
    header, payload, _ = body["access_token"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert claims["exp"] - claims["iat"] == 660
    assert claims["client_id"] == running.client_id
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["typ"] == "at+jwt"
    bearer = {"authorization": f"Bearer {body['access_token']}"}
    assert (await client.get(ASSETS, headers=bearer)).status_code == 200


async def test_expired_and_revoked_tokens_are_refused(
    client: httpx.AsyncClient, running: RunningArchive
) -> None:
    """Both are 401; the token of the file outlives revocation."""
    revoked = (await fetch(client, running)).json()["access_token"]
    assert (await client.delete("/_embedded/tokens")).status_code == 200
    running.archive.set_switches(token_lifetime_s=0)
    expired = (await fetch(client, running)).json()["access_token"]
    for token in (revoked, expired):
        answer = await client.get(ASSETS, headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["code"]) == (401, 16)
    assert (await client.get(ASSETS)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"client_secret": "wrong"}, 401),
        ({"client_id": "nobody"}, 401),
        ({"client_secret": ""}, 401),
        ({"grant_type": "password"}, 400),
    ],
)
async def test_wrong_credentials_get_no_token(
    client: httpx.AsyncClient, running: RunningArchive, changes: dict[str, str], status: int
) -> None:
    """A wrong id or secret is 401, another grant type 400."""
    assert (await fetch(client, running, **changes)).status_code == status


@pytest.mark.parametrize("header", ["Bearer x", "Bearer a.b.c", "Basic eDp5", "Bearer", "x"])
async def test_a_bad_token_is_refused(client: httpx.AsyncClient, header: str) -> None:
    """It is 401 whatever is wrong with it."""
    answer = await client.get(ASSETS, headers={"Authorization": header})
    assert answer.status_code == 401


async def test_a_tampered_token_is_refused(
    client: httpx.AsyncClient, running: RunningArchive
) -> None:
    """Claims cannot be changed without the key."""
    token = (await fetch(client, running)).json()["access_token"]
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    longer = json.dumps({**claims, "exp": claims["exp"] + 1}).encode()
    forged = f"{header}.{base64.urlsafe_b64encode(longer).decode()}.{signature}"
    answer = await client.get(ASSETS, headers={"Authorization": f"Bearer {forged}"})
    assert answer.status_code == 401


async def test_a_missing_token_is_refused_by_switch_with_403(
    client: httpx.AsyncClient, archive: Archive
) -> None:
    """The bodies are those of the two recorded forms."""
    nothing = {"Authorization": ""}
    answer = await client.get(ASSETS, headers=nothing)
    assert (answer.status_code, answer.json()["code"]) == (401, 16)
    archive.set_switches(missing_token_status=403)
    answer = await client.get(ASSETS, headers=nothing)
    assert (answer.status_code, answer.json()) == (403, {"message": "Invalid Token"})


async def test_an_application_shows_its_secret_only_when_it_is_made(
    client: httpx.AsyncClient, running: RunningArchive
) -> None:
    """Create and regenerate show one, which then fetches tokens; read and list hide it."""
    made = (await client.post(APPLICATIONS, json={"display_name": "TrafficLight101"})).json()
    path = f"/archivist/iam/v1/{made['identity']}"
    read = (await client.get(path)).json()
    listed = (await client.get(APPLICATIONS, params={"display_name": "TrafficLight101"})).json()
    assert listed == {"applications": [read], "next_page_token": ""}
    assert read["credentials"][0]["secret"] == ""
    assert read == {**made, "credentials": read["credentials"]}
    renewed = (await client.post(f"{path}:regenerate-secret")).json()
    for answer, status in ((made, 401), (renewed, 200)):
        secret = answer["credentials"][0]["secret"]
        got = await fetch(client, running, client_id=made["client_id"], client_secret=secret)
        assert got.status_code == status


async def test_applications_are_changed_and_deleted(client: httpx.AsyncClient) -> None:
    """What is deleted is gone; malformed changes are refused."""
    made = (await client.post(APPLICATIONS, json={"custom_claims": {"a": "b"}})).json()
    path = f"/archivist/iam/v1/{made['identity']}"
    changed = (await client.patch(path, json={"display_name": "new"})).json()
    assert (changed["display_name"], changed["custom_claims"]) == ("new", {"a": "b"})
    assert (await client.patch(path, json={"custom_claims": {"a": 1}})).status_code == 400
    assert (await client.delete(path)).json() == {}
    for request in (client.get(path), client.delete(path), client.patch(path, json={})):
        assert (await request).status_code == 404
