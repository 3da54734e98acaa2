"""The httpx client below every request: trust, proxies, timeouts, limits."""

import os
import ssl
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.request import getproxies

import certifi
import httpx

from attachfs.archive.bulk import BulkClient, BulkTransport
from attachfs.archive.direct import DirectTransport
from attachfs.errors import CredentialsUnusable, WrongUrl
from attachfs.files import require_regular

_CONNECT_TIMEOUT_S: Final = 10.0
# For small answers: 64 `/info` and 64 bodies of read-ahead, and some that need not wait for them.
MAX_CONNECTIONS: Final = 160
_MAX_BULK_CONNECTIONS: Final = 8
_MAX_PORT: Final = 65535
# X509_V_FLAG_NO_CHECK_TIME of x509_vfy.h, which Python has no name for.
_NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)


def base_url(url: str, *, allow_http: bool = False) -> str:
    """Return the URL of an archive without trailing slash and `/archivist`.

    Raises `WrongUrl` for what is no URL, holds credentials or a query, or is plain http to another
    host than this one (unless `allow_http`): a token sent in clear is a token given away.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise WrongUrl(_not_a_url(url)) from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise WrongUrl(_not_a_url(url))
    if parsed.port is not None and not 0 < parsed.port <= _MAX_PORT:
        raise WrongUrl(f"{parsed.port} is no port; it should be one of 1 to {_MAX_PORT}")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise WrongUrl("the URL must be scheme, host and port alone, without user, query or #")
    if parsed.scheme == "http" and not allow_http and not is_loopback(parsed.host):
        raise WrongUrl(
            f"plain http would show the token to everyone between here and {parsed.host}; "
            "use https, or --allow-http if you know that nobody listens"
        )
    path = parsed.path.rstrip("/").removesuffix("/archivist")
    return str(parsed.copy_with(path=path or "/")).rstrip("/")


def _not_a_url(text: str) -> str:
    # What a password or a token may be in is not repeated.
    shown = "this" if set(text) & set("@?#") else repr(text)
    return f"{shown} is not a URL; it should look like https://app.datatrails.ai"


def is_loopback(host: str) -> bool:
    """Tell whether a host of a URL is this machine, by its name or address alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def trust(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return the TLS context that says which certificates are good.

    `ca_bundle` alone, or SSL_CERT_FILE/SSL_CERT_DIR alone, or else the system's authorities and
    certifi's. Raises `CredentialsUnusable` for a bundle that cannot be read.
    """
    return _trusting(ca_bundle, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


def lenient_trust(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return a context of the same authorities that passes over names and dates.

    It is for finding out what is wrong with a certificate: nothing may be sent by it.
    """
    cert_file, cert_dir = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    context = _trusting.__wrapped__(ca_bundle, cert_file, cert_dir)  # not the one that all share
    context.check_hostname = False
    context.verify_flags |= _NO_CHECK_TIME
    return context


# Reading all authorities takes 40 ms, and both clients trust the same.
@lru_cache(maxsize=4)
def _trusting(
    ca_bundle: Path | None, cert_file: str | None, cert_dir: str | None
) -> ssl.SSLContext:
    if ca_bundle is not None:
        try:
            require_regular(ca_bundle, follow=True)
            return ssl.create_default_context(cafile=str(ca_bundle))
        except OSError as error:
            reason = "it is not PEM" if isinstance(error, ssl.SSLError) else error.strerror
            raise CredentialsUnusable(
                f"cannot use {ca_bundle} as --ca-bundle: {reason}; "
                "it should hold certificates in PEM form"
            ) from error
    context = ssl.create_default_context()
    if not cert_file and not cert_dir:
        context.load_verify_locations(certifi.where())
    return context


def async_client(
    url: str,
    *,
    auth: httpx.Auth | None,
    ca_bundle: Path | None = None,
    timeout_s: float = 30.0,
    connections: int = MAX_CONNECTIONS,
) -> httpx.AsyncClient:
    """Return the client for everything small; honours HTTPS_PROXY and NO_PROXY.

    A loopback archive is never asked through a proxy. Redirects are not followed here: the one
    place that does it keeps to the origin. Nothing compressed is asked for: attachments are
    mostly compressed already, and a small answer stays small. Raises `WrongUrl` for a proxy that
    cannot be used, and what `trust` raises.
    """
    networked = not is_loopback(httpx.URL(url).host)
    try:
        context = trust(ca_bundle)
        # Through a proxy httpx's own transport goes.
        proxied = networked and any(getproxies().values())
        transport = None if proxied else DirectTransport(context, connections=connections)
        return httpx.AsyncClient(
            auth=auth,
            transport=transport,
            verify=context,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=proxied,
            **_shared(url, timeout_s),
        )
    except (ValueError, ImportError, httpx.InvalidURL):
        # The cause may quote the proxy's password.
        raise WrongUrl(
            "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or NO_PROXY cannot be used; "
            "a proxy should look like http://proxy:3128"
        ) from None


def blocking_client(
    url: str,
    *,
    auth: httpx.Auth | None,
    ca_bundle: Path | None = None,
    timeout_s: float = 30.0,
    connections: int = _MAX_BULK_CONNECTIONS,
) -> BulkClient:
    """Return the same client for worker threads, which take in bodies by large blocks."""
    transport = BulkTransport(
        url,
        context=trust(ca_bundle),
        direct=is_loopback(httpx.URL(url).host),
        connections=connections,
    )
    return BulkClient(
        transport,
        auth=auth,
        trust_env=False,  # the transport looks at the environment itself
        **_shared(url, timeout_s),
    )


def _shared(url: str, timeout_s: float) -> dict[str, Any]:
    return {
        "base_url": url,
        "headers": {
            "User-Agent": f"attachfs/{version('attachfs')}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        },
        # Sooner than who waits for it gives up: that nobody is there should be told as such.
        "timeout": httpx.Timeout(timeout_s, connect=min(0.8 * timeout_s, _CONNECT_TIMEOUT_S)),
        "follow_redirects": False,
        # None are kept: no request depends on another, and a stranger's break those that follow.
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=())),
    }
