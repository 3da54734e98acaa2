"""Tokens that change, end and are refused while the archive is mounted."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import until

pytestmark = pytest.mark.mount


def _errno_of(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "all is well"


@pytest.fixture
def photo() -> Callable[[Mount], Path]:
    """Find an attachment that anybody with a token may read."""
    return lambda mounted: mounted.asset("container") / SAMPLE["blob:container-photo"]


def test_a_new_token_in_the_file_is_used(
    mount: Callable[..., Mount],
    archive: Steering,
    tmp_path: Path,
    photo: Callable[[Mount], Path],
) -> None:
    """A refused token is EACCES until somebody writes a good one; the mount stays up."""
    token_file = tmp_path / "token"
    token_file.touch(mode=0o600)
    good = archive.token_file.read_text()
    token_file.write_text(good)
    mounted = mount("--token-file", token_file, "--metadata-ttl", "0s", credentials=False)
    mounted.expected_warnings.add("the server answered 401")
    assert photo(mounted).read_bytes()
    bad = f"{good.split()[-1]}-forged"
    token_file.write_text(bad)
    assert _errno_of(photo(mounted).read_bytes) == "EACCES"
    token_file.write_text(good.split()[-1])
    other = mounted.asset("sensor") / SAMPLE["blob:sensor-photo"]
    assert other.read_bytes()
    assert not any(bad in line or good.split()[-1] in line for line in mounted.log)


def test_an_unusable_token_file_leaves_the_last_good_token_in_use(
    mount: Callable[..., Mount],
    archive: Steering,
    tmp_path: Path,
    photo: Callable[[Mount], Path],
) -> None:
    """A file that goes, or that others can read, is told once and changes nothing."""
    token_file = tmp_path / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(archive.token_file.read_text())
    mounted = mount("--token-file", token_file, "--metadata-ttl", "0s", credentials=False)
    mounted.expected_warnings.add("keeping the last good token")
    token_file.chmod(0o644)
    assert photo(mounted).read_bytes()
    token_file.unlink()
    assert photo(mounted).read_bytes()


def test_an_app_registration_renews_its_token(
    mount: Callable[..., Mount], archive: Steering, photo: Callable[[Mount], Path]
) -> None:
    """A token that is refused is exchanged once, and no reader notices."""
    running = archive.running
    mounted = mount(
        "--client-id",
        running.client_id,
        "--client-secret-file",
        running.client_secret_file,
        "--metadata-ttl",
        "0s",
        credentials=False,
    )
    assert photo(mounted).read_bytes()
    archive.reset()
    archive.revoke_tokens()
    other = mounted.asset("sensor") / SAMPLE["blob:sensor-photo"]
    assert other.read_bytes()
    assert len(archive.paths("/appidp/token$")) == 1
    secret = running.client_secret_file.read_text().strip()
    command = Path(f"/proc/{mounted.process.pid}/cmdline").read_text()
    assert secret not in command
    assert not any(secret in line for line in mounted.log)


def test_an_expired_token_is_refused_until_there_is_a_new_one(
    mount: Callable[..., Mount],
    archive: Steering,
    tmp_path: Path,
    photo: Callable[[Mount], Path],
) -> None:
    """Reading and listing are EACCES, the mount stays; a good token ends it without a remount."""
    token_file = tmp_path / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(archive.token_file.read_text())
    lifetimes = ("--metadata-ttl", "0s", "--negative-ttl", "0s")
    mounted = mount("--token-file", token_file, *lifetimes, credentials=False)
    mounted.expected_warnings.add("JWT is expired")
    assert photo(mounted).read_bytes()
    expired = archive.running.archive.identities.issue(archive.running.client_id, -60.0)
    token_file.write_text(f"Authorization: Bearer {expired}\n")
    assert _errno_of(photo(mounted).read_bytes) == "EACCES"
    assert _errno_of(lambda: list((mounted.path / "assets").iterdir())) == "EACCES"
    assert any("JWT is expired" in line for line in mounted.log)
    token_file.write_text(archive.token_file.read_text())
    assert photo(mounted).read_bytes()
    assert list((mounted.path / "assets").iterdir())
    assert not any(expired in line for line in mounted.log)


def test_a_token_is_renewed_before_it_ends(
    mount: Callable[..., Mount], archive: Steering, photo: Callable[[Mount], Path]
) -> None:
    """No request is ever sent with one that has ended; nothing secret is in the log, even so."""
    archive.switch(token_lifetime_s=2)
    running = archive.running
    credentials = ("--client-id", running.client_id, "--client-secret-file")
    mounted = mount(
        *credentials,
        running.client_secret_file,
        *("--metadata-ttl", "0s", "--log-level", "debug"),
        credentials=False,
    )
    archive.reset()

    def renewed() -> bool:
        assert photo(mounted).stat()
        return len(archive.paths("/appidp/token$")) >= 2

    until(renewed)
    assert {request["status"] for request in archive.requests()} == {200}
    secret = running.client_secret_file.read_text().strip()
    shown = "\n".join(mounted.log) + Path(f"/proc/{mounted.process.pid}/environ").read_text()
    assert secret not in shown
    assert "eyJ" not in shown  # the beginning of every token


def test_a_secret_that_is_no_longer_good_is_refused(
    mount: Callable[..., Mount], archive: Steering, photo: Callable[[Mount], Path]
) -> None:
    """Once the last token ends, all is EACCES and told, and the mount stays."""
    running = archive.running
    credentials = ("--client-id", running.client_id, "--client-secret-file")
    mounted = mount(
        *credentials, running.client_secret_file, "--metadata-ttl", "0s", credentials=False
    )
    mounted.expected_warnings.add("the server refused client id")
    assert photo(mounted).read_bytes()
    running.archive.identities.regenerate_secret(running.client_id)
    archive.revoke_tokens()
    assert _errno_of(photo(mounted).read_bytes) == "EACCES"
    assert _errno_of(lambda: list((mounted.path / "assets").iterdir())) == "EACCES"
    secret = running.client_secret_file.read_text().strip()
    assert not any(secret in line for line in mounted.log)
