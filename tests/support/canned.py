"""A raw TCP server that answers with given bytes: for answers no honest server would give."""

import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

Part = bytes | trio.Event
"""What an answer consists of: bytes to send, and events to wait for in between."""


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


Script = Callable[[Asked], bytes | Sequence[Part]]


@dataclass
class Canned:
    """A running server; `requests` has all that came, in order."""

    port: int
    scheme: str = "http"
    requests: list[Asked] = field(default_factory=list)
    connections: int = 0
    hung_up: trio.Event = field(default_factory=trio.Event)
    """Set when a client has gone before its answer was complete."""

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{self.scheme}://127.0.0.1:{self.port}"


def reply(
    status: int = 200,
    body: bytes | Mapping[str, Any] | Sequence[Any] = b"",
    *,
    length: int | None = None,
    **headers: str,
) -> bytes:
    """Write a response that ends with its connection; underscores in header names are hyphens.

    `length` announces another length than the body's; -1 announces none.
    """
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", "Connection: close"]
    if length != -1:
        lines.append(f"Content-Length: {len(content) if length is None else length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def serve_canned(
    script: Script,
    *,
    tls: ssl.SSLContext | None = None,
    task_status: trio.TaskStatus[Canned] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer every request with what `script` says, each on a connection of its own."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    canned = Canned(port, "http" if tls is None else "https")

    async def handler(stream: trio.SocketStream) -> None:
        canned.connections += 1
        encrypted: trio.abc.Stream = stream
        if tls is not None:
            encrypted = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
        try:
            async with encrypted:
                await _answer(encrypted, canned, script)
        except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError):
            canned.hung_up.set()

    await trio.serve_listeners(handler, listeners, task_status=_Started(task_status, canned))


class _Started(trio.TaskStatus[Any]):
    """Tell of the server where trio would tell of its listeners."""

    def __init__(self, status: trio.TaskStatus[Canned], canned: Canned) -> None:
        self._status, self._canned = status, canned

    def started(self, value: Any = None) -> None:
        """Pass on the server."""
        del value
        self._status.started(self._canned)


async def _answer(stream: trio.abc.Stream, canned: Canned, script: Script) -> None:
    asked = await _asked(stream)
    if asked is None:
        return
    canned.requests.append(asked)
    answer = script(asked)
    for part in [answer] if isinstance(answer, bytes) else answer:
        if isinstance(part, bytes):
            await stream.send_all(part)
        else:
            await _wait_or_hang_up(stream, canned, part)


async def _wait_or_hang_up(stream: trio.abc.Stream, canned: Canned, event: trio.Event) -> None:
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            try:
                gone = not await stream.receive_some()
            except trio.BrokenResourceError:
                gone = True
            if gone:
                canned.hung_up.set()
                nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        await event.wait()
        nursery.cancel_scope.cancel()


async def _asked(stream: trio.abc.Stream) -> Asked | None:
    raw = b""
    while b"\r\n\r\n" not in raw:
        more = await stream.receive_some(65536)
        if not more:
            return None
        raw += more
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    while len(body) < int(headers.get("content-length", 0)):
        body += await stream.receive_some(65536)
    return Asked(method, target, headers, bytes(body))


async def start_canned(
    nursery: trio.Nursery, script: Script, *, tls: ssl.SSLContext | None = None
) -> Canned:
    """Start a server in a nursery, to end with it."""
    canned: Canned = await nursery.start(partial(serve_canned, script, tls=tls))
    return canned
