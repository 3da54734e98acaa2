"""URLs of archives, checked once."""

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attachfs.archive.http.urls import base_url, is_loopback
from attachfs.errors import WrongUrl


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
