"""The way to the host of an archive, with or without a proxy."""

import base64
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote, urlsplit

import httpx
import trio

from attachfs.archive.bulk import proxy_for
from attachfs.archive.transport import is_loopback, trust
from attachfs.errors import ServerUnreachable

_PORTS: Final = {"http": 80, "https": 443}
_MAX_HEAD_BYTES: Final = 64 * 1024
_OK: Final = b"200"


@dataclass(frozen=True, slots=True)
class Hop:
    """Name a host that is connected to; `authorization` is for a proxy, and a secret."""

    scheme: str
    host: str
    port: int
    authorization: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> Self:
        """Return the hop that a URL names, in the form that resolvers and certificates know."""
        parsed = httpx.URL(url if "://" in url else f"http://{url}")
        host = parsed.raw_host.decode("ascii")
        port = parsed.port or _PORTS.get(parsed.scheme, 0)
        user = urlsplit(str(parsed)).username
        secret = f"{unquote(user or '')}:{unquote(parsed.password)}"
        encoded = base64.b64encode(secret.encode()).decode()
        return cls(parsed.scheme, host, port, f"Basic {encoded}" if user else "")

    @property
    def address(self) -> str:
        """The host and port, as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Route:
    """Hold where the archive is, and the proxy on the way."""

    archive: Hop
    proxy: Hop | None

    @classmethod
    def to(cls, url: str) -> Self:
        """Return the way that requests to a URL go, by the environment."""
        proxy = None if is_loopback(httpx.URL(url).host) else proxy_for(url)
        return cls(Hop.of(url), None if proxy is None else Hop.of(proxy))

    @property
    def first(self) -> Hop:
        """What is connected to."""
        return self.proxy or self.archive

    async def connect(self) -> trio.SocketStream:
        """Connect to the proxy, or the archive where there is none; raises `OSError`."""
        return await trio.open_tcp_stream(self.first.host, self.first.port)

    async def encrypted(
        self, context: ssl.SSLContext, *, ca_bundle: Path | None
    ) -> trio.SSLStream[trio.abc.Stream]:
        """Speak TLS with the archive, through the proxy's tunnel; raises what trio raises.

        Raises `ServerUnreachable` where the proxy opens no tunnel.
        """
        stream: trio.abc.Stream = await self.connect()
        try:
            if self.proxy is not None:
                if self.proxy.scheme == "https":
                    stream = trio.SSLStream(
                        stream, trust(ca_bundle), server_hostname=self.proxy.host
                    )
                await _tunnel(stream, self.proxy, self.archive)
            encrypted = trio.SSLStream(
                stream, context, server_hostname=self.archive.host, https_compatible=True
            )
            await encrypted.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return encrypted


async def _tunnel(stream: trio.abc.Stream, proxy: Hop, archive: Hop) -> None:
    lines = [f"CONNECT {archive.address} HTTP/1.1", f"Host: {archive.address}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    await stream.send_all("\r\n".join([*lines, "", ""]).encode("latin-1"))
    head = b""
    while b"\r\n\r\n" not in head and len(head) <= _MAX_HEAD_BYTES:
        some = await stream.receive_some(1)  # what comes behind it is the archive's
        if not some:
            break
        head += some
    status = head.split(b" ", 2)[1:2]
    if status != [_OK]:
        said = status[0].decode("ascii", "replace") if status else "nothing"
        raise ServerUnreachable(
            f"the proxy {proxy.address} does not let us through to {archive.address}: it answers "
            f"{said}; look at HTTPS_PROXY, its user and password, or name the host in NO_PROXY"
        )
