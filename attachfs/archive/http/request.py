"""The bytes of a request."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Final

import httpx

from attachfs.archive.http.proxies import PORTS, Origin, Proxy

COMMON_HEADERS: Final = (
    ("User-Agent", f"attachfs/{version('attachfs')}"),
    ("Accept", "*/*"),
    # Attachments are mostly compressed already, and their bytes must be those of the evidence.
    ("Accept-Encoding", "identity"),
)


def head_of(
    origin: Origin,
    proxy: Proxy | None,
    target: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    method: bytes = b"GET",
) -> bytes:
    """Return the head of a request; raises `httpx.LocalProtocolError` where it would be two.

    A proxy is sent plain http itself, with the server in its target (RFC 9112 section 3.2.2).
    """
    own = []
    if proxy is not None and origin.scheme == "http":
        target = f"http://{host_of(origin)}".encode() + target
        if proxy.authorization:
            own.append((b"Proxy-Authorization", proxy.authorization.encode("latin-1")))
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    lines += [b"%b: %b" % header for header in (*own, *headers)]
    head = b"\r\n".join(lines)
    # A line end in a value would be a header of its own (RFC 9112 section 11.1).
    if head.count(b"\r") != len(lines) - 1 or head.count(b"\n") != len(lines) - 1:
        raise httpx.LocalProtocolError("a header holds a line end")
    return head + b"\r\n\r\n"


def host_of(origin: Origin) -> str:
    """Return the value of `Host`: without the port where that is the scheme's own."""
    if origin.port == PORTS[origin.scheme]:
        return origin.address.rpartition(":")[0]
    return origin.address
