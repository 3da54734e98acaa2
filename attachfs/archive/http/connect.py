"""Connect to a server: addresses raced, a proxy's tunnel, TLS; the same for all and the doctor."""

import socket
import ssl
from typing import Final

import httpx
import trio

from attachfs.archive.http.answer import Answer
from attachfs.archive.http.connection import Connection, SocketConnection, TlsConnection
from attachfs.archive.http.proxies import Origin, Proxy

_SUCCESSFUL: Final = range(200, 300)


class TunnelRefused(httpx.ProxyError):
    """A proxy opens no tunnel; `status` is what it answered."""

    def __init__(self, proxy: Proxy, target: Origin, status: int) -> None:
        super().__init__(
            f"the proxy {proxy.origin.address} does not let us through to {target.address}: it "
            f"answers {status}; look at HTTPS_PROXY, its user and password, or name the host in "
            "NO_PROXY"
        )
        self.status = status


async def connect_socket(origin: Origin) -> SocketConnection:
    """Connect to whichever address of a host answers first (RFC 8305); raises `OSError`."""
    stream = await trio.open_tcp_stream(origin.host, origin.port)
    return SocketConnection(socket.socket(fileno=stream.socket.detach()))


async def connect(origin: Origin, proxy: Proxy | None, context: ssl.SSLContext) -> Connection:
    """Return a connection that requests to an origin can be sent on, as far as TLS needs a tunnel.

    Plain http goes to the proxy itself. Raises `OSError`, which includes `ssl.SSLError`, and
    `TunnelRefused`.
    """
    connection: Connection = await connect_socket(origin if proxy is None else proxy.origin)
    try:
        if proxy is not None and proxy.origin.scheme == "https":
            connection = await _encrypted(connection, context, proxy.origin.host)
        if origin.scheme == "https":
            if proxy is not None:
                await _open_tunnel(connection, proxy, origin)
            connection = await _encrypted(connection, context, origin.host)
    except BaseException:
        connection.close()
        raise
    return connection


async def _encrypted(connection: Connection, context: ssl.SSLContext, host: str) -> TlsConnection:
    encrypted = TlsConnection(connection, context, host)
    await encrypted.handshake()
    return encrypted


async def _open_tunnel(connection: Connection, proxy: Proxy, target: Origin) -> None:
    lines = [f"CONNECT {target.address} HTTP/1.1", f"Host: {target.address}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    await connection.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
    answer = Answer(_ByteByByte(connection), memoryview(bytearray(1)))
    await answer.receive_head()
    if answer.status not in _SUCCESSFUL:
        raise TunnelRefused(proxy, target, answer.status)


class _ByteByByte:
    """Receive no byte behind the head of an answer: it is the other server's."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive one byte."""
        return await self._connection.receive_into(buffer[:1])

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""
        await self._connection.send(data)

    def wait_into(self, buffer: memoryview, limit_s: float) -> int:
        """Receive one byte; blocks."""
        return self._connection.wait_into(buffer[:1], limit_s)

    def shut(self) -> None:
        """End the waits of a thread."""
        self._connection.shut()

    def is_quiet(self) -> bool:
        """Return whether nothing has come unasked."""
        return self._connection.is_quiet()

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()
