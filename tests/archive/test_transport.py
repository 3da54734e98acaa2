"""URLs of archives, and what the HTTP client below every request is made with."""

import ssl
from pathlib import Path

import certifi
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attachfs.archive.transport import async_client, base_url, is_loopback, trust
from attachfs.errors import CredentialsUnusable, WrongUrl


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://app.datatrails.ai", "https://app.datatrails.ai"),
        ("https://app.datatrails.ai/", "https://app.datatrails.ai"),
        ("https://app.datatrails.ai/archivist", "https://app.datatrails.ai"),
        ("https://app.datatrails.ai/archivist/", "https://app.datatrails.ai"),
        ("HTTPS://App.DataTrails.AI:443/", "https://app.datatrails.ai"),
        ("https://host:8443/prefix/archivist/", "https://host:8443/prefix"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://demo.localhost", "http://demo.localhost"),
    ],
)
def test_urls_are_brought_to_one_form(url: str, expected: str) -> None:
    """No trailing slash, no /archivist, no default port, no capitals in the host."""
    assert base_url(url) == expected


@pytest.mark.parametrize(
    "url",
    ["", "app.datatrails.ai", "/archivist", "ftp://host", "https://", "https:///x", "file:///x",
     "https://user@host", "https://user:pw@host", "https://host?x=1", "https://host#x",
     "https://host:port", "https://host:99999", "https://host:-1", "https://[::1",
     "https://host\n", "https://\0", "https://xn--\u2603", "http:host", "javascript:1"],
)  # fmt: skip
def test_what_is_no_url_of_an_archive_is_refused(url: str) -> None:
    """Each is refused as the user's mistake, before anything is sent anywhere."""
    with pytest.raises(WrongUrl):
        base_url(url, allow_http=True)


@pytest.mark.parametrize(
    "url",
    ["https://user:hunter2@host", "ftp://user:hunter2@host", "https://user:hunter2@",
     "https://user:hunter2@host:port", "https://user:hunter2@host:99999", "user:hunter2@host",
     "https://user:hunter2@ho\nst", "https://host/?token=hunter2", "host?token=hunter2",
     "https://host/#hunter2", "host#hunter2"],
)  # fmt: skip
def test_what_may_be_secret_in_a_url_is_not_repeated(url: str) -> None:
    """Not even where the URL is wrong in other ways too."""
    with pytest.raises(WrongUrl) as caught:
        base_url(url, allow_http=True)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://app.datatrails.ai", "http://10.0.0.1", "http://localhost.example",
            "http://127.0.0.1.example", "http://[2001:db8::1]", "http://128.0.0.1"]
)  # fmt: skip
def test_plain_http_to_another_host_needs_leave(url: str) -> None:
    """A token is not sent in clear over a network unless the user insists."""
    with pytest.raises(WrongUrl, match="--allow-http"):
        base_url(url)
    assert base_url(url, allow_http=True) == url


def test_a_refused_url_does_not_show_its_password() -> None:
    """Credentials in a URL are refused without being repeated."""
    with pytest.raises(WrongUrl) as caught:
        base_url("https://user:hunter2@host")
    assert "hunter2" not in str(caught.value)


@given(st.text() | st.from_regex(r"https?://[^/]{0,20}(:\d{1,6})?(/.*)?", fullmatch=True))
@example("https://[::1]:")
@example("https://ho%00st/")
def test_any_text_is_a_usable_url_or_refused(text: str) -> None:
    """What passes once passes again unchanged, and a client can be made for it."""
    try:
        url = base_url(text, allow_http=True)
    except WrongUrl:
        return
    assert base_url(url, allow_http=True) == url
    assert httpx.URL(url).host


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("a.localhost", True), ("127.0.0.1", True), ("127.255.0.1", True),
     ("::1", True), ("localhost.example", False), ("notlocalhost", False), ("127.1", False),
     ("::", False), ("", False), ("example", False)],
)  # fmt: skip
def test_loopback_is_told_by_name_or_address_alone(host: str, *, expected: bool) -> None:
    """Nothing is resolved, and what only looks like loopback is not."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "http://[::1]",
            "https://app.datatrails.ai", "https://[2001:db8::1]:8443"]
)  # fmt: skip
async def test_a_client_can_be_made_for_every_kind_of_host(url: str) -> None:
    """Names and addresses of both families, loopback or not; what is sent says who we are."""
    async with async_client(url, auth=None, timeout_s=3) as client:
        request = client.build_request("GET", "/archivist/v2/assets")
        assert str(request.url) == f"{url}/archivist/v2/assets"
        assert request.headers["accept-encoding"] == "identity"
        assert request.headers["user-agent"].startswith("attachfs/")
        assert client.follow_redirects is False
        assert client.timeout == httpx.Timeout(3, connect=0.8 * 3)


async def test_connecting_has_a_bound_of_its_own() -> None:
    """A long timeout is for answers; a host that is not there is given up sooner."""
    async with async_client("http://127.0.0.1:1", auth=None, timeout_s=300) as client:
        assert client.timeout == httpx.Timeout(300, connect=10)


def test_a_bundle_that_is_none_is_refused(tmp_path: Path) -> None:
    """The message names the option and what it should be given."""
    for path in (tmp_path / "missing.pem", tmp_path):
        with pytest.raises(CredentialsUnusable, match="--ca-bundle"):
            trust(path)
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not PEM")
    with pytest.raises(CredentialsUnusable, match="PEM"):
        trust(garbage)
    garbage.write_text("")
    with pytest.raises(CredentialsUnusable, match="PEM"):
        trust(garbage)


def test_certificates_are_always_checked() -> None:
    """There is no context that trusts everybody."""
    context = trust(None)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_what_is_trusted_is_one_source_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle given replaces all others; a variable replaces the system's and certifi's."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    everybody = len(trust(None).get_ca_certs())
    assert everybody > 50
    first = Path(certifi.where()).read_text().split("-----END CERTIFICATE-----")[0]
    one = tmp_path / "one.pem"
    one.write_text(f"{first[first.index('-----BEGIN') :]}-----END CERTIFICATE-----\n")
    assert len(trust(one).get_ca_certs()) == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(one))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    assert len(trust(None).get_ca_certs()) == 1
