"""Lists come in pages that every style of client can follow (contract §5.5)."""

# ruff: noqa: ARG001 -- pytest-trio runs only those asynchronous fixtures that are arguments

import httpx
import pytest

from attachfs.demo import Archive

ASSETS = "/archivist/v2/assets"


@pytest.fixture
def seven(archive: Archive) -> list[str]:
    """Seven assets, the newest first, every other one odd."""
    made = [
        archive.create_asset({"attributes": {"n": str(n), "odd": str(n % 2)}})["identity"]
        for n in range(7)
    ]
    return made[::-1]


async def walk(
    client: httpx.AsyncClient, query: dict[str, str], style: str, path: str = ASSETS
) -> list[str]:
    """Follow the tokens in a style; return the identities met."""
    found: list[str] = []
    params = dict(query)
    while True:
        answer = await client.get(path, params=params)
        assert answer.status_code in (200, 206), answer.text
        body = answer.json()
        found += [record["identity"] for record in body[path.rsplit("/", 1)[1]]]
        if not body["next_page_token"]:
            return found
        params = {"page_token": body["next_page_token"]}
        if style == "token+page_size":
            params["page_size"] = query["page_size"]
        elif style == "token+query":
            params |= query


@pytest.mark.parametrize("style", ["token-only", "token+page_size", "token+query"])
@pytest.mark.parametrize("only", ["", "odd"])
async def test_every_style_sees_every_match_once(
    client: httpx.AsyncClient, seven: list[str], style: str, only: str
) -> None:
    """A token carries filters, order and position, however it is sent back."""
    query = {"page_size": "2"} | ({"attributes.odd": "0"} if only else {})
    expected = seven[::2] if only else seven
    assert await walk(client, query, style) == expected


async def test_records_added_meanwhile_do_not_shift_pages(
    client: httpx.AsyncClient, archive: Archive, seven: list[str]
) -> None:
    """A page continues behind the record that ended the last one."""
    first = (await client.get(ASSETS, params={"page_size": "3"})).json()
    archive.create_asset({})
    rest = await walk(client, {"page_token": first["next_page_token"]}, "token-only")
    assert [record["identity"] for record in first["assets"]] + rest == seven


async def test_events_page_across_assets(client: httpx.AsyncClient, seven: list[str]) -> None:
    """The wildcard lists the events of all assets, newest first."""
    found = await walk(client, {"page_size": "3"}, "token-only", f"{ASSETS}/-/events")
    assert [identity.rsplit("/events/", 1)[0] for identity in found] == seven


async def test_ordered_for_simple_hash_the_oldest_comes_first(
    client: httpx.AsyncClient, seven: list[str]
) -> None:
    """The order is part of the token."""
    query = {"page_size": "3", "order_by": "SIMPLEHASHV1"}
    assert await walk(client, query, "token-only") == seven[::-1]


async def test_only_the_style_switched_on_is_accepted(
    client: httpx.AsyncClient, archive: Archive, seven: list[str]
) -> None:
    """The other ways to resume are answered with 400."""
    query = {"page_size": "2", "attributes.odd": "0"}
    token = (await client.get(ASSETS, params=query)).json()["next_page_token"]
    ways = {
        "token-only": {"page_token": token},
        "token+page_size": {"page_token": token, "page_size": "2"},
        "token+query": {"page_token": token, **query},
    }
    for accepted in ways:
        archive.set_switches(page_token_styles=[accepted])
        statuses = {
            way: (await client.get(ASSETS, params=params)).status_code
            for way, params in ways.items()
        }
        assert statuses == {way: 200 if way == accepted else 400 for way in ways}


async def test_a_token_of_another_list_is_refused(
    client: httpx.AsyncClient, seven: list[str]
) -> None:
    """Tokens are tied to the list they came from, and cannot be forged."""
    token = (await client.get(ASSETS, params={"page_size": "1"})).json()["next_page_token"]
    for path, params in (
        (f"{ASSETS}/-/events", {"page_token": token}),
        (ASSETS, {"page_token": f"A{token}"}),
        (ASSETS, {"page_token": "ü"}),
        (ASSETS, {"page_token": token, "attributes.n": "1"}),
        (ASSETS, {"page_size": "-1"}),
        (ASSETS, {"page_size": "99999999999"}),
        (ASSETS, {"order_by": "NEWEST"}),
    ):
        assert (await client.get(path, params=params)).status_code == 400


async def test_the_total_is_counted_where_asked_for(
    client: httpx.AsyncClient, seven: list[str]
) -> None:
    """X-Total-Count counts all matches, not those of the page."""
    ask = {"X-Request-Total-Count": "true"}
    plain = await client.get(ASSETS, params={"page_size": "1"}, headers=ask)
    odd = await client.get(ASSETS, params={"page_size": "1", "attributes.odd": "1"}, headers=ask)
    silent = await client.get(ASSETS)
    assert (plain.headers["x-total-count"], odd.headers["x-total-count"]) == ("7", "3")
    assert "x-total-count" not in silent.headers


async def test_partial_lists_may_be_answered_with_206(
    client: httpx.AsyncClient, archive: Archive, seven: list[str]
) -> None:
    """With the switch a list that goes on says so in status and Content-Range."""
    archive.set_switches(list_mode_206=True, default_page_limit=3)
    first = await client.get(ASSETS)
    assert (first.status_code, first.headers["content-range"]) == (206, "items 0-3/7")
    last = await client.get(ASSETS, params={"page_size": "100"})
    assert last.status_code == 200
    assert "content-range" not in last.headers


async def test_page_sizes_are_bounded(
    client: httpx.AsyncClient, archive: Archive, seven: list[str]
) -> None:
    """More than the maximum is never sent, and zero means the default."""
    archive.set_switches(default_page_limit=4, max_page_limit=5)
    for asked, sent in (("0", 4), ("5", 5), ("6", 5)):
        answer = await client.get(ASSETS, params={"page_size": asked})
        assert len(answer.json()["assets"]) == sent


async def test_an_empty_list_is_a_list(client: httpx.AsyncClient) -> None:
    """Nothing is `[]` and `""`, never null or missing."""
    assert (await client.get(ASSETS)).json() == {"assets": [], "next_page_token": ""}
