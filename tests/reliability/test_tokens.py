"""Tokens that change, end and are refused while the archive is mounted."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support import faultproxy
from tests.support.clocks import Clocks
from tests.support.evidence import attach
from tests.support.faultproxy import faulty
from tests.support.mounts import Mount, Steering, archive, clocks, environment, mount
from tests.support.outcomes import WELL, outcome, until
from tests.support.reliability import ANSWERED, SURVIVED, Row, record

__all__ = ["archive", "clocks", "environment", "mount"]

pytestmark = pytest.mark.mount

_LARGE_BYTES = 6 << 20
_DAY_S = 86_400
# A token is renewed 60 s before its end.
_LIFETIME_S = 300
_UNTIL_RENEWAL_S = _LIFETIME_S - 60


@contextmanager
def _row(fault: str, where: str, tried: int, errno: str = "") -> Iterator[None]:
    """Record what the block is about, and how long it took."""
    begun_s = time.monotonic()
    yield
    took_s = time.monotonic() - begun_s
    record(Row("Tokens", fault, where, tried, ANSWERED if errno else SURVIVED, errno, took_s))


@pytest.fixture
def token_file(archive: Steering, tmp_path: Path) -> Path:
    """A file of the test's own with the archive's token."""
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(archive.token_file.read_text())
    return path


@pytest.fixture
def photo() -> Callable[[Mount], Path]:
    """Find an attachment that anybody with a token may read."""
    return lambda mounted: mounted.asset("container") / SAMPLE["blob:container-photo"]


def test_a_new_token_in_the_file_is_used(
    mount: Callable[..., Mount], token_file: Path, photo: Callable[[Mount], Path]
) -> None:
    """A refused token is EACCES until somebody writes a good one; the mount stays up."""
    good = token_file.read_text()
    mounted = mount("--token-file", token_file, "--metadata-ttl", "0s", credentials=False)
    mounted.expected_warnings.add("the server answered 401")
    assert photo(mounted).read_bytes()
    bad = f"{good.split()[-1]}-forged"
    token_file.write_text(bad)
    with _row("the token is refused for good", "a file that was read before", 1, "EACCES"):
        assert outcome(photo(mounted).read_bytes) == "EACCES"
    until(lambda: any(f"{token_file}" in line for line in mounted.log))  # which file to renew
    token_file.write_text(good.split()[-1])
    other = mounted.asset("sensor") / SAMPLE["blob:sensor-photo"]
    with _row("the token's file is rotated", "a file that was not read before", 1):
        assert other.read_bytes()
    assert not any(bad in line or good.split()[-1] in line for line in mounted.log)


def test_an_unusable_token_file_leaves_the_last_good_token_in_use(
    mount: Callable[..., Mount], token_file: Path, photo: Callable[[Mount], Path]
) -> None:
    """A file that goes, or that others can read, is told once and changes nothing."""
    mounted = mount("--token-file", token_file, "--metadata-ttl", "0s", credentials=False)
    mounted.expected_warnings.add("keeping the last good token")
    with _row("the token's file becomes readable for others, and goes", "a file", 2):
        token_file.chmod(0o644)
        assert photo(mounted).read_bytes()
        token_file.unlink()
        assert photo(mounted).read_bytes()


def test_an_app_registration_renews_its_token(
    mount: Callable[..., Mount], archive: Steering, photo: Callable[[Mount], Path]
) -> None:
    """A token that is refused is exchanged once, and no reader notices."""
    running = archive.running
    mounted = mount(*archive.client, "--metadata-ttl", "0s", credentials=False)
    assert photo(mounted).read_bytes()
    archive.reset()
    archive.revoke_tokens()
    other = mounted.asset("sensor") / SAMPLE["blob:sensor-photo"]
    with _row("the token of an app registration is revoked", "a file", 1):
        assert other.read_bytes()
    assert len(archive.paths("/appidp/token$")) == 1
    secret = running.client_secret_file.read_text().strip()
    command = Path(f"/proc/{mounted.process.pid}/cmdline").read_text()
    assert secret not in command
    assert not any(secret in line for line in mounted.log)


def test_an_expired_token_is_refused_until_there_is_a_new_one(
    mount: Callable[..., Mount],
    archive: Steering,
    token_file: Path,
    photo: Callable[[Mount], Path],
) -> None:
    """Reading and listing are EACCES, the mount stays; a good token ends it without a remount."""
    lifetimes = ("--metadata-ttl", "0s", "--negative-ttl", "0s")
    mounted = mount("--token-file", token_file, *lifetimes, credentials=False)
    mounted.expected_warnings.add("JWT is expired")
    assert photo(mounted).read_bytes()
    expired = archive.running.archive.identities.issue(archive.running.client_id, -60.0)
    token_file.write_text(f"Authorization: Bearer {expired}\n")
    with _row("the token has expired", "a file, a listing", 2, "EACCES"):
        assert outcome(photo(mounted).read_bytes) == "EACCES"
        assert outcome(lambda: list((mounted.path / "assets").iterdir())) == "EACCES"
    until(lambda: any("JWT is expired" in line for line in mounted.log))
    token_file.write_text(archive.token_file.read_text())
    assert photo(mounted).read_bytes()
    assert list((mounted.path / "assets").iterdir())
    assert not any(expired in line for line in mounted.log)


@pytest.fixture
def lasting(archive: Steering, clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """The clocks of archive and mount, which are one: tokens are issued for five minutes."""
    archive.switch(token_lifetime_s=_LIFETIME_S)
    monkeypatch.setattr(archive.running.archive.identities, "_now", clocks.utc)
    return clocks


def test_a_token_is_renewed_before_it_ends(
    mount: Callable[..., Mount],
    archive: Steering,
    lasting: Clocks,
    photo: Callable[[Mount], Path],
) -> None:
    """No request is ever sent with one that has ended; nothing secret is in the log, even so."""
    running = archive.running
    mounted = mount(
        *archive.client,
        *("--metadata-ttl", "0s", "--log-level", "debug"),
        credentials=False,
        program=lasting.program(),
    )
    archive.reset()
    for exchanges in (1, 2):
        lasting.advance(_UNTIL_RENEWAL_S - 5)
        assert photo(mounted).read_bytes()
        assert len(archive.paths("/appidp/token$")) == exchanges - 1
        lasting.advance(10)
        assert photo(mounted).read_bytes()
        assert len(archive.paths("/appidp/token$")) == exchanges
    assert {request["status"] for request in archive.requests()} == {200}
    secret = running.client_secret_file.read_text().strip()
    shown = "\n".join(mounted.log) + Path(f"/proc/{mounted.process.pid}/environ").read_text()
    assert secret not in shown
    assert "eyJ" not in shown  # the beginning of every token


def test_a_secret_that_is_no_longer_good_is_refused(
    mount: Callable[..., Mount], archive: Steering, photo: Callable[[Mount], Path]
) -> None:
    """Once the last token ends, all is EACCES and told; a good one in its file ends it."""
    running = archive.running
    lifetimes = ("--metadata-ttl", "0s", "--negative-ttl", "0s")
    mounted = mount(*archive.client, *lifetimes, credentials=False)
    mounted.expected_warnings.add("the server refused client id")
    assert photo(mounted).read_bytes()
    running.archive.identities.regenerate_secret(running.client_id)
    archive.revoke_tokens()
    with _row("the client secret is no longer good", "a file, a listing", 2, "EACCES"):
        assert outcome(photo(mounted).read_bytes) == "EACCES"
        assert outcome(lambda: list((mounted.path / "assets").iterdir())) == "EACCES"
    said = f"secret that is valid into {running.client_secret_file}"
    until(lambda: any(said in line for line in mounted.log))
    old = running.client_secret_file.read_text().strip()
    new = running.archive.identities.secret_of(running.client_id)
    assert new is not None
    running.client_secret_file.write_text(f"{new}\n")
    assert photo(mounted).read_bytes()
    assert list((mounted.path / "assets").iterdir())
    assert not any(secret in line for line in mounted.log for secret in (old, new))


def test_a_token_that_ends_in_mid_download_costs_no_byte(
    mount: Callable[..., Mount], archive: Steering
) -> None:
    """What breaks off is gone on with, with another token, and no reader notices."""
    running = archive.running
    evidence = attach(running, _LARGE_BYTES)
    with faulty(archive.url) as proxy:
        mounted = mount("--url", proxy.url, *archive.client, credentials=False)
        assert (mounted.path / evidence.path).stat()
        archive.reset()
        download = f"/{evidence.attachments[0]}(\\?|$)"
        proxy.add(faultproxy.Stall(0.5), download)
        fault = "the token ends in mid-download, which then breaks off"
        with (
            _row(fault, "a large file", 1),
            (mounted.path / evidence.path).open("rb", buffering=0) as file,
        ):
            first = file.read(1 << 16)
            archive.revoke_tokens()
            proxy.refuse()
            proxy.accept()
            assert first + file.readall() == evidence.content
        assert proxy.met(download) == 1
    assert len(archive.paths("/appidp/token$")) == 1
    assert 401 in {request["status"] for request in archive.requests(download)}


def test_a_token_endpoint_that_is_down_is_done_without(
    mount: Callable[..., Mount],
    archive: Steering,
    lasting: Clocks,
    photo: Callable[[Mount], Path],
) -> None:
    """The last token serves to its end; then all is an error, until the endpoint is back."""
    lifetimes = ("--metadata-ttl", "0s", "--negative-ttl", "0s", "--stale-ok", "0s")
    mounted = mount(
        *archive.client, *lifetimes, "--timeout", "2s", credentials=False, program=lasting.program()
    )
    mounted.expected_warnings.add("token")
    assert photo(mounted).read_bytes()
    archive.reset()
    archive.fail_next(path_regex="/token$", status=503, times=9999)
    with _row("the token endpoint is down, until the last token has ended", "a file", 1):
        lasting.advance(_UNTIL_RENEWAL_S + 5)
        assert photo(mounted).read_bytes()
        assert len(archive.paths("/token$")) == 1
        lasting.advance(_LIFETIME_S - _UNTIL_RENEWAL_S - 10)
        assert photo(mounted).read_bytes()
        assert len(archive.paths("/token$")) == 2
    lasting.advance(10)
    with (
        _row("the token endpoint is down, and the last token has ended", "a file", 1, "EIO"),
        lasting.passing(),
    ):
        assert outcome(photo(mounted).read_bytes) == "EIO"
    archive.reset()
    with _row("the token endpoint is back", "a file", 1), lasting.passing():
        until(lambda: outcome(photo(mounted).read_bytes) == WELL)


@pytest.mark.parametrize("fast_s", [_DAY_S, -_DAY_S], ids=["fast", "slow"])
def test_a_clock_that_is_wrong_renews_no_token_too_late(
    mount: Callable[..., Mount],
    archive: Steering,
    lasting: Clocks,
    photo: Callable[[Mount], Path],
    fast_s: int,
) -> None:
    """Tokens are counted by how long they last, not by when they end."""
    lasting.set_utc(fast_s)
    mounted = mount(
        *archive.client, "--metadata-ttl", "0s", credentials=False, program=lasting.program()
    )
    archive.reset()
    how = "fast" if fast_s > 0 else "slow"
    with _row(f"the machine's clock is a day {how}, with tokens of 300 s", "a file", 1):
        for exchanges in (0, 1, 1, 2):
            lasting.advance(_UNTIL_RENEWAL_S / 2 + 5)
            assert photo(mounted).read_bytes()
            assert len(archive.paths("/token$")) == exchanges
    assert {request["status"] for request in archive.requests()} == {200}
