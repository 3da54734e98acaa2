"""Certificates of real servers: a private authority, by option or by variable, or refused."""

import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme

from attachfs.archive import endpoints
from attachfs.archive.http.trust import trust
from attachfs.errors import CredentialsUnusable, Unreachable, Untrusted
from tests.support.archives import ASSET, HOLDER, client
from tests.support.canned import Canned, reply, start_canned

_RECORD = {"identity": f"assets/{ASSET}", "attributes": {}}


@pytest.fixture
def authority() -> trustme.CA:
    """A private certificate authority."""
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA) -> Iterator[Path]:
    """Its certificate, as --ca-bundle takes it."""
    with authority.cert_pem.tempfile() as path:
        yield Path(path)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


async def _serve(nursery: trio.Nursery, authority: trustme.CA, name: str = "127.0.0.1") -> Canned:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return await start_canned(nursery, lambda _: reply(200, _RECORD), tls=context)


async def test_a_private_authority_is_trusted_by_option(
    nursery: trio.Nursery, authority: trustme.CA, bundle: Path
) -> None:
    """--ca-bundle is enough."""
    canned = await _serve(nursery, authority)
    async with client(canned.url, ca_bundle=bundle) as archive:
        assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET


async def test_a_private_authority_is_trusted_by_variable(
    nursery: trio.Nursery, authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE is honoured like by other programs."""
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    canned = await _serve(nursery, authority)
    async with client(canned.url) as archive:
        assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET


@pytest.mark.usefixtures("quick_retries")
async def test_an_unknown_authority_is_refused_before_the_token_is_sent(
    nursery: trio.Nursery, authority: trustme.CA
) -> None:
    """The reason says that it is the certificate."""
    canned = await _serve(nursery, authority)
    async with client(canned.url) as archive:
        with pytest.raises(Untrusted, match="certificate verify failed"):
            await archive.ask(endpoints.record(HOLDER))
    assert canned.requests == []


@pytest.mark.usefixtures("quick_retries")
async def test_a_bundle_given_is_all_that_is_trusted(
    nursery: trio.Nursery, authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option beats the variable: an authority outside of it is unknown."""
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    canned = await _serve(nursery, authority)
    with trustme.CA().cert_pem.tempfile() as other:
        async with client(canned.url, ca_bundle=Path(other)) as archive:
            with pytest.raises(Untrusted, match="certificate verify failed"):
                await archive.ask(endpoints.record(HOLDER))
    assert canned.requests == []


@pytest.mark.usefixtures("quick_retries")
async def test_a_certificate_of_another_host_is_refused(
    nursery: trio.Nursery, authority: trustme.CA, bundle: Path
) -> None:
    """A good certificate of somebody else is none."""
    canned = await _serve(nursery, authority, "archive.example")
    async with client(canned.url, ca_bundle=bundle) as archive:
        with pytest.raises(Untrusted, match="certificate verify failed"):
            await archive.ask(endpoints.record(HOLDER))
    assert canned.requests == []


@pytest.mark.usefixtures("quick_retries")
async def test_a_server_without_tls_is_unreachable_by_https(
    nursery: trio.Nursery, bundle: Path
) -> None:
    """Plain text where TLS was expected never gets a token."""
    got: list[bytes] = []

    async def answer(stream: trio.SocketStream) -> None:
        got.append(await stream.receive_some())
        await stream.send_all(reply(400))

    listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]
    async with client(f"https://127.0.0.1:{port}", ca_bundle=bundle, timeout_s=1.0) as archive:
        with pytest.raises(Unreachable):
            await archive.ask(endpoints.record(HOLDER))
    assert got
    assert b"HTTP" not in b"".join(got)


def test_a_bundle_that_is_none_is_refused(tmp_path: Path) -> None:
    """The message names the option and what it should be given."""
    for path in (tmp_path / "missing.pem", tmp_path):
        with pytest.raises(CredentialsUnusable, match="--ca-bundle"):
            trust(path)
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not PEM")
    with pytest.raises(CredentialsUnusable, match="PEM"):
        trust(garbage)
    garbage.write_text("")
    with pytest.raises(CredentialsUnusable, match="PEM"):
        trust(garbage)


def test_certificates_are_always_checked() -> None:
    """There is no context that trusts everybody."""
    context = trust(None)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_what_is_trusted_is_one_source_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle given replaces all others; a variable replaces the system's."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    system = ssl.create_default_context()  # which may read them as they are needed
    assert trust(None).cert_store_stats() == system.cert_store_stats()
    one = tmp_path / "one.pem"
    one.write_bytes(trustme.CA().cert_pem.bytes())
    assert len(trust(one).get_ca_certs()) == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(one))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    assert len(trust(None).get_ca_certs()) == 1
