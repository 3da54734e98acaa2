"""Refusals, ordered failures, rate limits and the log (contract §10)."""

from collections.abc import Callable
from functools import partial

import httpx
import pytest
import trio
import trio.testing

from attachfs.demo import Archive, ArchiveConfig, RunningArchive, run_archive
from attachfs.demo.errors import ApiError
from tests.support.plain import NO_AUTHORITIES

ASSETS = "/archivist/v2/assets"
NOBODY = "00000000-0000-4000-8000-000000000000"
JSON = "application/json; charset=utf-8"
Attach = Callable[..., tuple[str, str]]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"{ASSETS}/{NOBODY}", 404, 5),
        ("GET", f"{ASSETS}/{NOBODY}/events/{NOBODY}", 404, 5),
        ("GET", f"{ASSETS}/{NOBODY}/events", 404, 5),
        ("POST", f"{ASSETS}/{NOBODY}/events", 404, 5),
        ("GET", f"{ASSETS}/nobody", 400, 3),
        ("GET", f"{ASSETS}/nobody/events", 400, 3),
        ("GET", f"{ASSETS}/0194b168-bac0-75e6-bbc4-a47cc45bdbf5/events", 400, 3),
        ("GET", "/archivist/v2/nothing", 404, 5),
        ("GET", f"{ASSETS}/", 404, 5),
        ("PUT", ASSETS, 501, 12),
        ("DELETE", f"{ASSETS}/{NOBODY}", 501, 12),
        ("HEAD", ASSETS, 501, None),
    ],
)
async def test_errors_have_the_gateways_form(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: int | None
) -> None:
    """The body holds a gRPC code, a message and details, and says it is UTF-8."""
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, JSON)
    if code is not None:
        assert answer.json()["code"] == code
        assert set(answer.json()) == {"code", "message", "details"}


async def test_a_bad_uuid_is_named_as_the_service_does(client: httpx.AsyncClient) -> None:
    """The text is the validator's."""
    assert (await client.get(f"{ASSETS}/x")).json()["message"] == (
        "invalid GetAssetRequest.Uuid: value must be a valid UUID | caused by: invalid uuid format"
    )


async def test_ordered_failures_meet_the_requests_they_are_for(
    client: httpx.AsyncClient, archive: Archive
) -> None:
    """They come as often as ordered, after those to be skipped, and then no more."""
    archive.fail_next(path_regex="assets$", status=503, times=2, skip=1, body="later")
    answers = [await client.get(ASSETS) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 200]
    assert answers[1].text == "later"
    archive.fail_next(method="POST", status=500)
    assert (await client.get(ASSETS)).status_code == 200
    assert (await client.post(ASSETS, json={})).status_code == 500
    archive.fail_next(status=503)
    archive.reset_requests()
    assert (await client.get(ASSETS)).status_code == 200


async def test_a_connection_may_be_cut(client: httpx.AsyncClient, archive: Archive) -> None:
    """The answer breaks off behind its headers."""
    archive.fail_next(path_regex=ASSETS, disconnect=True)
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(ASSETS)
    assert (await client.get(ASSETS)).status_code == 200


@pytest.mark.parametrize("failure", [{"status": "x"}, {"path_regex": "("}, {"unknown": 1}])
async def test_malformed_failures_are_refused(archive: Archive, failure: dict[str, object]) -> None:
    """An order that cannot be carried out is an error at once."""
    with pytest.raises(ApiError):
        archive.fail_next(**failure)


@pytest.mark.parametrize(
    ("switch", "headers"),
    [
        ("archivist", {"archivist-rate-limit-reset": "1.5"}),
        ("retry-after", {"retry-after": "1.5"}),
        ("both", {"archivist-rate-limit-reset": "1.5", "retry-after": "1.5"}),
        ("none", {}),
    ],
)
async def test_the_rate_limit_says_when_to_come_back(
    client: httpx.AsyncClient, archive: Archive, switch: str, headers: dict[str, str]
) -> None:
    """Every n-th request is 429, with the header or headers of the switch."""
    archive.set_switches(rate_limit_every=3, rate_limit_reset_s=1.5, rate_limit_header=switch)
    answers = [await client.get(ASSETS) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200, 200, 429] * 2
    names = {"archivist-rate-limit-reset", "retry-after"}
    sent = {name: value for name, value in answers[2].headers.items() if name in names}
    assert sent == headers


async def test_requests_are_logged(client: httpx.AsyncClient, attach: Attach) -> None:
    """Method, path, query, status, range and size are kept; credentials are not."""
    asset, blob = attach(b"evidence")
    await client.get(f"/archivist/v2/attachments/assets/{asset}/{blob}", headers={"Range": "b=1"})
    await client.get(ASSETS, params={"page_size": "1"}, headers={"Authorization": ""})
    report = (await client.get("/_embedded/requests")).json()
    assert [list(entry.values())[2:] for entry in report["requests"]] == [
        ["", 200, True, "b=1", 8],
        ["page_size=1", 401, False, "", report["requests"][1]["response_bytes"]],
    ]
    assert report["counts"]["by_status"] == {"200": 1, "401": 1}
    assert report["counts"]["by_path"][ASSETS] == 1
    await client.delete("/_embedded/requests")
    assert (await client.get("/_embedded/requests")).json()["counts"]["total"] == 0


async def test_latency_comes_before_every_response(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A request takes at least as long as configured."""
    config = ArchiveConfig(empty=True, latency_s=30.0)
    # Socket I/O is real, so the clock must not jump while a packet is on its way.
    autojump_clock.autojump_threshold = 0.05
    running: RunningArchive = await nursery.start(partial(run_archive, config))
    begun_s = trio.current_time()
    async with httpx.AsyncClient(timeout=3600, verify=NO_AUTHORITIES) as client:
        await client.get(f"{running.url}{ASSETS}")
    assert trio.current_time() - begun_s >= 30.0
    nursery.cancel_scope.cancel()
