"""The configuration file: what it may say, what goes before what, and how mistakes are told."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.cli.configuration import Configuration, read
from attachfs.cli.options import configurable
from attachfs.errors import BadConfiguration
from tests.support.oddities import ODDITIES, put_in_place
from tests.support.programs import Done, sentence

Run = Callable[..., Done]

_TWO = """
timeout = "20s"
scan-policy = "require-ok"
profile = "acme"

[profiles.acme]
url = "https://acme.example"
timeout = "10s"

[profiles.other]
url = "https://other.example"
"""


@pytest.fixture
def file(environment: dict[str, str]) -> Path:
    """Where the user's configuration belongs."""
    path = Path(environment["HOME"]) / ".config" / "attachfs" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def show(attachfs: Run) -> Callable[..., dict[str, Any]]:
    """Return what `attachfs config show` says of the options."""

    def shown(*arguments: object, **variables: str) -> dict[str, Any]:
        done = attachfs("config", "show", "--json", *arguments, **variables)
        assert (done.returncode, done.stderr) == (0, "")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return shown


def _written(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o600)
    return file


def _read(tmp_path: Path, text: str, profile: str | None = None) -> Configuration:
    return read(configurable(), _written(tmp_path / "config.toml", text), profile)


def test_flags_beat_the_environment_beats_profiles_beat_the_rest(
    file: Path, show: Callable[..., dict[str, Any]]
) -> None:
    """And everything says where it came from."""
    _written(file, _TWO)
    options = show(
        "--stale-ok", "2h", ATTACHFS_READ_AHEAD="7", DATATRAILS_URL="https://env.example"
    )["options"]
    expected = {
        "stale-ok": ("2h", "flag --stale-ok"),
        "read-ahead": (7, "environment ATTACHFS_READ_AHEAD"),
        "url": ("https://env.example", "environment DATATRAILS_URL"),
        "timeout": ("10s", f"profile acme in {file}"),
        "scan-policy": ("require-ok", f"for every profile in {file}"),
        "cache-size": ("10GiB", "default"),
    }
    assert {name: (options[name]["value"], options[name]["from"]) for name in expected} == expected
    assert show("--url", "https://flag.example", "--profile", "other")["options"]["url"] == {
        "value": "https://flag.example",
        "from": "flag --url",
    }


def test_the_profile_is_chosen_by_flag_variable_or_file(
    file: Path, show: Callable[..., dict[str, Any]]
) -> None:
    """In this order; the file's is the default."""
    _written(file, _TWO)
    assert show()["profile"] == "acme"
    assert show(ATTACHFS_PROFILE="other")["options"]["url"]["value"] == "https://other.example"
    assert show("--profile", "acme", ATTACHFS_PROFILE="other")["profile"] == "acme"
    assert show()["profiles"] == ["acme", "other"]


