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

from attachfs.archive.client_credentials import ClientCredentials
from attachfs.archive.credentials import GivenToken, TokenFile
from attachfs.archive.secrets import Secret
from attachfs.errors import CredentialsExposed, CredentialsUnusable

_SECRET = "hunter2-of-the-app"


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


@pytest.mark.parametrize("option", ["--token-file", "--client-secret-file"])
def test_what_can_be_read_once_does_not_travel(option: str) -> None:
    """As that of `--token-file <(pass show archive)`."""
    reading, writing = os.pipe()
    os.write(writing, b"a-token")
    os.close(writing)
    path = Path(f"/dev/fd/{reading}")
    try:
        credentials = (
            TokenFile(path)
            if option == "--token-file"
            else ClientCredentials.of_file("https://archive.example", "id", path)
        )
    finally:
        os.close(reading)
    with pytest.raises(CredentialsUnusable, match=f"can be read once.*{option}"):
        pickle.dumps(credentials)


def test_what_can_be_read_once_is_not_read_again() -> None:
    """By then its descriptor may be of something else."""
    reading, writing = os.pipe()
    os.write(writing, b"a-token")
    os.close(writing)
    try:
        credentials = TokenFile(Path(f"/dev/fd/{reading}"))
        with Path("/dev/null").open() as other:
            os.dup2(other.fileno(), reading)
        assert _revealed(credentials) == "a-token"
        assert not credentials.rejected(Secret("a-token"))
    finally:
        os.close(reading)


def test_no_secret_is_in_any_text_about_credentials(
    tmp_path: Path, quiet_log: list[structlog.typing.EventDict]
) -> None:
    """Neither repr nor str of anything that holds a secret or a token shows it."""
    _write(tmp_path / "f", "token-in-file")
    client = ClientCredentials("https://archive.example", "an-id", Secret(_SECRET))
    client.accept(httpx.Response(200, json={"access_token": "token-got", "expires_in": 60}))
    exchange = client.exchange()
    everything = [TokenFile(tmp_path / "f"), GivenToken(Secret("token-given")), client, exchange]
    texts = " ".join([*(repr(x) + str(x) for x in everything), str(quiet_log)])
    for secret in (_SECRET, "token-in-file", "token-given", "token-got"):
        assert secret not in texts
