"""Proxies of the environment: honoured for the network, never for this machine."""

import ssl
from pathlib import Path

import pytest
import trio
import trustme

from attachfs.archive import endpoints
from attachfs.archive.client_credentials import ClientCredentials
from attachfs.archive.secrets import Secret
from attachfs.archive.transport import async_client
from attachfs.errors import Unreachable, WrongUrl
from tests.support.archives import ASSET, HOLDER, TOKEN, client
from tests.support.canned import Asked, reply, start_canned
from tests.support.proxy import start_proxy

_RECORD = {"identity": f"assets/{ASSET}", "attributes": {}}
_HOST = "archive.invalid"  # no resolver but the proxy knows it
_PATH = f"/archivist/v2/assets/{ASSET}"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_https_is_tunnelled_and_the_proxy_never_sees_the_token(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The proxy is told the host, and the certificate is checked all the same."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(_HOST).configure_cert(context)
    canned = await start_canned(nursery, lambda _: reply(200, _RECORD), tls=context)
    proxy = await start_proxy(nursery, {_HOST: canned.port})
    monkeypatch.setenv(variable, proxy.url)
    with authority.cert_pem.tempfile() as bundle:
        async with client(f"https://{_HOST}", ca_bundle=Path(bundle)) as archive:
            assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET
    assert proxy.asked == [f"CONNECT {_HOST}:443 HTTP/1.1"]
    assert TOKEN not in str(proxy.heads)
    assert canned.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


async def test_plain_http_is_forwarded(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY is for http, and serves requests and exchanges of tokens alike."""

    def script(asked: Asked) -> bytes:
        if asked.method == "POST":
            return reply(200, {"access_token": "t"})
        return reply(200, _RECORD)

    canned = await start_canned(nursery, script)
    proxy = await start_proxy(nursery, {_HOST: canned.port})
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    url = f"http://{_HOST}"
    credentials = ClientCredentials(url, "id", Secret("s"))
    async with client(url, credentials=credentials) as archive:
        assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET
    assert proxy.asked == [
        f"POST {url}/archivist/iam/v1/appidp/token HTTP/1.1",
        f"GET {url}{_PATH} HTTP/1.1",
    ]


@pytest.mark.usefixtures("quick_retries")
async def test_a_host_in_no_proxy_is_asked_directly(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which fails here, for no resolver knows it: the proxy was not asked."""
    proxy = await start_proxy(nursery, {})
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", f"other.example,{_HOST}")
    async with client(f"http://{_HOST}", timeout_s=1.0) as archive:
        with pytest.raises(Unreachable):
            await archive.ask(endpoints.record(HOLDER))
    assert proxy.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_this_machine_is_never_asked_through_a_proxy(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """An embedded archive works whatever the environment says."""
    proxy = await start_proxy(nursery, {})
    for variable in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, proxy.url)
    canned = await start_canned(nursery, lambda _: reply(200, _RECORD))
    async with client(f"http://{host}:{canned.port}") as archive:
        assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://user:hunter2@127.0.0.1:1080"),
        ("HTTPS_PROXY", "ftp://user:hunter2@127.0.0.1"),
        ("HTTPS_PROXY", "http://user:hunter2@127.0.0.1:port"),
        ("NO_PROXY", "[::"),
    ],
)
async def test_a_proxy_that_is_none_is_a_mistake_but_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """It is told what one looks like, without its password; an embedded archive needs none."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(WrongUrl, match="should look like http://proxy:3128") as caught:
        async_client("https://archive.example", auth=None)
    assert "hunter2" not in str(caught.value)
    async with async_client("http://127.0.0.1", auth=None):
        pass


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_cannot_is_no_answer_of_the_archive(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """A refused tunnel, or no proxy at all, is unreachable; its password is not told."""
    proxy = await start_proxy(nursery, {})
    variable = f"{scheme.upper()}_PROXY"
    if scheme == "https":
        monkeypatch.setenv(variable, f"http://user:hunter2@127.0.0.1:{proxy.port}")
        async with client(f"https://{_HOST}", timeout_s=1.0) as archive:
            with pytest.raises(Unreachable) as caught:
                await archive.ask(endpoints.record(HOLDER))
        assert "hunter2" not in str(caught.value)
        assert proxy.asked
    monkeypatch.setenv(variable, "http://user:hunter2@127.0.0.1:1")
    async with client(f"{scheme}://{_HOST}", timeout_s=1.0) as archive:
        with pytest.raises(Unreachable) as caught:
            await archive.ask(endpoints.record(HOLDER))
    assert "hunter2" not in str(caught.value)
