"""The choice of credentials among options and environment."""

import os
from pathlib import Path

import pytest

from attachfs.archive.client_credentials import ClientCredentials
from attachfs.archive.credentials import Credentials, GivenToken, TokenFile
from attachfs.cli.credentials import choose
from attachfs.cli.mount import command
from attachfs.errors import (
    CredentialsExposed,
    CredentialsUnusable,
    NoCredentials,
    UsageError,
)

_SECRET = "hunter2-of-the-app"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("DATATRAILS_", "ATTACHFS_")):
            monkeypatch.delenv(name)


def _choose(*options: str) -> Credentials:
    """Choose as `attachfs mount` with these options would."""
    context = command.make_context("mount", [*options, "/mnt"])
    credentials = choose(context, context.params, url="https://host")
    assert credentials is not None
    return credentials


def _token(credentials: Credentials) -> str | None:
    token = credentials.current()
    return None if token is None else token.reveal()


def _form(credentials: Credentials) -> str:
    exchange = credentials.exchange()
    assert exchange is not None
    return exchange.content.decode()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A private file with a token."""
    return _private(tmp_path / "token", "Authorization: Bearer from-file\n")


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """A private file with a client secret."""
    return _private(tmp_path / "secret", f"{_SECRET}\n")


def _private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_without_any_the_message_says_what_to_give() -> None:
    """Both ways are named."""
    with pytest.raises(NoCredentials, match=r"--token-file FILE .* --client-id ID"):
        _choose()


def test_a_token_file_is_chosen_by_option(token_file: Path) -> None:
    """It is read at once."""
    credentials = _choose("--token-file", str(token_file))
    assert isinstance(credentials, TokenFile)
    assert _token(credentials) == "from-file"


@pytest.mark.parametrize("variable", ["ATTACHFS_TOKEN_FILE", "DATATRAILS_AUTHTOKEN_FILENAME"])
def test_a_token_file_is_chosen_by_variable(
    token_file: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Ours or the official SDK's."""
    monkeypatch.setenv(variable, str(token_file))
    assert _token(_choose()) == "from-file"


