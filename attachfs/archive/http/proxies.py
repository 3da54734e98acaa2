"""Which proxy a request goes through, by the environment: the one rule for all requests.

`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in small letters first, as curl and
requests read them. An entry of `NO_PROXY` is a host with all below it, with or without a leading
dot and a port, an address, a network in CIDR notation, or `*`; others name nothing.
"""

import base64
import os
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Final, Self
from urllib.parse import unquote

import httpx

from attachfs.archive.http.urls import is_loopback
from attachfs.errors import WrongUrl

PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port; the host as resolvers and certificates know it, without brackets."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx.URL) -> Self:
        """Return the origin of a URL."""
        return cls(url.scheme, url.raw_host.decode("ascii"), url.port or PORTS.get(url.scheme, 0))

    @property
    def address(self) -> str:
        """Host and port, as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy and the value of `Proxy-Authorization` that it is to get, a secret."""

    origin: Origin
    authorization: str = field(default="", repr=False)


def proxy_for(origin: Origin) -> Proxy | None:
    """Return the proxy that the environment names for an origin; loopback never has one.

    Raises `WrongUrl` for a proxy that cannot be used, without its password.
    """
    text = _variable(f"{origin.scheme}_proxy") or _variable("all_proxy")
    if not text or is_loopback(origin.host) or _is_exempt(origin, _variable("no_proxy")):
        return None
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
        proxy = Origin.of(url)
        usable = proxy.scheme in PORTS and bool(proxy.host)
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable:  # what it is may be a secret
        raise WrongUrl(
            f"{origin.scheme.upper()}_PROXY or ALL_PROXY cannot be used; "
            "a proxy should look like http://proxy:3128"
        )
    if not url.userinfo:
        return Proxy(proxy)
    secret = unquote(url.userinfo.decode("latin-1")).encode()
    secret += b"" if b":" in secret else b":"
    return Proxy(proxy, f"Basic {base64.b64encode(secret).decode()}")


def is_any_named() -> bool:
    """Return whether the environment names a proxy for any host."""
    return any(_variable(f"{kind}_proxy") for kind in ("http", "https", "all"))


def _variable(name: str) -> str:
    # HTTP_PROXY alone may be a header of a request to a CGI script.
    if name == "http_proxy" and "REQUEST_METHOD" in os.environ:
        return os.environ.get(name, "")
    return os.environ.get(name) or os.environ.get(name.upper(), "")


def _is_exempt(origin: Origin, no_proxy: str) -> bool:
    entries = [entry.strip().lower() for entry in no_proxy.replace(",", " ").split()]
    return any(entry == "*" or _names(entry, origin) for entry in entries)


def _names(entry: str, origin: Origin) -> bool:
    """Return whether an entry of NO_PROXY names an origin; a malformed one does not."""
    host = origin.host.lower().rstrip(".")
    if entry.startswith("["):
        entry, _, port = entry[1:].partition("]")
        port = port.removeprefix(":")
    elif entry.count(":") == 1:
        entry, _, port = entry.partition(":")
    else:
        port = ""
    if port and port != str(origin.port):
        return False
    try:
        address = ip_address(host)
    except ValueError:
        name = entry.lstrip(".").rstrip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return address in ip_network(entry, strict=False)
    except (ValueError, TypeError):
        return False
