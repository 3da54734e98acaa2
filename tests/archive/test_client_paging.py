"""Pages of listings: what accompanies the token is found out and remembered."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import trio

from attachfs.archive import endpoints
from attachfs.archive.client import Archive
from attachfs.archive.credentials import GivenToken
from attachfs.archive.policy import ATTEMPTS
from attachfs.archive.secrets import Secret
from attachfs.demo.launch import RunningArchive
from attachfs.errors import BadReply, ServerFault
from tests.support.archives import client, settled, token_of, uuid_in
from tests.support.canned import Asked, reply, start_canned

_EMPTY = {"assets": [], "next_page_token": ""}


async def _all(archive: Archive, listing: endpoints.Listing) -> list[str]:
    token, found = "", []
    while True:
        page = await archive.page(listing, token)
        found += [record.id for record in page.entries]
        token = page.next_token
        if not token:
            return found


def _fill(running: RunningArchive, count: int, **switches: Any) -> list[str]:
    running.archive.set_switches(max_page_limit=3, **switches)
    made = [uuid_in(running.archive.create_asset({})) for _ in range(count)]
    return made[::-1]  # newest first


@pytest.mark.parametrize("mode_206", [False, True])
@pytest.mark.parametrize("style", ["token-only", "token+page_size", "token+query"])
async def test_every_style_of_server_is_listed_whole(
    running: RunningArchive, style: str, *, mode_206: bool
) -> None:
    """Whatever a server accepts beside its token, all assets are listed once, in its order."""
    expected = _fill(running, 10, page_token_styles=[style], list_mode_206=mode_206)
    credentials = GivenToken(Secret(token_of(running)))
    async with client(running.url, credentials=credentials) as archive:
        assert await _all(archive, endpoints.assets()) == expected
        await settled()
        refused = sum(entry.status == 400 for entry in running.archive.requests())
        assert await _all(archive, endpoints.assets()) == expected
    await settled()
    statuses = [entry.status for entry in running.archive.requests()]
    assert statuses.count(400) == refused <= 2
    assert statuses.count(206) == (6 if mode_206 else 0)


@pytest.mark.parametrize("style", ["token-only", "token+page_size", "token+query"])
async def test_filters_survive_paging_in_every_style(running: RunningArchive, style: str) -> None:
    """Untracked assets are listed on all pages, or on none."""
    expected = _fill(running, 8, page_token_styles=[style])
    for asset in expected[::2]:
        running.archive.create_event(asset, {"behaviour": "Builtin", "operation": "StopTracking"})
    credentials = GivenToken(Secret(token_of(running)))
    async with client(running.url, credentials=credentials) as archive:
        assert await _all(archive, endpoints.assets(untracked=True)) == expected
        assert await _all(archive, endpoints.assets()) == expected[1::2]


@pytest.mark.usefixtures("quick_retries")
async def test_a_server_in_trouble_is_not_asked_in_other_styles(nursery: trio.Nursery) -> None:
    """Only a refusal says that a style is wrong; a fault says nothing of it."""
    canned = await start_canned(nursery, lambda _: reply(503))
    async with client(canned.url) as archive:
        with pytest.raises(ServerFault):
            await archive.page(endpoints.assets(untracked=True), "t")
    assert len(canned.requests) == ATTEMPTS


async def test_a_refusal_of_all_styles_is_the_first_refusal(nursery: trio.Nursery) -> None:
    """Each is tried once, and the first one's reason is told."""
    tried: list[str] = []

    def refuse(asked: Asked) -> bytes:
        tried.append(asked.target)
        return reply(400, {"message": f"reason {len(tried)}"})

    canned = await start_canned(nursery, refuse)
    async with client(canned.url) as archive:
        with pytest.raises(BadReply, match="reason 1"):
            await archive.page(endpoints.assets(untracked=True), "t")
    assert len(tried) == len(set(tried)) == 3


async def test_a_token_is_sent_as_it_came(nursery: trio.Nursery) -> None:
    """Tokens are opaque: nothing in them is lost on the way into a URL."""
    token = "a+b/c=&d?#%20 é\u2028"
    canned = await start_canned(nursery, lambda _: reply(200, _EMPTY))
    async with client(canned.url) as archive:
        await archive.page(endpoints.assets(), token)
    (asked,) = canned.requests
    assert dict(parse_qsl(urlsplit(asked.target).query))["page_token"] == token