@pytest.mark.parametrize("form", ["from-variable", "Bearer from-variable"])
def test_a_token_is_chosen_by_variable(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """In whatever form, and it is gone from the environment afterwards."""
    monkeypatch.setenv("DATATRAILS_AUTHTOKEN", form)
    credentials = _choose()
    assert isinstance(credentials, GivenToken)
    assert _token(credentials) == "from-variable"
    assert "DATATRAILS_AUTHTOKEN" not in os.environ


def test_a_variable_that_holds_no_token_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without repeating what it holds."""
    monkeypatch.setenv("DATATRAILS_AUTHTOKEN", "hunter2 hunter3 hunter4")
    with pytest.raises(CredentialsUnusable, match=r"^DATATRAILS_AUTHTOKEN ") as caught:
        _choose()
    assert "hunter" not in str(caught.value)


def test_client_credentials_are_chosen_by_options(secret_file: Path) -> None:
    """Nothing is sent yet."""
    credentials = _choose("--client-id", "an-id", "--client-secret-file", str(secret_file))
    assert isinstance(credentials, ClientCredentials)
    assert _token(credentials) is None
    assert f"client_id=an-id&client_secret={_SECRET}" in _form(credentials)


def test_client_credentials_are_chosen_by_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's; the secret is gone from the environment afterwards."""
    monkeypatch.setenv("DATATRAILS_APPREG_CLIENT", "an-id")
    monkeypatch.setenv("DATATRAILS_APPREG_SECRET", _SECRET)
    assert f"client_id=an-id&client_secret={_SECRET}" in _form(_choose())
    assert "DATATRAILS_APPREG_SECRET" not in os.environ


def test_an_option_completes_what_a_variable_begins(
    monkeypatch: pytest.MonkeyPatch, secret_file: Path
) -> None:
    """The id from one, the secret from the other; a file beats a variable's secret."""
    monkeypatch.setenv("DATATRAILS_APPREG_CLIENT", "an-id")
    monkeypatch.setenv("DATATRAILS_APPREG_SECRET", "another")
    assert _SECRET in _form(_choose("--client-secret-file", str(secret_file)))
    monkeypatch.setenv("DATATRAILS_APPREG_SECRET", "another")
    assert "client_id=my-id&client_secret=another" in _form(_choose("--client-id", "my-id"))


def test_options_beat_the_environment(
    monkeypatch: pytest.MonkeyPatch, token_file: Path, secret_file: Path
) -> None:
    """Each kind, over every other kind in the environment."""
    for name, value in [
        ("DATATRAILS_AUTHTOKEN_FILENAME", str(token_file)),
        ("DATATRAILS_AUTHTOKEN", "from-variable"),
        ("DATATRAILS_APPREG_CLIENT", "their-id"),
        ("DATATRAILS_APPREG_SECRET", "their-secret"),
    ]:
        monkeypatch.setenv(name, value)
    other = _private(token_file.with_name("other"), "from-option")
    assert _token(_choose("--token-file", str(other))) == "from-option"
    chosen = _choose("--client-id", "my-id", "--client-secret-file", str(secret_file))
    assert f"client_id=my-id&client_secret={_SECRET}" in _form(chosen)


def test_in_the_environment_a_file_beats_a_token_beats_a_registration(
    monkeypatch: pytest.MonkeyPatch, token_file: Path
) -> None:
    """The one that can be renewed without a restart goes first."""
    monkeypatch.setenv("DATATRAILS_APPREG_CLIENT", "an-id")
    monkeypatch.setenv("DATATRAILS_APPREG_SECRET", _SECRET)
    monkeypatch.setenv("DATATRAILS_AUTHTOKEN", "from-variable")
    assert _token(_choose()) == "from-variable"
    monkeypatch.setenv("DATATRAILS_AUTHTOKEN", "from-variable")
    monkeypatch.setenv("DATATRAILS_AUTHTOKEN_FILENAME", str(token_file))
    assert _token(_choose()) == "from-file"


def test_secrets_that_are_not_used_leave_the_environment_too(
    monkeypatch: pytest.MonkeyPatch, token_file: Path
) -> None:
    """No child of ours, such as fusermount3, has them."""
    monkeypatch.setenv("DATATRAILS_AUTHTOKEN", "from-variable")
    monkeypatch.setenv("DATATRAILS_APPREG_SECRET", _SECRET)
    _choose("--token-file", str(token_file))
    assert not {"DATATRAILS_AUTHTOKEN", "DATATRAILS_APPREG_SECRET"} & os.environ.keys()


def test_a_public_mount_ignores_the_environment_and_hides_its_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is set for other mounts, and be it wrong."""
    monkeypatch.setenv("ATTACHFS_TOKEN_FILE", "/nowhere")
    monkeypatch.setenv("DATATRAILS_APPREG_CLIENT", "an-id")
    monkeypatch.setenv("DATATRAILS_AUTHTOKEN", "hunter2 hunter3")
    monkeypatch.setenv("DATATRAILS_APPREG_SECRET", _SECRET)
    context = command.make_context("mount", ["--public", "/mnt"])
    assert choose(context, context.params, url="https://host") is None
    assert not {"DATATRAILS_AUTHTOKEN", "DATATRAILS_APPREG_SECRET"} & os.environ.keys()
    assert os.environ["DATATRAILS_APPREG_CLIENT"] == "an-id"


@pytest.mark.parametrize("option", ["--token-file", "--client-id", "--client-secret-file"])
def test_a_public_mount_takes_no_credentials(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """Given by option, they are a contradiction; the secrets are hidden first."""
    monkeypatch.setenv("DATATRAILS_AUTHTOKEN", "from-variable")
    with pytest.raises(UsageError, match=f"leave out {option} or --public$"):
        _choose("--public", option, "x")
    assert "DATATRAILS_AUTHTOKEN" not in os.environ


@pytest.mark.parametrize("option", ["--client-id", "--client-secret-file"])
def test_both_kinds_by_option_contradict_each_other(token_file: Path, option: str) -> None:
    """Which one is meant cannot be known."""
    with pytest.raises(UsageError, match="not both"):
        _choose("--token-file", str(token_file), option, "x")


def test_half_a_registration_is_refused_with_the_other_half_named(
    monkeypatch: pytest.MonkeyPatch, secret_file: Path
) -> None:
    """An id without a secret, a secret without an id, an empty secret."""
    with pytest.raises(NoCredentials, match="add --client-secret-file"):
        _choose("--client-id", "an-id")
    with pytest.raises(NoCredentials, match="add --client-id"):
        _choose("--client-secret-file", str(secret_file))
    monkeypatch.setenv("DATATRAILS_APPREG_SECRET", _SECRET)
    with pytest.raises(NoCredentials, match="add --client-id"):
        _choose()
    empty = _private(secret_file.with_name("empty"), "\n")
    with pytest.raises(NoCredentials, match="holds no client secret"):
        _choose("--client-id", "an-id", "--client-secret-file", str(empty))


@pytest.mark.parametrize("kind", ["token", "secret"])
def test_files_that_are_no_good_are_refused(tmp_path: Path, kind: str) -> None:
    """Missing or exposed, of a token or of a secret."""
    path = tmp_path / "file"
    options = ["--token-file", str(path)]
    if kind == "secret":
        options = ["--client-id", "an-id", "--client-secret-file", str(path)]
    with pytest.raises(CredentialsUnusable, match="No such file"):
        _choose(*options)
    path.write_text(_SECRET)
    path.chmod(0o644)
    with pytest.raises(CredentialsExposed) as caught:
        _choose(*options)
    assert _SECRET not in str(caught.value)
