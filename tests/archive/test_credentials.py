"""Where tokens come from: what each kind of credentials answers."""

import base64
import json
import os
import pickle
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import structlog

from attachfs.archive.credentials import ClientCredentials, GivenToken, TokenFile
from attachfs.archive.secrets import Secret
from attachfs.errors import (
    AttachfsError,
    BadReply,
    Busy,
    CredentialsExposed,
    CredentialsUnusable,
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


def _reply(status: int = 200, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers=headers)


def _client(clock: _Clock) -> ClientCredentials:
    return ClientCredentials("https://host", "an-id", Secret(_SECRET), now_s=clock)


def _write(path: Path, token: str) -> None:
    path.write_text(token)
    path.chmod(0o600)


def jwt(**claims: Any) -> str:
    """Return a token with these claims, signed by nobody."""
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    encoded = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2ln"])


def _revealed(credentials: TokenFile | GivenToken | ClientCredentials) -> str | None:
    token = credentials.current()
    return None if token is None else token.reveal()


def test_a_given_token_is_all_there_is() -> None:
    """It is never exchanged, and there is no other after a 401."""
    credentials = GivenToken(Secret("t"))
    assert _revealed(credentials) == "t"
    assert credentials.exchange() is None
    assert not credentials.rejected(Secret("t"))
    assert credentials.rejected(Secret("another"))


@pytest.mark.parametrize("form", ["t", "Bearer t", "Authorization: Bearer t\n"])
def test_a_token_file_is_read_in_all_three_forms(tmp_path: Path, form: str) -> None:
    """Bare, with its scheme, or as a header."""
    _write(tmp_path / "f", form)
    assert _revealed(TokenFile(tmp_path / "f")) == "t"


def test_the_identity_is_whom_the_token_stands_for(tmp_path: Path) -> None:
    """Renewed, it is of the same; whoever else it is of is somebody else."""
    path = tmp_path / "f"
    identities = set()
    for sub in ("one", "two"):
        for expires in (1, 2):
            token = jwt(iss="https://issuer", sub=sub, exp=expires)
            _write(path, token)
            identities.add((sub, TokenFile(path).identity))
            identities.add((sub, GivenToken(Secret(token)).identity))
    assert sorted(sub for sub, _ in identities) == ["one", "two"]
    assert len({identity for _, identity in identities}) == 2


def test_opaque_tokens_are_told_apart_by_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their file, wherever it is seen from; a given one by a digest, which tells nothing."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        _write(tmp_path / name / "f", f"opaque-{name}")
    given = [GivenToken(Secret(f"opaque-{name}")).identity for name in "aab"]
    assert given[0] == given[1] != given[2]
    assert "opaque" not in "".join(given)
    identities = []
    for name in ("a", "b"):
        monkeypatch.chdir(tmp_path / name)
        identities += [TokenFile(Path("f")).identity, TokenFile(tmp_path / name / "f").identity]
    assert identities[0] == identities[1] != identities[2] == identities[3]


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_an_opaque_token_from_a_descriptor_is_told_apart_by_itself(
    tmp_path: Path, kind: str
) -> None:
    """As of `--token-file <(pass show archive)`: the next one has the same name."""
    identities = []
    for token in ("opaque-one", "opaque-two", "opaque-one"):
        if kind == "pipe":
            reading, writing = os.pipe()
            os.write(writing, token.encode())
            os.close(writing)
        else:
            _write(tmp_path / "f", token)
            reading = os.open(tmp_path / "f", os.O_RDONLY)
        try:
            identities.append(TokenFile(Path(f"/dev/fd/{reading}")).identity)
        finally:
            os.close(reading)
    assert identities[0] == identities[2] != identities[1]
    assert "opaque" not in "".join(identities)


def test_the_identity_of_client_credentials_is_the_clients() -> None:
    """Whatever tokens it gets, and its secret may change."""
    one, other = (
        ClientCredentials("https://host", "an-id", Secret(secret)) for secret in ("a", "b")
    )
    one.accept(_reply(body={"access_token": jwt(sub="x"), "expires_in": 600}))
    assert one.identity == other.identity
    assert one.identity != ClientCredentials("https://host", "x", Secret("a")).identity


@pytest.mark.parametrize("how", ["current", "rejected"])
@pytest.mark.parametrize("before", ["jwt", "opaque"])
def test_somebody_elses_token_is_not_used(
    tmp_path: Path,
    expected_warnings: set[str],
    quiet_log: list[Any],
    *,
    how: str,
    before: str,
) -> None:
    """What is known was told to the first; its own next one is used as ever."""
    expected_warnings.add("somebody else's token")
    path = tmp_path / "f"
    own = ["opaque-1", "opaque-2"] if before == "opaque" else [jwt(sub="us", exp=e) for e in (1, 2)]
    _write(path, own[0])
    credentials = TokenFile(path)
    identity = credentials.identity
    _write(path, jwt(sub="them"))
    if how == "rejected":
        assert not credentials.rejected(Secret(own[0]))
    assert [_revealed(credentials) for _ in range(3)] == [own[0]] * 3
    assert len(quiet_log) >= 1
    assert "eyJ" not in str(quiet_log)
    _write(path, own[1])
    assert _revealed(credentials) == own[1]
    assert credentials.identity == identity


def test_a_token_file_that_is_no_good_is_refused_at_the_start(tmp_path: Path) -> None:
    """Missing, exposed and empty files are the user's mistakes."""
    path = tmp_path / "f"
    with pytest.raises(CredentialsUnusable):
        TokenFile(path)
    _write(path, "")
    with pytest.raises(CredentialsUnusable):
        TokenFile(path)
    _write(path, "t")
    path.chmod(0o644)
    with pytest.raises(CredentialsExposed):
        TokenFile(path)


def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """Written over or replaced, the new token is used from the next request on."""
    path = tmp_path / "f"
    _write(path, "one")
    credentials = TokenFile(path)
    _write(path, "three")
    assert _revealed(credentials) == "three"
    _write(tmp_path / "g", "seven")
    (tmp_path / "g").rename(path)
    assert _revealed(credentials) == "seven"


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    """The inode and its change time tell of it."""
    path = tmp_path / "f"
    _write(path, "aaa")
    old = path.stat()
    credentials = TokenFile(path)
    _write(tmp_path / "g", "bbb")
    os.utime(tmp_path / "g", ns=(old.st_atime_ns, old.st_mtime_ns))
    (tmp_path / "g").rename(path)
    assert _revealed(credentials) == "bbb"


def test_a_401_makes_a_token_file_be_read_again(tmp_path: Path) -> None:
    """Another token in it is worth another try, the same one is not."""
    path = tmp_path / "f"
    _write(path, "one")
    credentials = TokenFile(path)
    assert not credentials.rejected(Secret("one"))
    _write(path, "two")
    assert credentials.rejected(Secret("one"))
    assert _revealed(credentials) == "two"
    assert not credentials.rejected(Secret("two"))


@pytest.mark.parametrize("trouble", ["exposed", "empty", "gone", "directory"])
def test_a_token_file_gone_bad_leaves_the_last_good_token(
    tmp_path: Path, trouble: str, expected_warnings: set[str], quiet_log: list[Any]
) -> None:
    """Trouble in the middle of a mount is logged once a change, without the token."""
    expected_warnings.add("keeping the last good token")
    path = tmp_path / "f"
    _write(path, "good")
    credentials = TokenFile(path)
    if trouble == "exposed":
        path.write_text("leaked-token")
        path.chmod(0o644)
    elif trouble == "empty":
        path.write_text("")
    else:
        path.unlink()
        if trouble == "directory":
            path.mkdir()
    assert [_revealed(credentials) for _ in range(3)] == ["good"] * 3
    assert len(quiet_log) == 1
    assert "leaked-token" not in str(quiet_log)
    if trouble == "directory":
        path.rmdir()
    _write(path, "better")
    assert _revealed(credentials) == "better"


def _private(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text)
    return path


def test_credentials_travel_as_the_path_of_their_file(tmp_path: Path) -> None:
    """No secret leaves the process: it is read again where they arrive."""
    token = _private(tmp_path / "token", "first-token")
    secret = _private(tmp_path / "secret", f"{_SECRET}\n")
    pickled = [
        pickle.dumps(TokenFile(token)),
        pickle.dumps(ClientCredentials.of_file("https://archive.example", "id", secret)),
    ]
    assert not any(
        text in packed for packed in pickled for text in (b"first-token", _SECRET.encode())
    )
    token.write_text("other-token")
    token_file, client = (pickle.loads(packed) for packed in pickled)  # noqa: S301 - our own
    assert token_file.current() == Secret("other-token")
    request = client.exchange()
    assert parse_qs(request.content.decode())["client_secret"] == [_SECRET]
    token.unlink()
    with pytest.raises(CredentialsUnusable, match="check the path"):
        pickle.loads(pickled[0])  # noqa: S301 - our own


def test_what_is_in_no_file_does_not_travel() -> None:
    """It says what to do, and a secret by itself is not written down at all."""
    for credentials, option in (
        (GivenToken(Secret("t")), "--token-file"),
        (ClientCredentials("https://archive.example", "id", Secret("s")), "--client-secret-file"),
    ):
        with pytest.raises(CredentialsUnusable, match=option):
            pickle.dumps(credentials)
    with pytest.raises(TypeError):
        pickle.dumps(Secret("t"))


def test_a_token_that_can_be_read_once_does_not_travel() -> None:
    """As that of `--token-file <(pass show archive)`."""
    reading, writing = os.pipe()
    os.write(writing, b"a-token")
    os.close(writing)
    try:
        credentials = TokenFile(Path(f"/dev/fd/{reading}"))
    finally:
        os.close(reading)
    with pytest.raises(CredentialsUnusable, match="can be read once"):
        pickle.dumps(credentials)


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


def test_no_secret_is_in_any_text_about_credentials(
    tmp_path: Path, quiet_log: list[structlog.typing.EventDict]
) -> None:
    """Neither repr nor str of anything that holds a secret or a token shows it."""
    _write(tmp_path / "f", "token-in-file")
    client = _client(_Clock())
    client.accept(_reply(body={"access_token": "token-got", "expires_in": 60}))
    exchange = client.exchange()
    everything = [TokenFile(tmp_path / "f"), GivenToken(Secret("token-given")), client, exchange]
    texts = " ".join([*(repr(x) + str(x) for x in everything), str(quiet_log)])
    for secret in (_SECRET, "token-in-file", "token-given", "token-got"):
        assert secret not in texts
