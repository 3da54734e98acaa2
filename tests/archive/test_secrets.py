"""Secrets and the tokens among them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.archive.secrets import Secret, bearer_of, parse_token
from attachfs.errors import CredentialsUnusable

_JWT = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE2fQ.c2ln-bmF0_dXJl"


def test_a_secret_shows_itself_to_none_but_who_asks() -> None:
    """No way of printing tells the text; equality and hashing work."""
    secret = Secret("hunter2")
    for text in (repr(secret), str(secret), f"{secret!s:>40}", f"{[secret]}", repr({"a": secret})):
        assert "hunter2" not in text
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2")
    assert hash(secret) == hash(Secret("hunter2"))
    assert secret != Secret("hunter3")
    assert secret != "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        _JWT,
        f"{_JWT}\n",
        f"  {_JWT}\r\n\r\n",
        f"Bearer {_JWT}",
        f"bearer   {_JWT}\n",
        f"Authorization: Bearer {_JWT}\n",
        f"authorization:Bearer {_JWT}",
        f"AUTHORIZATION : bearer {_JWT}",
        f"\n\nAuthorization: Bearer {_JWT}\n\n",
        f"Accept: */*\nAuthorization: Bearer {_JWT}\nX-Other: 1\n",
        f"Authorization: {_JWT}",
    ],
)
def test_the_token_is_found_in_every_form_in_the_wild(text: str) -> None:
    """A bare token, `Bearer` and a token, or header lines as curl takes them."""
    assert parse_token(text, source="the test").reveal() == _JWT


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "Bearer", "bearer\n", "Authorization: Bearer", "Authorization: Bearer \n",
     "Authorization:", "Basic dXNlcjpwYXNz", "Authorization: Basic dXNlcjpwYXNz", "two words",
     f"{_JWT}\n{_JWT}", f"Bearer {_JWT} x", "Accept: */*", f"X-Authorization: Bearer {_JWT}",
     f"{_JWT}\0", "tök.en", "a=b", '{"access_token": "x"}', "Authorization: Bearer a\tb"],
)  # fmt: skip
def test_what_is_no_token_is_refused_without_quoting_it(text: str) -> None:
    """The message names the place and the form expected, never what was there."""
    with pytest.raises(CredentialsUnusable) as caught:
        parse_token(text, source="the file f")
    assert str(caught.value) == (
        "the file f holds no bearer token; it should be one line: Authorization: Bearer <token>"
    )


@given(st.text())
def test_no_text_raises_anything_else_or_gives_a_token_unfit_for_a_header(text: str) -> None:
    """A token is never empty and never has a character that could break a header."""
    try:
        token = parse_token(text, source="x").reveal()
    except CredentialsUnusable:
        return
    assert token.isascii()
    assert token.isprintable()
    assert token.split() == [token]


@given(st.from_regex(r"[A-Za-z0-9\-._~+/]{1,40}={0,2}", fullmatch=True))
def test_every_bearer_token_survives_in_every_form(token: str) -> None:
    """What RFC 6750 allows comes through unchanged."""
    if token.lower() == "bearer":
        return
    for text in (token, f"Bearer {token}", f"Authorization: Bearer {token}\n"):
        assert parse_token(text, source="x").reveal() == token


def _jwt(payload: bytes) -> Secret:
    encoded = base64.urlsafe_b64encode(payload).decode().rstrip("=")
    return Secret(f"e30.{encoded}.c2ln")


@pytest.mark.parametrize(
    ("payload", "bearer"),
    [
        (b'{"iss":"i","sub":"s","exp":1}', "iss=i sub=s"),
        (b'{"sub":"s","exp":2,"iss":"i"}', "iss=i sub=s"),
        (b'{"client_id":"c","jit_tenant_id":"t"}', "jit_tenant_id=t client_id=c"),
        (b'{"sub":"","iss":null,"client_id":"c"}', "client_id=c"),
        (b'{"exp":1}', None),
        (b"{}", None),
        (b"[]", None),
        (b"5", None),
        (b"", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
    ],
)
def test_a_jwt_says_whom_it_stands_for(payload: bytes, bearer: str | None) -> None:
    """By the claims that a renewed one has as well; what has none of them says nothing."""
    assert bearer_of(_jwt(payload)) == bearer


@pytest.mark.parametrize("text", ["opaque", "a.b.c", "a.!.c", "..", ".", "", "e30.e30", "é.é.é"])
def test_a_token_that_is_no_jwt_says_nothing(text: str) -> None:
    """It may be anything."""
    assert bearer_of(Secret(text)) is None


@given(st.binary(max_size=60) | st.text(max_size=30).map(str.encode))
def test_no_payload_raises(payload: bytes) -> None:
    """Whatever stands in a token."""
    bearer_of(_jwt(payload))
    bearer_of(Secret(payload.decode("latin-1")))
