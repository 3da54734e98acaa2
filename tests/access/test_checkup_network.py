"""The way to a server, looked at: certificates, proxies, clocks, silence."""

import email.utils
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme

from attachfs.access.checkup.findings import Outcome
from attachfs.access.checkup.network import Network
from attachfs.access.settings import Settings
from attachfs.archive.credentials import GivenToken
from attachfs.archive.secrets import Secret
from attachfs.demo.launch import ArchiveConfig, RunningArchive
from tests.support.archives import token_of
from tests.support.canned import reply, start_canned
from tests.support.checkups import having, looked_at
from tests.support.estates import Estate
from tests.support.proxy import start_proxy

_SECRET = "hunter2hunter2"


def _bundle(authority: trustme.CA, directory: Path) -> Path:
    path = directory / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.mark.parametrize(
    ("kind", "found", "advice"),
    [
        ("good", "a trusted certificate for 127.0.0.1, for another 99 days", ""),
        ("ending", "that ends in 4 days", "have whoever runs the server renew it"),
        ("over", "certificate has expired (", "unless this machine's clock is wrong"),
        ("early", "certificate is not yet valid (", "unless this machine's clock is wrong"),
        ("misnamed", "IP address mismatch", "it is for archive.example: write such a name"),
        ("unknown", "unable to get local issuer", "give its certificate: --ca-bundle FILE"),
    ],
)
async def test_certificates_are_looked_at(
    nursery: trio.Nursery, tmp_path: Path, kind: str, found: str, advice: str
) -> None:
    """What is wrong, for which names and how long; by a bad one, nothing was asked."""
    authority, now = trustme.CA(), datetime.now(UTC)
    issued = authority.issue_cert(
        "archive.example" if kind == "misnamed" else "127.0.0.1",
        not_before=now + timedelta(days=1 if kind == "early" else -9),
        not_after=now + timedelta(days={"ending": 5, "over": -1}.get(kind, 100)),
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issued.configure_cert(context)
    canned = await start_canned(nursery, lambda _: reply(404), tls=context)
    bundle = None if kind == "unknown" else _bundle(authority, tmp_path)
    findings = await looked_at(canned.url, ca_bundle=bundle)
    finding = findings["TLS"]
    assert found in finding.found
    assert advice in finding.advice
    good = {"good": Outcome.OK, "ending": Outcome.WARNING}
    assert finding.outcome is good.get(kind, Outcome.FAILED)
    assert finding.exit_code == (0 if kind in good else 31)
    assert (canned.requests != []) == (kind in good)


async def test_a_port_of_plain_http_speaks_no_tls(estate: Estate) -> None:
    """Which is told apart from a certificate that is wrong."""
    findings = await looked_at(estate.running.url.replace("http", "https"))
    assert having(findings, Outcome.FAILED) == ["TLS"]
    assert "no TLS is spoken at 127.0.0.1:" in findings["TLS"].found
    assert "plain http" in findings["TLS"].advice


@pytest.mark.usefixtures("quick_retries")
async def test_what_is_silent_is_not_waited_for(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a server that accepts, nor a resolver: each wait has its end."""

    async def hang(*_: object, **__: object) -> None:
        await trio.sleep_forever()

    listeners = await nursery.start(partial(trio.serve_tcp, hang, 0, host="127.0.0.1"))
    address = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    with trio.fail_after(10):
        plain = await looked_at(f"http://{address}", limit_s=0.1)
        encrypted = await looked_at(f"https://{address}", limit_s=0.1)
        monkeypatch.setattr(trio.socket, "getaddrinfo", hang)
        unknown = await looked_at("https://archive.invalid", limit_s=0.1)
    assert "the server did not tell it" in plain["clock"].found
    assert having(plain, Outcome.FAILED) == ["API"]
    assert encrypted["TLS"].found == "no TLS within 0.1 s"
    assert unknown["DNS"].found == "no address is known for archive.invalid: no answer within 0.1 s"


@pytest.mark.parametrize(("ahead_s", "way"), [(7300, "slow"), (-7300, "fast")])
async def test_a_clock_that_is_wrong_is_a_warning(
    nursery: trio.Nursery, ahead_s: int, way: str
) -> None:
    """By how much is known to whoever looks at the token."""
    answer = reply(404, Date=email.utils.formatdate(time.time() + ahead_s, usegmt=True))
    canned = await start_canned(nursery, lambda _: answer)
    network = Network(
        Settings(url=canned.url, credentials=None, cache_dir=Path("/nonexistent")), limit_s=5
    )
    finding = await list(network.checks())[-1].run()
    assert finding.outcome is Outcome.WARNING
    assert finding.found == f"this machine's is 2 hours {way} of the server's"
    assert "timedatectl" in finding.advice
    assert abs(network.ahead_s - ahead_s) < 5


@pytest.mark.parametrize("answer", [reply(404), reply(404, Date="yesterday")])
async def test_a_server_need_not_tell_the_time(nursery: trio.Nursery, answer: bytes) -> None:
    """Then the clock is not judged."""
    canned = await start_canned(nursery, lambda _: answer)
    finding = (await looked_at(canned.url))["clock"]
    assert (finding.outcome, finding.found) == (Outcome.SKIPPED, "the server does not tell it")


async def test_a_proxy_is_used_and_looked_at(
    serve: Callable[[ArchiveConfig], RunningArchive],
    nursery: trio.Nursery,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its password is sent to it and not shown; what it does not let through is told."""
    authority = trustme.CA()
    issued = authority.issue_cert("archive.invalid")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    archive = serve(ArchiveConfig(tls=(certificate, key)))
    proxy = await start_proxy(nursery, {"archive.invalid": int(archive.url.rpartition(":")[2])})
    for variable in ("HTTP_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", f"//user:{_SECRET}@"))
    token, bundle = GivenToken(Secret(token_of(archive))), _bundle(authority, tmp_path)
    through = await looked_at("https://archive.invalid", token, ca_bundle=bundle)
    assert having(through, Outcome.FAILED) == []
    assert through["proxy"].found == f"{proxy.url}, by the environment"
    assert through["TLS"].outcome is Outcome.OK
    assert "Proxy-Authorization: Basic " in proxy.heads[0]
    refused = await looked_at("https://other.invalid", token, ca_bundle=bundle)
    assert having(refused, Outcome.FAILED) == ["TLS"]
    assert "not let us through to other.invalid:443: it answers 502" in refused["TLS"].found
    direct = await looked_at(archive.url, token)
    assert "none for this host" in direct["proxy"].found
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://user:{_SECRET}@127.0.0.1:1080")
    unusable = await looked_at("https://archive.invalid", token)
    assert unusable["proxy"].exit_code == 30
    assert _SECRET not in str((through, refused, direct, unusable))
