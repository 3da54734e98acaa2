"""What goes wrong with credentials: one sentence says what to do, and never what the secret is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mounts import Steering
from tests.support.oddities import put_in_place
from tests.support.programs import Done, sentence, usage_error

Run = Callable[..., Done]

_SECRET = "hunter2hunter2"


@pytest.fixture
def private(tmp_path: Path) -> Callable[..., Path]:
    """Write a private file."""

    def write(content: bytes, mode: int = 0o600) -> Path:
        path = tmp_path / "credentials"
        path.write_bytes(content)
        path.chmod(mode)
        return path

    return write


def test_without_credentials_both_kinds_are_named(attachfs: Run, mountpoint: Path) -> None:
    """The message says which options take them."""
    done = attachfs("mount", mountpoint)
    assert done.returncode == 20
    assert "give --token-file FILE" in sentence(done)
    assert "--client-id ID and --client-secret-file FILE" in sentence(done)


def test_empty_variables_are_no_credentials(attachfs: Run, mountpoint: Path) -> None:
    """Set to nothing is as not set, for each of them."""
    done = attachfs(
        "mount",
        mountpoint,
        ATTACHFS_TOKEN_FILE="",
        ATTACHFS_CLIENT_ID="",
        ATTACHFS_CLIENT_SECRET_FILE="",
        DATATRAILS_AUTHTOKEN_FILENAME="",
        DATATRAILS_AUTHTOKEN="",
        DATATRAILS_APPREG_CLIENT="",
        DATATRAILS_APPREG_SECRET="",
        DATATRAILS_APPREG_SECRET_FILENAME="",
    )
    assert done.returncode == 20
    assert "no credentials" in sentence(done)


@pytest.mark.parametrize(
    ("option", "mode"),
    [("--token-file", 0o640), ("--client-secret-file", 0o604)],
)
def test_what_others_can_read_is_refused(
    attachfs: Run, private: Callable[..., Path], mountpoint: Path, option: str, mode: int
) -> None:
    """The message has the command that protects the file."""
    path = private(_SECRET.encode(), mode)
    client = ("--client-id", "an-id") if option == "--client-secret-file" else ()
    done = attachfs("mount", mountpoint, option, path, *client)
    assert done.returncode == 21
    assert f"run: chmod 0600 {path}" in sentence(done)
    assert _SECRET not in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Authorization: Bearer\n", "holds no bearer token"),
        (f'{{"access_token": "{_SECRET}"}}'.encode(), "holds no bearer token"),
        (b"\xff\xfe\x00\x80" + _SECRET.encode(), "is not text"),
    ],
    ids=["template", "json", "binary"],
)
def test_what_is_no_token_is_refused(
    refused: Run, private: Callable[..., Path], content: bytes, message: str
) -> None:
    """The message names the file and says what is wrong with it, without showing what it holds."""
    path = private(content)
    done = refused("--token-file", path)
    assert done.returncode == 22
    assert f"{path} {message}" in sentence(done)
    assert _SECRET not in done.stderr
    if "bearer" in message:
        assert "one line: Authorization: Bearer <token>" in sentence(done)


def test_a_token_file_must_be_a_file_that_is_there(refused: Run, tmp_path: Path) -> None:
    """A directory is none; a missing one is told by its whole path."""
    for path, message in (
        (tmp_path, "is not a file"),
        (tmp_path / "missing", "No such file or directory; check the path"),
    ):
        done = refused("--token-file", path)
        assert done.returncode == 22
        assert str(path) in sentence(done)
        assert message in sentence(done)


def test_a_variable_that_holds_no_token_is_refused(attachfs: Run, mountpoint: Path) -> None:
    """The message names the variable alone."""
    done = attachfs("mount", mountpoint, DATATRAILS_AUTHTOKEN=f"{_SECRET} {_SECRET}")
    assert done.returncode == 22
    assert sentence(done).startswith("DATATRAILS_AUTHTOKEN holds no bearer token")
    assert _SECRET not in done.stderr


def test_one_kind_of_credentials_is_enough(refused: Run, token_file: Path) -> None:
    """Two are contradictory, whichever the second is."""
    for option, value in (("--client-id", "an-id"), ("--client-secret-file", token_file)):
        done = refused(option, value)
        assert done.returncode == 2
        assert sentence(done) == "give --token-file or --client-id, not both"


def test_half_an_app_registration_is_none(
    attachfs: Run, mountpoint: Path, private: Callable[..., Path]
) -> None:
    """The message names the half that is missing."""
    secret = private(_SECRET.encode())
    for options, missing in (
        (("--client-id", "an-id"), "--client-secret-file FILE"),
        (("--client-secret-file", secret), "--client-id ID"),
    ):
        done = attachfs("mount", mountpoint, *options)
        assert done.returncode == 20
        assert f"add {missing}" in sentence(done)


@pytest.mark.parametrize(
    ("kind", "variable"),
    [("missing", None), ("directory", None), ("not PEM", None), ("missing", "SSL_CERT_FILE")],
)
def test_authorities_must_be_certificates(
    refused: Run, private: Callable[..., Path], tmp_path: Path, kind: str, variable: str | None
) -> None:
    """The message names the file and the form it should have, by option or by variable."""
    path, message = {
        "missing": (tmp_path / "missing.pem", "No such file"),
        "directory": (tmp_path, "Is a directory"),
        "not PEM": (private(b"certificate"), "it is not PEM"),
    }[kind]
    done = refused(**{variable: str(path)}) if variable else refused("--ca-bundle", path)
    assert done.returncode == 22
    assert f"cannot use {path} as --ca-bundle: {message}" in sentence(done)
    assert "certificates in PEM form" in sentence(done)


@pytest.mark.parametrize("oddity", ["fifo", "fifo with a writer"])
def test_authorities_in_a_fifo_are_not_waited_for(
    refused: Run, tmp_path: Path, oddity: str
) -> None:
    """OpenSSL would wait for whoever writes them."""
    with put_in_place(tmp_path / "ca.pem", oddity):
        done = refused("--ca-bundle", tmp_path / "ca.pem")
    assert done.returncode == 22
    assert "as --ca-bundle: it is not a regular file" in sentence(done)


@pytest.mark.mount
def test_a_token_that_is_refused_is_told_apart(refused: Run, archive: Steering) -> None:
    """A token of another archive, or an old one: get a new one."""
    done = refused("--url", archive.url)
    assert done.returncode == 23
    assert "the server refuses the token" in sentence(done)
    assert "get a new one" in sentence(done)
    assert "a.good.token" not in done.stderr


@pytest.mark.mount
def test_a_client_secret_that_is_refused_is_told_apart(
    attachfs: Run, archive: Steering, mountpoint: Path, private: Callable[..., Path]
) -> None:
    """The message names the client id and never the secret."""
    options = ("--client-id", "an-id", "--client-secret-file", private(_SECRET.encode()))
    done = attachfs("mount", mountpoint, "--url", archive.url, *options)
    assert done.returncode == 23
    assert "the server refused client id an-id and its secret (401)" in sentence(done)
    assert _SECRET not in done.stderr


def test_a_token_is_no_option(refused: Run) -> None:
    """A secret on the command line is seen by whoever runs `ps`: there is no way to give it."""
    message = usage_error(refused(f"--token={_SECRET}"))
    assert "No such option" in message
    assert _SECRET not in message
