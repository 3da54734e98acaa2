"""Settings and secrets from the environment: what is taken, what wins, what stays hidden."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attachfs.cli.mount import command
from attachfs.demo.estate import SAMPLE
from tests.support.archives import token_of
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import until
from tests.support.programs import Done

Run = Callable[..., Done]

_WRONG = "a-wrong.token-or.secret"
_PRECEDENCE = (
    "DATATRAILS_AUTHTOKEN_FILENAME",
    "DATATRAILS_AUTHTOKEN",
    "DATATRAILS_APPREG_SECRET",
)
_TAKEN: list[tuple[str, str, Any]] = [
    ("ATTACHFS_URL", "https://host", "https://host"),
    ("DATATRAILS_URL", "https://host", "https://host"),
    ("ATTACHFS_TOKEN_FILE", "/token", Path("/token")),
    ("DATATRAILS_AUTHTOKEN_FILENAME", "/token", Path("/token")),
    ("ATTACHFS_CLIENT_ID", "an-id", "an-id"),
    ("DATATRAILS_APPREG_CLIENT", "an-id", "an-id"),
    ("ATTACHFS_CLIENT_SECRET_FILE", "/secret", Path("/secret")),
    ("DATATRAILS_APPREG_SECRET_FILENAME", "/secret", Path("/secret")),
    ("ATTACHFS_PUBLIC", "yes", True),
    ("ATTACHFS_PUBLIC_ASSET", " one two\n\tthree ", ("one", "two", "three")),
    ("ATTACHFS_CACHE_DIR", "/cache", Path("/cache")),
    ("ATTACHFS_CACHE_SIZE", "2GiB", 2 * 1024**3),
    ("ATTACHFS_CACHE_MIN_FREE", "7.5%", 0.075),
    ("ATTACHFS_VERIFY_FIRST", "all", 2**63 - 1),
    ("ATTACHFS_MEMORY_CACHE", "3MiB", 3 * 1024**2),
    ("ATTACHFS_SHARED_STORE", "/nfs/evidence", "/nfs/evidence"),
    ("ATTACHFS_READ_AHEAD", "7", 7),
    ("ATTACHFS_METADATA_TTL", "1h30m", 5400.0),
    ("ATTACHFS_TIMEOUT", "1m", 60.0),
    ("ATTACHFS_NEGATIVE_TTL", "500ms", 0.5),
    ("ATTACHFS_STALE_OK", "2d", 172800.0),
    ("ATTACHFS_SCAN_POLICY", "require-ok", "require-ok"),
    ("ATTACHFS_UNTRACKED", "1", True),
    ("ATTACHFS_CA_BUNDLE", "/ca.pem", Path("/ca.pem")),
    ("SSL_CERT_FILE", "/ca.pem", Path("/ca.pem")),
    ("ATTACHFS_ALLOW_HTTP", "yes", True),
    ("ATTACHFS_FOREGROUND", "true", True),
    ("ATTACHFS_LOG_LEVEL", "debug", "debug"),
    ("ATTACHFS_LOG_FORMAT", "json", "json"),
    ("ATTACHFS_ALLOW_OTHER", "1", True),
    ("ATTACHFS_UID", "1234", 1234),
    ("ATTACHFS_GID", "daemon", 1),
    ("ATTACHFS_UMASK", "027", 0o027),
    ("ATTACHFS_METRICS_PORT", "9100", 9100),
]


@pytest.fixture
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("DATATRAILS_", "ATTACHFS_", "SSL_CERT_")):
            monkeypatch.delenv(name)


def _parsed(*options: str) -> dict[str, Any]:
    return command.make_context("mount", [*options, "/mnt"]).params


@pytest.mark.usefixtures("_clean_environment")
@pytest.mark.parametrize(("variable", "value", "expected"), _TAKEN)
def test_a_variable_sets_its_option(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: Any
) -> None:
    """As the option would, and no other is changed by it."""
    before = _parsed()
    monkeypatch.setenv(variable, value)
    after = _parsed()
    changed = {name for name in before if before[name] != after[name]}
    assert [after[name] for name in changed] == [expected]


@pytest.mark.usefixtures("_clean_environment")
@pytest.mark.parametrize(
    ("ours", "theirs", "name"),
    [
        ("ATTACHFS_URL", "DATATRAILS_URL", "url"),
        ("ATTACHFS_CLIENT_ID", "DATATRAILS_APPREG_CLIENT", "client_id"),
    ],
)
def test_an_option_beats_our_variable_beats_theirs(
    monkeypatch: pytest.MonkeyPatch, ours: str, theirs: str, name: str
) -> None:
    """What is nearest to the command counts."""
    monkeypatch.setenv(theirs, "theirs")
    assert _parsed()[name] == "theirs"
    monkeypatch.setenv(ours, "ours")
    assert _parsed()[name] == "ours"
    assert _parsed(f"--{name.replace('_', '-')}", "option")[name] == "option"


def test_every_option_is_covered_here() -> None:
    """A new one cannot be forgotten."""
    options = [parameter for parameter in command.params if parameter.envvar]
    others = {parameter.name for parameter in command.params} - {
        parameter.name for parameter in options
    }
    assert others == {"mountpoint", "mount_o", "source"}
    variables = {variable for option in options for variable in option.envvar or ()}
    of_configuration = {"ATTACHFS_PROFILE", "ATTACHFS_CONFIG"}
    assert variables == {variable for variable, _, _ in _TAKEN} | of_configuration


@pytest.mark.mount
def test_a_mount_is_made_by_variables_alone(
    background: Run, attachfs: Run, mountpoint: Path
) -> None:
    """Each that shows in what the mount does."""
    cache = mountpoint.parent / "cache of its own"
    ours = {
        "ATTACHFS_CACHE_DIR": str(cache),
        "ATTACHFS_MEMORY_CACHE": "1KiB",
        "ATTACHFS_SCAN_POLICY": "allow",
        "ATTACHFS_UNTRACKED": "yes",
        "ATTACHFS_LOG_LEVEL": "debug",
    }
    done = background(mountpoint, **ours)
    assert done.returncode == 0, done.stderr
    assets = {path.name for path in (mountpoint / "assets").iterdir()}
    assert SAMPLE["asset:gateway"] in assets  # an untracked one
    for name in ("bad-invoice", "temperature-log"):
        (path,) = mountpoint.rglob(SAMPLE[f"blob:{name}"])
        assert path.read_bytes()
    assert (cache / "objects" / "sha256").is_dir()
    assert "[debug" in Path(done.stdout.rstrip().partition("; log: ")[2]).read_text()
    assert attachfs("umount", mountpoint).returncode == 0


@pytest.mark.mount
@pytest.mark.parametrize(
    ("client", "secret", "is_file"),
    [
        ("ATTACHFS_CLIENT_ID", "ATTACHFS_CLIENT_SECRET_FILE", True),
        ("DATATRAILS_APPREG_CLIENT", "DATATRAILS_APPREG_SECRET", False),
    ],
)
def test_an_app_registration_may_be_in_variables(
    mount: Callable[..., Mount], archive: Steering, client: str, secret: str, *, is_file: bool
) -> None:
    """A token is fetched for it and used."""
    path = archive.running.client_secret_file
    given = str(path) if is_file else path.read_text().strip()
    mounted = mount(credentials=False, **{client: archive.running.client_id, secret: given})
    assert mounted.asset("container").is_dir()
    assert archive.paths("/appidp/token$")


@pytest.mark.mount
@pytest.mark.parametrize("best", [0, 1], ids=["token file", "token"])
def test_a_token_file_beats_a_token_beats_an_app_registration(
    mount: Callable[..., Mount], archive: Steering, best: int
) -> None:
    """What is wrong further down is not looked at."""
    good = (str(archive.token_file), token_of(archive.running))[best]
    variables = dict(zip(_PRECEDENCE[best:], [good, _WRONG, _WRONG], strict=False))
    mounted = mount(credentials=False, DATATRAILS_APPREG_CLIENT="an-id", **variables)
    assert mounted.asset("container").is_dir()
    assert not archive.paths("/appidp/token$")


@pytest.mark.mount
def test_secrets_do_not_show(mount: Callable[..., Mount], archive: Steering) -> None:
    """Not in the process's environment or arguments, the log, an error, or the mount table."""
    token = token_of(archive.running)
    mounted = mount(
        "--log-level",
        "debug",
        credentials=False,
        DATATRAILS_AUTHTOKEN=f"Bearer {token}",
        DATATRAILS_APPREG_CLIENT="an-id",
        DATATRAILS_APPREG_SECRET=_WRONG,
    )
    archive.fail_next(status=401, times=2)
    with pytest.raises(PermissionError):
        list((mounted.path / "assets").iterdir())
    assert mounted.asset("container").is_dir()
    process = Path(f"/proc/{mounted.process.pid}")
    environment = (process / "environ").read_text()
    assert "DATATRAILS_APPREG_CLIENT=an-id" in environment
    shown = [environment, (process / "cmdline").read_text(), Path("/proc/mounts").read_text()]
    until(lambda: any("401" in line for line in mounted.log))
    mounted.expected_warnings.add("401")
    for secret in (token, _WRONG):
        assert not any(secret in text for text in [*shown, *mounted.log])
