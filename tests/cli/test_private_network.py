"""Archives inside a company: a private certificate authority, and a proxy on the way."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme

from attachfs.demo.launch import ArchiveConfig, RunningArchive
from tests.support.archives import token_of
from tests.support.mounts import Mount
from tests.support.programs import Done, sentence
from tests.support.proxy import Proxy, start_proxy

pytestmark = pytest.mark.mount

Run = Callable[..., Done]

_HOST = "archive.invalid"  # no resolver but the proxy knows it


@pytest.fixture
def authority() -> trustme.CA:
    """A private certificate authority."""
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    """Its certificate, as --ca-bundle takes it."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def archive(
    serve: Callable[[ArchiveConfig], RunningArchive], authority: trustme.CA, tmp_path: Path
) -> RunningArchive:
    """An archive with the sample estate that speaks TLS, here and under the proxy's name for it."""
    issued = authority.issue_cert("127.0.0.1", _HOST)
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    return serve(ArchiveConfig(tls=(certificate, key)))


@pytest.fixture
async def proxy(nursery: trio.Nursery, archive: RunningArchive) -> Proxy:
    """A proxy that knows the archive's host."""
    return await start_proxy(nursery, {_HOST: int(archive.url.rpartition(":")[2])})


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_private_authority_is_trusted_in_the_background(
    background: Run, attachfs: Run, mountpoint: Path, bundle: Path, way: str
) -> None:
    """By --ca-bundle or SSL_CERT_FILE, also where the file is named relative to here."""
    if way == "option":
        done = background(mountpoint, "--ca-bundle", bundle.name, cwd=bundle.parent)
    else:
        done = background(mountpoint, cwd=bundle.parent, SSL_CERT_FILE=bundle.name)
    assert done.returncode == 0, done.stderr
    assert all(
        path.joinpath("asset.json").read_text() for path in (mountpoint / "assets").iterdir()
    )
    assert attachfs("umount", mountpoint).returncode == 0


def test_an_unknown_authority_is_refused(refused: Run, archive: RunningArchive) -> None:
    """The message says that it is the certificate, and names --ca-bundle; no token was sent."""
    done = refused("--url", archive.url, "--token-file", archive.token_file)
    assert done.returncode == 31
    assert "certificate verify failed" in sentence(done)
    assert "--ca-bundle where the certificate is private" in sentence(done)
    assert archive.archive.requests() == []


@pytest.mark.parametrize("kind", ["token", "app registration"])
async def test_everything_goes_through_the_proxy(
    mount: Callable[..., Mount], archive: RunningArchive, bundle: Path, proxy: Proxy, kind: str
) -> None:
    """The mount, reads and the token endpoint, in tunnels that the proxy cannot look into."""
    registered = ("--client-id", archive.client_id, "--client-secret-file",
                  archive.client_secret_file)  # fmt: skip
    options = ("--url", f"https://{_HOST}", "--ca-bundle", bundle)
    start = partial(mount, *options, credentials=True)
    if kind != "token":
        start = partial(mount, *options, *registered, credentials=False)
    mounted = await trio.to_thread.run_sync(lambda: start(HTTPS_PROXY=proxy.url))
    record = mounted.asset("container") / "asset.json"
    assert await trio.to_thread.run_sync(record.read_text)
    await trio.to_thread.run_sync(mounted.end)
    assert set(proxy.asked) == {f"CONNECT {_HOST}:443 HTTP/1.1"}
    assert token_of(archive) not in str(proxy.heads)
    asked = [request.path for request in archive.archive.requests()]
    assert any(path.endswith("/appidp/token") for path in asked) == (kind != "token")


async def test_hosts_in_no_proxy_are_asked_directly(
    refused: Run, proxy: Proxy, bundle: Path
) -> None:
    """Which fails here, for no resolver knows the host: the proxy was not asked."""
    options = ("--url", f"https://{_HOST}", "--ca-bundle", bundle)
    variables = {"HTTPS_PROXY": proxy.url, "NO_PROXY": f"other.example,{_HOST}"}
    done = await trio.to_thread.run_sync(lambda: refused(*options, **variables))
    assert done.returncode == 31
    assert "Name or service not known" in sentence(done)
    assert proxy.asked == []


def test_a_proxy_that_is_none_is_a_wrong_url(refused: Run) -> None:
    """The message names the variables, and does not tell a password."""
    done = refused("--url", f"https://{_HOST}", ALL_PROXY="socks5://user:hunter2@127.0.0.1:1080")
    assert done.returncode == 30
    assert "ALL_PROXY" in sentence(done)
    assert "http://proxy:3128" in sentence(done)
    assert "hunter2" not in done.stderr
