"""Tokens that change, end and are refused while the archive is mounted."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.mounts import Mount, Steering

pytestmark = pytest.mark.mount

BAD_TOKEN = "not-a-good-token.at-all.x"


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
    token_file.write_text(BAD_TOKEN)
    assert _errno_of(photo(mounted).read_bytes) == "EACCES"
    token_file.write_text(good.split()[-1])
    other = mounted.asset("sensor") / SAMPLE["blob:sensor-photo"]
    assert other.read_bytes()
    assert not any(BAD_TOKEN in line or good.split()[-1] in line for line in mounted.log)


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