def test_what_is_shown_is_a_configuration_that_comes_to_the_same(
    file: Path, attachfs: Run, show: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """TOML, with the origins as comments."""
    _written(file, _TWO)
    first = attachfs("config", "show", "--token-file", "/a/token", "--public-asset", "x")
    assert tomllib.loads(first.stdout)["timeout"] == "10s"
    again = _written(tmp_path / "again.toml", first.stdout)
    options = show("--config", again)["options"]
    assert options["timeout"] == {"value": "10s", "from": f"for every profile in {again}"}
    assert options["public-asset"]["value"] == ["x"]
    assert options["token-file"]["value"] == "/a/token"


def test_secrets_are_masked(attachfs: Run) -> None:
    """Those of the environment, and those that a URL should not hold."""
    secret = "hunter2"
    for form in ((), ("--json",)):
        done = attachfs(
            "config",
            "show",
            *form,
            DATATRAILS_AUTHTOKEN=secret,
            DATATRAILS_APPREG_SECRET=secret,
            ATTACHFS_URL=f"https://me:{secret}@host/x",
        )
        assert done.returncode == 0
        assert secret not in done.stdout + done.stderr
        assert "https://******@host/x" in done.stdout
        assert done.stdout.count("******") == 3


def test_a_profile_is_all_that_a_mount_needs(
    file: Path, attachfs: Run, environment: dict[str, str]
) -> None:
    """Its mount point too; a mistake in what it names is told as that of a flag."""
    _written(file, '[profiles.acme]\nmountpoint = "~/nowhere"\ntoken_file = "token"\n')
    _written(file.parent / "token", "a.b.c")
    done = attachfs("mount", "--profile", "acme")
    assert done.returncode == 10
    assert f"{environment['HOME']}/nowhere" in sentence(done)


def test_both_kinds_of_credentials_in_a_profile_contradict_each_other(
    file: Path, attachfs: Run
) -> None:
    """A flag settles it."""
    _written(file, 'token-file = "token"\nclient-id = "an-id"\n')
    done = attachfs("mount", "/nowhere")
    assert done.returncode == 2
    assert "in the configuration, not both" in sentence(done)
    assert "/else" in sentence(attachfs("mount", "/nowhere", "--token-file", "/else"))


def test_paths_are_as_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the command runs; `~` is home; a URL is no path."""
    monkeypatch.setenv("HOME", "/home/somebody")
    text = 'token-file = "token"\ncache-dir = "~/cache"\nca-bundle = "/ca.pem"\n'
    for value, expected in (("nfs", f"{tmp_path}/nfs"), ("s3://bucket/a", "s3://bucket/a")):
        setting = _read(tmp_path, f'shared-store = "{value}"\n').settings["shared-store"]
        assert setting.value == expected
    settings = _read(tmp_path, text).settings
    assert {name: setting.value for name, setting in settings.items()} == {
        "token-file": f"{tmp_path}/token",
        "cache-dir": "/home/somebody/cache",
        "ca-bundle": "/ca.pem",
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("url = ", "is no TOML: Invalid value"),
        ('cache-sice = "1GiB"', "`cache-sice` (for every profile in {file}) is no option"),
        ('cache-sice = "1GiB"', "did you mean `cache-size`?"),
        ('[profiles.a]\ntokenfile = "x"', "`tokenfile` (profile a in {file}) is no option"),
        ("[profiles.other]\nxyzzy = 1", "`attachfs config show` lists them all"),
        ('cache-size = "much"', "(for every profile in {file}): 'much' is not a size; write it"),
        ("cache-size = true", "should be a text in quotes, or a number"),
        ('timeout = "10ms"', "10ms is too short; at least 0.1s"),
        ("timeout = 0.01", "0.01 is too short; at least 0.1s"),
        ('untracked = "yes"', "should be true or false"),
        ('read-ahead = "7"', "should be a number"),
        ("read-ahead = 65", "65 is not in the range 0<=x<=64"),
        ('scan-policy = "all"', "'all' is not one of 'allow', 'block-bad', 'require-ok'"),
        ('public-asset = "x"', "should be a list of texts in quotes"),
        ("public-asset = [1]", "should be a list of texts in quotes"),
        ("token-file = 1", "should be a text in quotes"),
        ("umask = 27", "is no umask; write it in octal, like 027"),
        ('uid = "nobody at all"', "there is no user 'nobody at all' here"),
        ("uid = 4294967295", "larger than any user's number"),
        ("mountpoint = 1", "should be a path in quotes"),
        ("profiles = 1", "write [profiles.NAME]"),
        ("[profiles]\nacme = 1", "write [profiles.NAME]"),
        ("profile = 1", "should be a profile's name in quotes"),
        ('profile = "acme"', "there is no profile 'acme'"),
        ('profile = "acne"\n[profiles.acme]', "did you mean 'acme'?"),
        ('profile = "x"\n[profiles.acme]\n[profiles.b]', "there are: acme, b"),
        ("\udcff", "is no TOML"),
        ("a = " + "[" * 100_000, "is no TOML"),
    ],
)
def test_a_mistake_is_told_with_where_it_is(tmp_path: Path, text: str, says: str) -> None:
    """Whichever profile it is in; with what was probably meant."""
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    path.chmod(0o600)
    with pytest.raises(BadConfiguration) as caught:
        read(configurable(), path, None)
    assert says.format(file=path) in str(caught.value)
    assert str(path) in str(caught.value) or "did you mean 'acme'" in says or "there are" in says


def test_a_file_that_others_can_change_is_refused(file: Path, attachfs: Run) -> None:
    """Who writes it sends the token wherever they like."""
    _written(file, _TWO).chmod(0o620)
    done = attachfs("config", "show")
    assert done.returncode == 3
    assert f"run: chmod go-w {file}" in sentence(done)


def test_a_file_that_is_asked_for_must_be_there(attachfs: Run, tmp_path: Path) -> None:
    """And then the user's own is not read."""
    done = attachfs("config", "show", "--config", tmp_path / "none.toml")
    assert done.returncode == 3
    assert f"cannot read the configuration {tmp_path}/none.toml: No such file" in sentence(done)


@pytest.mark.parametrize("oddity", ODDITIES)
def test_what_is_not_a_regular_file_is_not_waited_for(tmp_path: Path, oddity: str) -> None:
    """It is a mistake like any other."""
    path = tmp_path / "config.toml"
    with put_in_place(path, oddity), pytest.raises(BadConfiguration, match="cannot read the conf"):
        read(configurable(), path, None)


def test_the_null_device_is_an_empty_configuration() -> None:
    """To do without the user's own."""
    assert read(configurable(), Path("/dev/null"), None).settings == {}


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()))
def test_no_table_breaks_it(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, Any]
) -> None:
    """Any keys and values give settings or `BadConfiguration`."""
    lines = [
        f"{json.dumps(key)} = {json.dumps(value)}"
        for key, value in table.items()
        if value is not None
    ]
    try:
        _read(tmp_path_factory.mktemp("any"), "\n".join(lines))
    except BadConfiguration:
        return
    said = {key.replace("_", "-") for key, value in table.items() if value is not None}
    assert said <= {*configurable(), "mountpoint"}
