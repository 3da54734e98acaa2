"""The way to the server: proxy, name, connection, certificate, and what time it is there."""

import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import trio

from attachfs.access.checkup.findings import Check, Finding, failed, ok, skipped, warning
from attachfs.access.settings import Settings
from attachfs.archive import endpoints
from attachfs.archive.clock import http_date_s
from attachfs.archive.faults import from_transport, innermost
from attachfs.archive.http.connect import TunnelRefused, connect, connect_socket
from attachfs.archive.http.connection import TlsConnection
from attachfs.archive.http.httpx_transport import httpx_client
from attachfs.archive.http.pool import Pool
from attachfs.archive.http.proxies import Origin, is_any_named, proxy_for
from attachfs.archive.http.trust import lenient_trust, trust
from attachfs.errors import ServerUnreachable
from attachfs.wording import rough_duration

_RENEW_S: Final = 14 * 86400
_OFF_S: Final = 30.0
# What OpenSSL finds wrong with a certificate (x509_vfy.h).
_NOT_YET, _OVER, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64
_DATES: Final = frozenset({_NOT_YET, _OVER})
_NAMES: Final = frozenset({_OTHER_NAME, _OTHER_ADDRESS})


class Network:
    """Check the way to the server of an archive; each wait ends after `limit_s`.

    `ahead_s` is by how much the server's clock is ahead of ours, once it is known.
    """

    def __init__(self, settings: Settings, *, limit_s: float) -> None:
        self._settings = settings
        self._limit_s = limit_s
        self.ahead_s = 0.0

    def checks(self) -> Iterator[Check]:
        """Yield the checks in the order in which they depend on one another."""
        yield Check("authorities", self._authorities, after=("url",))
        yield Check("proxy", self._proxy, after=("url", "authorities"))
        yield Check("DNS", self._name, after=("proxy",))
        yield Check("connection", self._connection, after=("DNS",))
        yield Check("TLS", self._certificate, after=("connection",))
        yield Check("clock", self._clock, after=("TLS",))

    async def _authorities(self) -> Finding:
        trust(self._settings.ca_bundle)
        if self._settings.ca_bundle is not None:
            return ok(f"those in {self._settings.ca_bundle} are trusted, and no others")
        return ok("the system's are trusted")

    async def _proxy(self) -> Finding:
        proxy = proxy_for(self._origin)
        if proxy is not None:
            return ok(f"{proxy.origin}, by the environment")
        if is_any_named():
            return ok("none for this host, although the environment has one for others")
        return ok("none")

    async def _name(self) -> Finding:
        hop = self._hop()
        try:
            with trio.fail_after(self._limit_s):
                # In a thread, which is left alone where it takes too long.
                found = await trio.socket.getaddrinfo(hop.host, hop.port, type=socket.SOCK_STREAM)
        except trio.TooSlowError:
            reason = f"no answer within {self._limit_s:g} s"
        except OSError as error:
            reason = error.strerror or type(error).__name__
        else:
            addresses = dict.fromkeys(str(address[4][0]) for address in found)
            if hop.host in addresses:
                return ok(f"{hop.host} is an address")
            return ok(f"{hop.host} is {', '.join(addresses)}")
        return failed(
            ServerUnreachable(f"no address is known for {hop.host}: {reason}"),
            f"check {self._named()}, and what this machine asks: getent hosts {hop.host}; "
            "resolvectl status, or /etc/resolv.conf",
        )

    async def _connection(self) -> Finding:
        hop = self._hop()
        begun_s = trio.current_time()
        try:
            with trio.fail_after(self._limit_s):
                connection = await connect_socket(hop)
        except trio.TooSlowError:
            return self._unconnected(f"nothing within {self._limit_s:g} s")
        except OSError as error:
            cause = innermost(error)
            text = cause.strerror if isinstance(cause, OSError) else None
            return self._unconnected(text or type(cause).__name__)
        took_s = trio.current_time() - begun_s
        peer = connection.socket.getpeername()[0]
        connection.close()
        return ok(f"{peer} port {hop.port} answers within {took_s * 1000:.0f} ms")

    def _unconnected(self, reason: str) -> Finding:
        advice = f"check {self._named()}, whether the server runs, and what firewalls let pass"
        if proxy_for(self._origin) is None:
            advice += "; where only a proxy gets out, name it in HTTPS_PROXY"
        return failed(
            ServerUnreachable(f"cannot connect to {self._hop().address}: {reason}"), advice
        )

    @property
    def _origin(self) -> Origin:
        return Origin.of(httpx.URL(self._settings.url))

    def _hop(self) -> Origin:
        """Return what is connected to: a proxy, or the server."""
        proxy = proxy_for(self._origin)
        return self._origin if proxy is None else proxy.origin

    def _named(self) -> str:
        return "--url" if proxy_for(self._origin) is None else "HTTPS_PROXY"

    async def _certificate(self) -> Finding:
        host = self._origin.host
        if self._origin.scheme != "https":
            return skipped("the URL is one of plain http")
        try:
            certificate, version = await self._shaken(trust(self._settings.ca_bundle))
        except trio.TooSlowError:
            return failed(
                ServerUnreachable(f"no TLS within {self._limit_s:g} s"),
                "check the port in --url, and what firewalls let pass",
            )
        except TunnelRefused as error:
            raise ServerUnreachable(str(error)) from error
        except (httpx.HTTPError, OSError) as error:
            return await self._untrusted(innermost(error))
        left_s = ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()
        found = f"{version}, a trusted certificate for {host}"
        if left_s < _RENEW_S:
            return warning(
                f"{found} that ends in {rough_duration(left_s)}",
                "have whoever runs the server renew it",
            )
        return ok(f"{found}, for another {rough_duration(left_s)}")

    async def _shaken(self, context: ssl.SSLContext) -> tuple[dict[str, Any], str]:
        """Return the certificate, which is trusted, and the version of TLS."""
        with trio.fail_after(self._limit_s):
            connection = await connect(self._origin, proxy_for(self._origin), context)
        assert isinstance(connection, TlsConnection)  # noqa: S101 - the scheme is https
        connection.close()
        return connection.ssl.getpeercert() or {}, str(connection.ssl.version())

    async def _untrusted(self, cause: BaseException) -> Finding:
        host = self._origin.host
        if not isinstance(cause, ssl.SSLCertVerificationError):
            reason = cause.reason if isinstance(cause, ssl.SSLError) else type(cause).__name__
            return failed(
                ServerUnreachable(f"no TLS is spoken at {self._origin.address}: {reason}"),
                "check the port in --url, and whether it is one of plain http",
            )
        found = f"the certificate of {host} is not trusted: {cause.verify_message.rstrip('.')}"
        if cause.verify_code in _NAMES:
            names = await self._of_certificate("subjectAltName")
            shown = ", ".join(str(name) for _, name in names or ()) or "other names"
            advice = f"it is for {shown}: write such a name in --url"
        elif cause.verify_code in _DATES:
            field = "notAfter" if cause.verify_code == _OVER else "notBefore"
            date = await self._of_certificate(field)
            found += f" ({date})" if date else ""
            advice = "have whoever runs the server renew it, unless this machine's clock is wrong"
        else:
            advice = "where the authority is a private one, give its certificate: --ca-bundle FILE"
        return failed(ServerUnreachable(found), advice)

    async def _of_certificate(self, field: str) -> Any:
        """Return what a certificate says that is right but for its names and dates."""
        try:
            certificate, _ = await self._shaken(lenient_trust(self._settings.ca_bundle))
        except (trio.TooSlowError, httpx.HTTPError, OSError):
            return None
        return certificate.get(field)

    async def _clock(self) -> Finding:
        path = endpoints.public_probe().path  # anybody may ask, and whatever comes has a date
        url = self._settings.url
        pool = Pool(trust(self._settings.ca_bundle))
        try:
            async with (
                httpx_client(pool, timeout_s=self._limit_s) as http,
                http.stream("GET", f"{url}{path}") as response,
            ):
                date = response.headers.get("date")
        except httpx.HTTPError as error:
            return skipped(f"the server did not tell it: {from_transport(error, subject=path)}")
        finally:
            pool.close()
        server_s = http_date_s(date) if date else None
        if server_s is None:
            return skipped("the server does not tell it")
        # A Date has no fractions: on average, half a second has passed since.
        ahead_s = server_s + 0.5 - time.time()
        if abs(ahead_s) < _OFF_S:
            return ok("as the server's, within seconds")
        self.ahead_s = ahead_s
        way = "slow" if ahead_s > 0 else "fast"
        return warning(
            f"this machine's is {rough_duration(abs(ahead_s))} {way} of the server's",
            "set it: timedatectl set-ntp true; certificates and tokens are judged by it",
        )
