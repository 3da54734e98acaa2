"""Tokens got for the id and secret of an app registration."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from attachfs.archive.client_credentials import ClientCredentials
from attachfs.archive.secrets import Secret
from attachfs.errors import (
    AttachfsError,
    BadReply,
    Busy,
    NoCredentials,
    NotFound,
    ServerFault,
    TimedOut,
    Unauthenticated,
)

_SECRET = "hunter2-of-the-app"


class _Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def _reply(status: int = 200, body: Any = None) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content)


def _client(clock: _Clock) -> ClientCredentials:
    return ClientCredentials("https://host", "an-id", Secret(_SECRET), now_s=clock)


def _private(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text)
    return path


def _revealed(credentials: ClientCredentials) -> str | None:
    token = credentials.current()
    return None if token is None else token.reveal()


def _sent(credentials: ClientCredentials) -> str:
    """Return the secret that is exchanged for a token."""
    request = credentials.exchange()
    assert request is not None
    (secret,) = parse_qs(request.content.decode())["client_secret"]
    return secret


def test_the_identity_of_client_credentials_is_the_clients() -> None:
    """Whatever tokens it gets, and its secret may change."""
    one, other = (
        ClientCredentials("https://host", "an-id", Secret(secret)) for secret in ("a", "b")
    )
    one.accept(_reply(body={"access_token": "t", "expires_in": 600}))
    assert one.identity == other.identity
    assert one.identity != ClientCredentials("https://host", "x", Secret("a")).identity


def test_an_empty_secret_file_is_said_to_be_empty(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(NoCredentials, match="holds no client secret"):
        ClientCredentials.of_file(
            "https://archive.example", "id", _private(tmp_path / "secret", "\n")
        )


def test_an_exchange_is_a_form_without_a_token() -> None:
    """The request is the one of contract section 1.3."""
    request = _client(_Clock()).exchange()
    assert request is not None
    assert (request.method, str(request.url)) == (
        "POST",
        "https://host/archivist/iam/v1/appidp/token",
    )
    assert parse_qs(request.content.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["an-id"],
        "client_secret": [_SECRET],
    }
    assert "authorization" not in request.headers
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("expires_in", "renewed_after_s"),
    [(3660, 3600), (660, 600), (120, 60), (100, 50), (1.5, 0.75), (None, 240), (0, 240)],
)
def test_a_token_is_renewed_a_minute_or_half_its_life_before_its_end(
    expires_in: float | None, renewed_after_s: float
) -> None:
    """Never at its last moment, never in the first half of its life."""
    clock = _Clock()
    credentials = _client(clock)
    assert credentials.current() is None
    credentials.accept(_reply(body={"access_token": "t", "expires_in": expires_in}))
    assert _revealed(credentials) == "t"
    clock.now_s += renewed_after_s - 0.001
    assert _revealed(credentials) == "t"
    clock.now_s += 0.002
    assert credentials.current() is None


def test_the_documented_answer_is_taken(samples: Path) -> None:
    """The sample's fields are those that are read."""
    sample = json.loads((samples / "token_response.json").read_text())
    credentials = _client(_Clock())
    credentials.accept(_reply(body={**sample, "access_token": "a.b.c"}))
    assert _revealed(credentials) == "a.b.c"


def test_a_rejected_token_is_dropped_but_never_a_newer_one() -> None:
    """Requests that were sent with the old token must not end the new one."""
    credentials = _client(_Clock())
    credentials.accept(_reply(body={"access_token": "one", "expires_in": 600}))
    assert credentials.rejected(Secret("one"))
    assert credentials.current() is None
    credentials.accept(_reply(body={"access_token": "two", "expires_in": 600}))
    assert credentials.rejected(Secret("one"))
    assert _revealed(credentials) == "two"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Unauthenticated),
        (401, Unauthenticated),
        (403, Unauthenticated),
        (404, BadReply),
        (410, BadReply),
        (307, BadReply),
        (408, TimedOut),
        (429, Busy),
        (500, ServerFault),
        (503, ServerFault),
        (504, TimedOut),
    ],
)
def test_refused_exchanges_have_their_class(status: int, kind: type[AttachfsError]) -> None:
    """A wrong secret is final, trouble may pass; none says that an asset is not there."""
    with pytest.raises(kind) as caught:
        _client(_Clock()).accept(_reply(status, {"error": "x"}))
    assert not isinstance(caught.value, NotFound)
    assert _SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"\xff", [], {}, {"access_token": None}, {"access_token": 5},
     {"access_token": ""}, {"access_token": "two words"}, {"access_token": "a\r\nX: b"},
     {"access_token": "t", "expires_in": "soon"}, {"access_token": "Bearer"}],
)  # fmt: skip
def test_an_answer_without_a_usable_token_is_a_bad_reply(body: object) -> None:
    """And what was there instead is not repeated, not even as the cause."""
    with pytest.raises(BadReply) as caught:
        _client(_Clock()).accept(_reply(body=body))
    assert str(caught.value) == "the token endpoint sent no token"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_secret_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    """It expires, and a new one is put in its place: the next token is got for that."""
    path = _private(tmp_path / "secret", "first\n")
    credentials = ClientCredentials.of_file("https://host", "an-id", path)
    assert _sent(credentials) == "first"
    path.write_text("second\n")
    assert _sent(credentials) == "second"
    _private(tmp_path / "other", "third").rename(path)
    assert _sent(credentials) == "third"


@pytest.mark.parametrize("trouble", ["exposed", "empty", "gone"])
def test_a_secret_gone_bad_leaves_the_last_good_one(
    tmp_path: Path, trouble: str, expected_warnings: set[str], quiet_log: list[Any]
) -> None:
    """It is logged once a change, without the secret; a good one ends it."""
    expected_warnings.add("keeping the last good one")
    path = _private(tmp_path / "secret", "good")
    credentials = ClientCredentials.of_file("https://host", "an-id", path)
    match trouble:
        case "exposed":
            path.write_text("leaked-secret")
            path.chmod(0o644)
        case "empty":
            path.write_text(" \n")
        case _:
            path.unlink()
    assert [_sent(credentials) for _ in range(3)] == ["good"] * 3
    assert len(quiet_log) == 1
    assert str(path) in str(quiet_log)
    assert "leaked-secret" not in str(quiet_log)
    path.unlink(missing_ok=True)
    _private(path, "better")
    assert _sent(credentials) == "better"


def test_a_refused_secret_says_where_to_put_another(tmp_path: Path) -> None:
    """In its file, if it has one that can be written."""
    in_file = ClientCredentials.of_file("https://host", "an-id", _private(tmp_path / "s", "x"))
    with pytest.raises(
        Unauthenticated, match=f"write a secret that is valid into {tmp_path / 's'}"
    ):
        in_file.accept(_reply(401))
    with pytest.raises(Unauthenticated, match="give one that is valid"):
        _client(_Clock()).accept(_reply(401))
