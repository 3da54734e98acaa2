"""A proxy that forwards plain requests and tunnels others, to wherever its one table says."""

from dataclasses import dataclass, field
from functools import partial

import trio


@dataclass
class Proxy:
    """A running proxy; `asked` has the first line of every request it got."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """What HTTPS_PROXY is set to."""
        return f"http://127.0.0.1:{self.port}"


async def start_proxy(nursery: trio.Nursery, hosts: dict[str, int]) -> Proxy:
    """Start a proxy that resolves `hosts` to ports of this machine, and nothing else."""
    proxy = Proxy()
    listeners = await nursery.start(
        partial(trio.serve_tcp, lambda stream: _serve(stream, proxy, hosts), 0, host="127.0.0.1")
    )
    proxy.port = listeners[0].socket.getsockname()[1]
    return proxy


async def _serve(stream: trio.SocketStream, proxy: Proxy, hosts: dict[str, int]) -> None:
    raw = b""
    while b"\r\n\r\n" not in raw:
        more = await stream.receive_some(65536)
        if not more:
            return
        raw += more
    head, _, rest = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    proxy.asked.append(lines[0])
    proxy.heads.append("\n".join(lines))
    method, target, _ = lines[0].split(" ")
    authority = target if method == "CONNECT" else target.split("/")[2]
    port = hosts.get(authority.partition(":")[0])
    if port is None:
        await stream.send_all(b"HTTP/1.1 502 No Such Host\r\nContent-Length: 0\r\n\r\n")
        return
    async with await trio.open_tcp_stream("127.0.0.1", port) as onward:
        await _forward(stream, onward, lines, rest)


async def _forward(
    stream: trio.SocketStream, onward: trio.SocketStream, lines: list[str], rest: bytes
) -> None:
    method, target, version = lines[0].split(" ")
    if method == "CONNECT":
        await stream.send_all(b"HTTP/1.1 200 Tunnel\r\n\r\n")
        await onward.send_all(rest)
    else:
        lines[0] = f"{method} /{target.split('/', 3)[3]} {version}"
        await onward.send_all("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + rest)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_pump, stream, onward)
        nursery.start_soon(_pump, onward, stream)


async def _pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    try:
        async for block in source:
            await sink.send_all(block)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
