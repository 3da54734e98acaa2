"""Proxies of the environment: honoured for the network, never for this machine."""

import ssl
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
import trustme

from attachfs.archive import endpoints
from attachfs.archive.client_credentials import ClientCredentials
from attachfs.archive.http.connect import connect
from attachfs.archive.http.proxies import Origin, Proxy, is_any_named, proxy_for
from attachfs.archive.secrets import Secret
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
    ],
)
def test_a_proxy_that_is_none_is_a_mistake_but_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """It is told what one looks like, without its password; an embedded archive needs none."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(WrongUrl, match="should look like http://proxy:3128") as caught:
        proxy_for(Origin("https", "archive.example", 443))
    assert "hunter2" not in str(caught.value)
    assert proxy_for(Origin("http", "127.0.0.1", 80)) is None


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


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("", "https://archive.example", False),
        ("*", "https://archive.example", True),
        ("archive.example", "https://archive.example", True),
        ("ARCHIVE.Example", "https://archive.example", True),
        (".archive.example", "https://archive.example", True),
        ("archive.example.", "https://archive.example", True),
        ("example", "https://archive.example", True),
        (".corp.example", "https://a.b.corp.example", True),
        ("corp.example", "https://acorp.example", False),
        ("archive.example:443", "https://archive.example", True),
        ("archive.example:8443", "https://archive.example", False),
        ("archive.example:8443", "https://archive.example:8443", True),
        ("other.example, archive.example", "https://archive.example", True),
        ("other.example archive.example", "https://archive.example", True),
        ("192.0.2.2", "https://192.0.2.2", True),
        ("192.0.2.0/24", "https://192.0.2.2", True),
        ("192.0.2.2/32", "https://192.0.2.2", True),
        ("192.0.2.7/24", "https://192.0.2.2", True),
        ("192.0.3.0/24", "https://192.0.2.2", False),
        ("192.0.2.0/24:8443", "https://192.0.2.2", False),
        ("0.0.0.0/0", "https://archive.example", False),
        ("[2001:db8::1]", "https://[2001:db8::1]", True),
        ("2001:db8::1", "https://[2001:db8::1]", True),
        ("[2001:db8::1]:443", "https://[2001:db8::1]", True),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]", False),
        ("2001:db8::/32", "https://[2001:db8::1]", True),
        ("fd00::/8", "https://[fd12::1]", True),
        ("fd00::/8,::1/128", "https://archive.example", False),
        ("localhost,127.0.0.1,[::1]", "https://archive.example", False),
        ("[::", "https://archive.example", False),
        ("192.0.2.0/99,/,:,[],.", "https://192.0.2.2", False),
        ("2.2", "https://192.0.2.2", False),
    ],
)
def test_no_proxy_names_what_curl_and_requests_take_it_for(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str, *, direct: bool
) -> None:
    """Hosts with all below them, ports, addresses, networks; what is malformed names nothing."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(Origin.of(httpx.URL(url))) is None) is direct


@pytest.mark.parametrize(
    "no_proxy", ["localhost,127.0.0.1,[::1]", "fd00::/8", "::1/128", "*", "[::", ""]
)
@pytest.mark.parametrize("url", ["https://archive.example", "http://archive.example"])
def test_without_a_proxy_no_proxy_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str
) -> None:
    """It names none."""
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_for(Origin.of(httpx.URL(url))) is None
    assert not is_any_named()


@pytest.mark.parametrize(
    ("variables", "url", "address"),
    [
        ({"HTTPS_PROXY": "http://a:1"}, "https://archive.example", "a:1"),
        ({"HTTPS_PROXY": "http://a:1"}, "http://archive.example", None),
        ({"HTTP_PROXY": "http://a:1"}, "https://archive.example", None),
        ({"HTTP_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}, "http://archive.example", None),
        ({"http_proxy": "http://a:1", "REQUEST_METHOD": "GET"}, "http://archive.example", "a:1"),
        ({"ALL_PROXY": "a:1"}, "http://archive.example", "a:1"),
        ({"all_proxy": "a:1", "https_proxy": "b:2"}, "https://archive.example", "b:2"),
        ({"HTTPS_PROXY": "a:1", "https_proxy": "b:2"}, "https://archive.example", "b:2"),
        ({"HTTPS_PROXY": "https://a"}, "https://archive.example", "a:443"),
        ({"HTTPS_PROXY": "http://[::1]:8080/"}, "https://archive.example", "[::1]:8080"),
        ({"HTTPS_PROXY": ""}, "https://archive.example", None),
    ],
)
def test_a_proxy_is_the_one_that_the_environment_has_for_the_scheme(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, address: str | None
) -> None:
    """Small letters first; HTTP_PROXY may be a header of a request to a CGI script."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(Origin.of(httpx.URL(url)))
    assert (None if proxy is None else proxy.origin.address) == address


@pytest.mark.parametrize(
    ("url", "address", "authorization"),
    [
        ("https://bücher.example", "xn--bcher-kva.example:443", ""),
        ("http://us%40er:p%3Ass@proxy:3128", "proxy:3128", "Basic dXNAZXI6cDpzcw=="),
        ("http://user@proxy:3128", "proxy:3128", "Basic dXNlcjo="),
        ("proxy:3128", "proxy:3128", ""),
    ],
)
def test_a_proxy_is_named_as_resolvers_know_it(
    monkeypatch: pytest.MonkeyPatch, url: str, address: str, authorization: str
) -> None:
    """Its user and its password are apart from what is shown."""
    monkeypatch.setenv("HTTPS_PROXY", url)
    proxy = proxy_for(Origin("https", "archive.example", 443))
    assert proxy is not None
    assert (proxy.origin.address, proxy.authorization) == (address, authorization)
    assert not authorization or authorization not in repr(proxy)


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_any_success_of_connect_is_a_tunnel(nursery: trio.Nursery, status: int) -> None:
    """RFC 9110 section 9.3.6; what follows the head is the server's."""
    heads: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        heads.append(await stream.receive_some())
        await stream.send_all(b"HTTP/1.1 %d Fine\r\nContent-Length: 7\r\n\r\nnot TLS" % status)
        await stream.receive_some()

    listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
    proxy = Proxy(Origin("http", "127.0.0.1", listeners[0].socket.getsockname()[1]))
    with pytest.raises(ssl.SSLError):
        await connect(Origin("https", _HOST, 443), proxy, ssl.create_default_context())
    assert heads[0].startswith(f"CONNECT {_HOST}:443 HTTP/1.1\r\n".encode())
