"""One request that tells whether a mount can work."""

import httpx
import pytest
import trio
from trio.testing import MockClock

from attachfs.access.preflight import preflight
from attachfs.archive.client_credentials import ClientCredentials
from attachfs.archive.credentials import GivenToken
from attachfs.archive.secrets import Secret
from attachfs.errors import (
    ServerTrouble,
    ServerUnreachable,
    SetupError,
    TokenRefused,
    WrongUrl,
)
from tests.support.archives import TOKEN, client, said, scripted
from tests.support.canned import reply, start_canned
from tests.support.estates import Estate

_EMPTY = {"assets": [], "next_page_token": ""}


async def test_an_archive_that_answers_is_fine(estate: Estate) -> None:
    """With assets or without, it costs one request."""
    async with estate.mounted() as mounted:
        assert await preflight(mounted.client) is None
        estate.asset()
        assert await preflight(mounted.client) is None
        assert [entry.query for entry in await estate.requests()] == ["page_size=1"] * 2


async def test_a_token_that_may_not_list_is_a_warning(estate: Estate) -> None:
    """Every path that it may read works by name."""
    estate.demo.set_switches(deny_listing=True)
    async with estate.mounted() as mounted:
        warning = await preflight(mounted.client)
    assert warning is not None
    assert "by name" in warning


async def test_a_token_that_is_refused_is_told_as_such(estate: Estate) -> None:
    """By its own refusal, or by that of the exchange."""
    url, client_id = estate.running.url, estate.running.client_id
    for credentials in (
        GivenToken(Secret(TOKEN)),
        ClientCredentials(url, client_id, Secret("hunter2")),
    ):
        async with client(url, credentials=credentials) as archive:
            with pytest.raises(TokenRefused, match="get a new one") as caught:
                await preflight(archive)
        assert TOKEN not in str(caught.value)
        assert "hunter2" not in str(caught.value)


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(
    ("answer", "kind", "advice"),
    [
        (reply(404), WrongUrl, "check the URL"),
        (reply(200, b"<!doctype html>"), WrongUrl, "check the URL"),
        (reply(200, {"assets": None}), WrongUrl, "check the URL"),
        (reply(302, Location="https://elsewhere.example/"), WrongUrl, "check the URL"),
        (reply(400, {"message": "no"}), WrongUrl, "check the URL"),
        (reply(500), ServerTrouble, "try again later"),
        (reply(503), ServerTrouble, "try again later"),
        (reply(429), ServerTrouble, "try again later"),
        (reply(504), ServerUnreachable, "--ca-bundle"),
        (b"", ServerUnreachable, "--ca-bundle"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ServerUnreachable, "--ca-bundle"),
    ],
)
async def test_what_is_wrong_is_told_with_what_to_do(
    nursery: trio.Nursery, answer: bytes, kind: type[SetupError], advice: str
) -> None:
    """Another server, a server in trouble, none at all."""
    canned = await start_canned(nursery, lambda _: answer)
    async with client(canned.url) as archive:
        with pytest.raises(SetupError, match=advice) as caught:
            await preflight(archive)
    assert type(caught.value) is kind
    assert canned.url in str(caught.value)


@pytest.mark.usefixtures("quick_retries")
async def test_nobody_at_the_url_is_told_with_the_reason() -> None:
    """The system's words are in it."""
    async with client("http://127.0.0.1:1") as archive:
        with pytest.raises(ServerUnreachable, match="Connection refused"):
            await preflight(archive)


@pytest.mark.usefixtures("quick_retries")
async def test_a_server_that_does_not_answer_is_unreachable(nursery: trio.Nursery) -> None:
    """After the timeout, not after for ever."""
    canned = await start_canned(nursery, lambda _: [trio.Event()])
    async with client(canned.url, timeout_s=0.1) as archive:
        with pytest.raises(ServerUnreachable):
            await preflight(archive)


async def test_a_listing_answered_with_206_is_fine(nursery: trio.Nursery) -> None:
    """More matches than are told are no mistake."""
    canned = await start_canned(nursery, lambda _: reply(206, _EMPTY))
    async with client(canned.url) as archive:
        assert await preflight(archive) is None


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("answer", [b"", reply(503), reply(504), reply(429)])
async def test_what_is_known_will_do_while_the_server_is_in_trouble(
    nursery: trio.Nursery, answer: bytes
) -> None:
    """It is a warning then, which says why, and not a reason not to mount."""
    canned = await start_canned(nursery, lambda _: answer)
    async with client(canned.url) as archive:
        warning = await preflight(archive, known=True)
    assert warning is not None
    assert "does not answer" in warning
    assert canned.url in warning


@pytest.mark.parametrize("answer", [reply(401), reply(404), reply(200, b"<!doctype html>")])
async def test_what_is_known_excuses_no_mistake(nursery: trio.Nursery, answer: bytes) -> None:
    """A token that is refused, and another server, are told of as ever."""
    canned = await start_canned(nursery, lambda _: answer)
    async with client(canned.url) as archive:
        with pytest.raises((TokenRefused, WrongUrl)):
            await preflight(archive, known=True)


async def test_nobody_waits_for_a_slow_server_where_something_is_known(
    autojump_clock: MockClock,
) -> None:
    """It is waited for where nothing is: that it is slow is no trouble."""

    async def slow(_: httpx.Request) -> httpx.Response:
        await trio.sleep(8)
        return said(200, _EMPTY)

    async with scripted(slow) as archive:
        warning = await preflight(archive, known=True)
        assert warning is not None
        assert autojump_clock.current_time() == pytest.approx(5)
        assert await preflight(archive) is None


async def test_trouble_is_waited_for_five_seconds(autojump_clock: MockClock) -> None:
    """Somebody sits at the terminal: a reader would be more patient."""
    async with scripted(lambda _: said(503)) as archive:
        with pytest.raises(ServerTrouble):
            await preflight(archive)
    assert autojump_clock.current_time() == pytest.approx(5)
