"""The URL of an archive, checked once."""

from ipaddress import ip_address
from typing import Final

import httpx

from attachfs.errors import WrongUrl

_MAX_PORT: Final = 65535


def base_url(url: str, *, allow_http: bool = False) -> str:
    """Return the URL of an archive without trailing slash and `/archivist`.

    Raises `WrongUrl` for what is not a URL, holds credentials or a query, or is plain http to
    another host than this one (unless `allow_http`): a token sent in clear is a token given away.
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


def is_loopback(host: str) -> bool:
    """Return whether a host of a URL is this machine, by its name or address alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _not_a_url(text: str) -> str:
    # What a password or a token may be in is not repeated.
    shown = "this" if set(text) & set("@?#") else repr(text)
    return f"{shown} is not a URL; it should look like https://app.datatrails.ai"
