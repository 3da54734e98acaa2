"""A proxy before an archive that does to requests what networks and servers do to them.

What no fault is ordered for is passed on as it is: connections are kept, bodies are streamed.
"""

import gzip
import json
import re
import ssl
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from math import inf
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import urlsplit

import trio
import trio.testing
import trustme

from tests.support.threads import in_thread

_BLOCK_BYTES = 256 * 1024
_TICK_S = 0.005
_HEAD_END = b"\r\n\r\n"
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError, OSError)


T = TypeVar("T")


class _GoneError(Exception):
    """Say that one of the two sides has gone: nothing is left to do for the other."""


class Wire:
    """One side of the proxy: a stream read by heads, lines and blocks, that can be cut."""

    def __init__(self, socket: trio.SocketStream, stream: trio.abc.Stream | None = None) -> None:
        self._socket = socket
        self._stream = stream or socket
        self._buffer = bytearray()

    async def until(self, mark: bytes) -> bytes:
        """Return all up to and with a mark; nothing where the end comes first."""
        while (at := self._buffer.find(mark)) < 0:
            if not await self._receive():
                return b""
        found = bytes(self._buffer[: at + len(mark)])
        del self._buffer[: at + len(mark)]
        return found

    async def some(self, most_bytes: int) -> bytes:
        """Return bytes as they come; none at the end."""
        if not self._buffer and not await self._receive():
            return b""
        block = bytes(self._buffer[:most_bytes])
        del self._buffer[: len(block)]
        return block

    async def send(self, content: bytes) -> None:
        """Send bytes."""
        await self._stream.send_all(content)

    async def watch(self) -> None:
        """Return once the other end has hung up; what it says until then is kept."""
        with suppress(*_BROKEN):
            while await self._receive():
                pass

    async def close(self) -> None:
        """Close it cleanly: all that was sent arrives, then the end."""
        with suppress(*_BROKEN), trio.move_on_after(1):
            await self._stream.aclose()
        self._socket.socket.close()

    def cut(self) -> None:
        """Close it with a reset."""
        with suppress(OSError):
            self._socket.socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.socket.close()

    async def _receive(self) -> bool:
        received = await self._stream.receive_some(_BLOCK_BYTES)
        self._buffer += received
        return bool(received)


@dataclass(frozen=True)
class Request:
    """A request as it came; `reused` where others came before it on its connection."""

    target: str
    head: bytes
    body: bytes
    reused: bool

    @property
    def method(self) -> str:
        """GET, mostly."""
        return self.head.partition(b" ")[0].decode("latin-1")


@dataclass
class Answer:
    """What the archive answers: its head, and its body as it comes from there."""

    status: str
    headers: dict[str, str]
    _wire: Wire
    _left_bytes: float = inf
    _chunked: bool = False
    _read: bytes | None = None

    @classmethod
    async def of(cls, wire: Wire, request: Request) -> "Answer":
        """Read the head of an answer."""
        first, headers = _parsed(await wire.until(_HEAD_END))
        answer = cls(first.partition(" ")[2], headers, wire)
        if request.method == "HEAD" or answer.status[:3] in ("204", "304"):
            answer._left_bytes = 0
        elif "content-length" in headers:
            answer._left_bytes = int(headers["content-length"])
        answer._chunked = "chunked" in headers.get("transfer-encoding", "")
        return answer

    @property
    def kept(self) -> bool:
        """Whether another request may follow on the connection."""
        framed = self._chunked or self._left_bytes != inf
        return framed and self.headers.get("connection", "").lower() != "close"

    async def some(self) -> bytes:
        """Return some more of the body; nothing at its end."""
        if self._read is not None:
            block, self._read = self._read[:_BLOCK_BYTES], self._read[_BLOCK_BYTES:]
            return block
        if self._chunked:
            return await self._chunk()
        if not self._left_bytes:
            return b""
        block = await self._wire.some(int(min(self._left_bytes, _BLOCK_BYTES)))
        self._left_bytes -= len(block)
        if not block and self._left_bytes != inf:
            raise _GoneError
        return block

    async def whole(self) -> bytes:
        """Read all of the body."""
        blocks: list[bytes] = []
        while block := await self.some():
            blocks.append(block)
        return b"".join(blocks)

    async def length_bytes(self) -> int:
        """Return how long the body is, which is read for that where it was not announced."""
        if self._chunked or self._left_bytes == inf:
            self.replace(await self.whole())
        return int(self.headers.get("content-length", 0))

    def replace(self, body: bytes) -> None:
        """Have another body, rightly framed."""
        self.headers.pop("transfer-encoding", None)
        self.headers["content-length"] = str(len(body))
        self._chunked = False
        self._read = body

    def head(self) -> bytes:
        """Write status and headers."""
        lines = [f"HTTP/1.1 {self.status}", *(f"{k}: {v}" for k, v in self.headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def framed(self, block: bytes) -> bytes:
        """Write a block of the body, the empty one at its end, as the head says."""
        return b"%x\r\n%b\r\n" % (len(block), block) if self._chunked else block

    async def _chunk(self) -> bytes:
        if not self._left_bytes:
            return b""
        size = int((await self._wire.until(b"\r\n")).partition(b";")[0], 16)
        block = b""
        while len(block) < size:
            block += await self._wire.some(size - len(block)) or _gone()
        await self._wire.until(b"\r\n")
        if not size:
            self._left_bytes = 0
        return block


class Exchange:
    """One request on its way to the archive and back; `over` where its connection ends with it.

    `now_s` is the monotonic clock of the client.
    """

    def __init__(
        self,
        request: Request,
        client: Wire,
        ask: Callable[[Request], Awaitable[Answer]],
        hold: Callable[[Wire, float], Awaitable[None]],
        now_s: Callable[[], float],
    ) -> None:
        self.request = request
        self.client = client
        self.over = False
        self.now_s = now_s
        self._ask = ask
        self._hold = hold

    async def ask(self) -> Answer:
        """Have the archive answer."""
        return await self._ask(self.request)

    async def hold(self, seconds: float = inf) -> None:
        """Wait so long, or until the proxy is told to `release`."""
        await self._hold(self.client, seconds)

    async def say(self, status: str, headers: Mapping[str, str], body: bytes) -> None:
        """Answer without the archive."""
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self.client.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def pass_on(self, answer: Answer) -> None:
        """Send all of an answer."""
        await self.client.send(answer.head())
        while block := await answer.some():
            await self.client.send(answer.framed(block))
        await self.client.send(answer.framed(b""))
        self.over = not answer.kept

    async def pass_on_some(self, answer: Answer, most_bytes: int) -> bytes:
        """Send the head and so much of the body; return what was received of it beyond that."""
        await answer.length_bytes()  # no framing in between
        await self.client.send(answer.head())
        while most_bytes > 0 and (block := await answer.some()):
            await self.client.send(block[:most_bytes])
            if len(block) > most_bytes:
                return block[most_bytes:]
            most_bytes -= len(block)
        return b""


@dataclass(frozen=True)
class Fault:
    """What becomes of a request."""

    on_connect: ClassVar[bool] = False

    def applies(self, request: Request) -> bool:
        """Tell whether a request can meet it."""
        del request
        return True

    async def play(self, exchange: Exchange) -> None:
        """Do it."""
        raise NotImplementedError


@dataclass(frozen=True)
class Status(Fault):
    """An answer that is not the archive's."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    async def play(self, exchange: Exchange) -> None:
        await exchange.say(f"{self.code} Whatever", self.headers, self.body)


@dataclass(frozen=True)
class Redirect(Fault):
    """A redirect."""

    location: str
    code: int = 302

    async def play(self, exchange: Exchange) -> None:
        await exchange.say(f"{self.code} Elsewhere", {"location": self.location}, b"")


@dataclass(frozen=True)
class OtherBody(Fault):
    """A success with other bytes."""

    body: bytes
    content_type: str = "application/octet-stream"

    async def play(self, exchange: Exchange) -> None:
        await exchange.say("200 OK", {"content-type": self.content_type}, self.body)


@dataclass(frozen=True)
class HugeHeaders(Fault):
    """A success with headers of so many bytes."""

    size_bytes: int = 4 << 20

    async def play(self, exchange: Exchange) -> None:
        await exchange.client.send(b"HTTP/1.1 200 OK\r\n")
        line = b"x-more: %b\r\n" % (b"x" * 1000)
        for _ in range(self.size_bytes // len(line) + 1):
            await exchange.client.send(line)
        await exchange.client.send(b"content-length: 0\r\n\r\n")


@dataclass(frozen=True)
class ChunkedGarbage(Fault):
    """A success whose chunks are none."""

    async def play(self, exchange: Exchange) -> None:
        await exchange.client.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\0")
        exchange.over = True


@dataclass(frozen=True)
class NotHttp(Fault):
    """An answer in no words of HTTP."""

    async def play(self, exchange: Exchange) -> None:
        await exchange.client.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        exchange.over = True


@dataclass(frozen=True)
class ResetBeforeHeaders(Fault):
    """A reset in place of an answer."""

    async def play(self, exchange: Exchange) -> None:
        exchange.client.cut()
        raise _GoneError


@dataclass(frozen=True)
class ResetInHeaders(Fault):
    """A reset amid the headers."""

    async def play(self, exchange: Exchange) -> None:
        head = (await exchange.ask()).head()
        await exchange.client.send(head[: len(head) // 2])
        exchange.client.cut()
        raise _GoneError


@dataclass(frozen=True)
class ResetInBody(Fault):
    """A reset after a share of the body."""

    share: float = 0.5

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.ask()
        await exchange.pass_on_some(answer, int(self.share * await answer.length_bytes()))
        exchange.client.cut()
        raise _GoneError


@dataclass(frozen=True)
class CutBody(Fault):
    """A connection closed after a share of the body that was announced, less some bytes."""

    share: float = 0.5
    less_bytes: int = 0

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.ask()
        most_bytes = int(self.share * await answer.length_bytes()) - self.less_bytes
        await exchange.pass_on_some(answer, most_bytes)
        exchange.over = True


@dataclass(frozen=True)
class Stall(Fault):
    """A wait before the headers, or after a share of the body, until `release` or for seconds."""

    share: float | None = None
    seconds: float = inf

    async def play(self, exchange: Exchange) -> None:
        if self.share is None:
            await exchange.hold(self.seconds)
            await exchange.pass_on(await exchange.ask())
            return
        answer = await exchange.ask()
        most_bytes = int(self.share * await answer.length_bytes())
        rest = await exchange.pass_on_some(answer, most_bytes)
        await exchange.hold(self.seconds)
        await exchange.client.send(rest)
        while block := await answer.some():
            await exchange.client.send(block)


@dataclass(frozen=True)
class Drip(Fault):
    """A body that comes piece by piece."""

    piece_bytes: int = 1024
    pause_s: float = 0.05

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.ask()
        await answer.length_bytes()
        await exchange.client.send(answer.head())
        while block := await answer.some():
            for begin in range(0, len(block), self.piece_bytes):
                await exchange.client.send(block[begin : begin + self.piece_bytes])
                await exchange.hold(self.pause_s)


@dataclass(frozen=True)
class ShortBody(Fault):
    """A body that lacks its last bytes, rightly framed."""

    less_bytes: int = 1

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.ask()
        size_bytes = max(0, await answer.length_bytes() - self.less_bytes)
        answer.headers["content-length"] = str(size_bytes)
        await exchange.pass_on_some(answer, size_bytes)


@dataclass(frozen=True)
class LongBody(Fault):
    """A body with bytes added, rightly framed, or with no length announced."""

    more: bytes = b"\0"
    announced: bool = True

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.ask()
        size_bytes = await answer.length_bytes()
        answer.headers["content-length"] = str(size_bytes + len(self.more))
        if not self.announced:
            del answer.headers["content-length"]
            answer.headers["connection"] = "close"
        await exchange.client.send(answer.head())
        while block := await answer.some():
            await exchange.client.send(block)
        await exchange.client.send(self.more)
        exchange.over = not self.announced


@dataclass(frozen=True)
class RewriteJson(Fault):
    """An answer whose JSON is changed; bytes in its place are sent as they are."""

    change: Callable[[Any], Any]

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.ask()
        changed = self.change(json.loads(await answer.whole()))
        answer.replace(changed if isinstance(changed, bytes) else json.dumps(changed).encode())
        await exchange.pass_on(answer)


@dataclass(frozen=True)
class WithHeaders(Fault):
    """An answer with other headers."""

    headers: Mapping[str, str]

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.ask()
        answer.headers |= {name.lower(): value for name, value in self.headers.items()}
        await exchange.pass_on(answer)


@dataclass(frozen=True)
class Compressed(Fault):
    """An answer that is compressed, though nobody asked for that."""

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.ask()
        answer.replace(gzip.compress(await answer.whole(), 1))
        answer.headers["content-encoding"] = "gzip"
        await exchange.pass_on(answer)


_ZEROS_BYTES: Final = 16 << 20


@cache
def _zeros() -> tuple[bytes, bytes]:
    """Return the head of a gzip file, and zeros compressed so that they can be repeated."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    head = deflate.flush(zlib.Z_FULL_FLUSH)
    return head, deflate.compress(bytes(_ZEROS_BYTES)) + deflate.flush(zlib.Z_FULL_FLUSH)


@dataclass(frozen=True)
class Bomb(Fault):
    """A success of some MiB that unpacks to some thousand times that."""

    size_bytes: int = 4 << 30
    content_type: str = "application/json"

    async def play(self, exchange: Exchange) -> None:
        headers = {"content-encoding": "gzip", "content-type": self.content_type}
        head, block = _zeros()
        bomb = head + block * (self.size_bytes // _ZEROS_BYTES)  # its end would be a checksum
        await exchange.say("200 OK", headers, bomb)


@dataclass(frozen=True)
class CloseWhenReused(Fault):
    """A kept connection closed just when the next request comes on it."""

    def applies(self, request: Request) -> bool:
        return request.reused

    async def play(self, exchange: Exchange) -> None:
        exchange.over = True


@dataclass(frozen=True)
class Disconnect(Fault):
    """A connection cut as soon as it is made: with TLS, a handshake that fails."""

    on_connect: ClassVar[bool] = True


@dataclass(frozen=True)
class Asked:
    """A request, or with an empty path a connection: what it met."""

    path: str
    fault: Fault | None


@dataclass
class _Order:
    fault: Fault
    pattern: re.Pattern[str]
    times: float


Rule = Callable[[str], Fault | None]


class FaultProxy:
    """A proxy before one archive; every method may be called from any thread."""

    def __init__(
        self,
        upstream_url: str,
        tls: ssl.SSLContext | None,
        ca_file: Path | None,
        now_s: Callable[[], float],
    ) -> None:
        parts = urlsplit(upstream_url)
        self._upstream = (str(parts.hostname), int(parts.port or 80))
        self._tls = tls
        self._now_s = now_s
        self.ca_file = ca_file
        self.port = 0
        self._lock = threading.Lock()
        self._orders: list[_Order] = []
        self._rule: Rule | None = None
        self._asked: list[Asked] = []
        self._connections = 0
        self._under_way = 0
        self._stalled = 0
        self._listening = trio.CancelScope()
        self._gone = trio.Event()
        self._open = trio.Event()
        self._released = trio.Event()

    @property
    def url(self) -> str:
        """Where it listens, always the same."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Asked]:
        """All requests, by path and query, in the order they came."""
        with self._lock:
            return [asked for asked in self._asked if asked.path]

    @property
    def connections(self) -> int:
        """How many connections were made."""
        with self._lock:
            return self._connections

    def idle(self) -> bool:
        """Whether all that was asked is answered or stalled, up to what was sent just now."""
        return bool(self._call(self._idle))

    def add(self, fault: Fault, pattern: str = "", times: float = 1) -> None:
        """Order a fault for the next `times` requests whose path and query match."""
        with self._lock:
            self._orders.append(_Order(fault, re.compile(pattern), times))

    def choose(self, rule: Rule | None) -> None:
        """Have a rule choose for each request, by path and query, for which none is ordered."""
        with self._lock:
            self._rule = rule

    def clear(self) -> None:
        """Order nothing any more, and let go of what is stalled."""
        with self._lock:
            self._orders.clear()
            self._rule = None
        self.release()

    def forget(self) -> None:
        """Forget the requests and connections so far."""
        with self._lock:
            self._asked.clear()
            self._connections = 0

    def met(self, pattern: str = "") -> int:
        """Return how many requests that match met a fault; the path of a connection is empty."""
        with self._lock:
            asked = [asked for asked in self._asked if asked.fault is not None]
        return sum(re.search(pattern, each.path) is not None for each in asked)

    def release(self) -> None:
        """Let all that is stalled go on."""
        self._call(self._release)

    def refuse(self) -> None:
        """Listen no more, and cut every connection."""
        self._call(self._leave)

    def black_hole(self) -> None:
        """Accept connections, and answer nothing on any."""
        self._call(self._close)

    def accept(self) -> None:
        """End what `refuse` and `black_hole` began; what they left unanswered is answered."""
        self._call(self._come_back)

    def _call(self, work: Callable[[], Awaitable[T]]) -> T:
        return trio.from_thread.run(work, trio_token=self._token)

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled; started once it listens."""
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._gone.set()
            await self._come_back()
            task_status.started()
            await trio.sleep_forever()

    async def _idle(self) -> bool:
        await trio.testing.wait_all_tasks_blocked()
        return self._under_way <= self._stalled

    async def _release(self) -> None:
        self._released.set()
        self._released = trio.Event()

    async def _leave(self) -> None:
        self._listening.cancel()
        await self._gone.wait()

    async def _close(self) -> None:
        self._open = trio.Event()

    async def _come_back(self) -> None:
        self._open.set()
        if self._gone.is_set():
            self._gone = trio.Event()
            await self._nursery.start(self._listen)

    async def _listen(self, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope() as self._listening:
            async with trio.open_nursery() as connections:
                listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
                self.port = listeners[0].socket.getsockname()[1]
                task_status.started()
                await trio.serve_listeners(self._connected, listeners, handler_nursery=connections)
        self._gone.set()

    async def _connected(self, socket: trio.SocketStream) -> None:
        with self._lock:
            self._connections += 1
        client = Wire(socket)
        try:
            await self._open.wait()
            if self._fault("", on_connect=True) is not None:
                return
            if self._tls is not None:
                tls = trio.SSLStream(socket, self._tls, server_side=True, https_compatible=True)
                await tls.do_handshake()
                client = Wire(socket, tls)
            async with _Onward(self._upstream).opened() as onward:
                await self._converse(client, onward)
            await client.close()
        except (*_BROKEN, _GoneError):
            pass
        finally:
            client.cut()

    async def _converse(self, client: Wire, onward: "_Onward") -> None:
        """Answer requests until one side ends it."""
        reused = False
        while (request := await _requested(client, reused=reused)) is not None:
            if not self._open.is_set():
                await self._wait(client, self._open)
            hold = partial(self._hold, self._released)  # of now: `met` tells of it at once
            fault = self._fault(request.target, request=request)
            exchange = Exchange(request, client, onward.ask, hold, self._now_s)
            self._under_way += 1
            try:
                if fault is None:
                    await exchange.pass_on(await exchange.ask())
                else:
                    await fault.play(exchange)
            finally:
                self._under_way -= 1
            if exchange.over:
                return
            reused = True

    async def _hold(self, released: trio.Event, client: Wire, seconds: float) -> None:
        self._stalled += 1
        try:
            if seconds == inf:
                await self._wait(client, released)
            end_s = self._now_s() + seconds
            while self._now_s() < end_s and not released.is_set():  # noqa: ASYNC110 - no trio clock
                await trio.sleep(min(seconds, _TICK_S))
        finally:
            self._stalled -= 1

    async def _wait(self, client: Wire, event: trio.Event) -> None:
        """Wait for an event, no longer than the client does."""
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await client.watch()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            await event.wait()
            nursery.cancel_scope.cancel()
        if not event.is_set():
            raise _GoneError

    def _fault(
        self, target: str, *, request: Request | None = None, on_connect: bool = False
    ) -> Fault | None:
        """Return what a request or a connection meets, and take note of it."""
        with self._lock:
            fault = None
            for order in self._orders:
                wanted = order.fault.on_connect == on_connect and order.pattern.search(target)
                if wanted and (request is None or order.fault.applies(request)):
                    fault = order.fault
                    order.times -= 1
                    break
            self._orders = [order for order in self._orders if order.times > 0]
            if fault is None and self._rule is not None and not on_connect:
                fault = self._rule(target)
            if fault is not None or not on_connect:
                self._asked.append(Asked(target, fault))
            return fault


class _Onward:
    """The connection to the archive that belongs to one of a client, made when it is needed."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._wire: Wire | None = None
        self._last: Answer | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["_Onward"]:
        """Close it at the end of the block."""
        try:
            yield self
        finally:
            self._drop()

    async def ask(self, request: Request) -> Answer:
        """Return the answer to a request, asked again where the archive has closed meanwhile."""
        if self._wire is not None:
            # What was not read of the last answer is in the way of the next one.
            if self._last is not None and self._last.kept and not await self._last.some():
                with suppress(*_BROKEN, _GoneError):
                    return await self._asked(self._wire, request)
            self._drop()
        self._wire = Wire(await trio.open_tcp_stream(*self._upstream))
        return await self._asked(self._wire, request)

    async def _asked(self, wire: Wire, request: Request) -> Answer:
        await wire.send(request.head + request.body)
        self._last = await Answer.of(wire, request)
        return self._last

    def _drop(self) -> None:
        if self._wire is not None:
            self._wire.cut()
            self._wire = None


async def _requested(client: Wire, *, reused: bool) -> Request | None:
    head = await client.until(_HEAD_END)
    if not head:
        return None
    first, headers = _parsed(head)
    body = b""
    while len(body) < int(headers.get("content-length", 0)):
        body += await client.some(_BLOCK_BYTES) or _gone()
    return Request(first.split(" ")[1], head, body, reused)


def _parsed(head: bytes) -> tuple[str, dict[str, str]]:
    """Return the first line of a head, and its headers by their names in small letters."""
    if not head:
        raise _GoneError
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first, {name.lower(): value.strip() for name, _, value in pairs}


def _gone() -> bytes:
    raise _GoneError


@contextmanager
def faulty(
    upstream_url: str, *, tls: bool = False, now_s: Callable[[], float] = time.monotonic
) -> Iterator[FaultProxy]:
    """Run a proxy before an archive in a thread of its own; `ca_file` vouches for it with TLS.

    `now_s` is the monotonic clock of its client.
    """
    with tempfile.TemporaryDirectory(prefix="attachfs-proxy-") as directory:
        context = ca_file = None
        if tls:
            context, ca_file = _certified(Path(directory))
        proxy = FaultProxy(upstream_url, context, ca_file, now_s)
        with in_thread(proxy.run, name="fault proxy"):
            yield proxy


def _certified(directory: Path) -> tuple[ssl.SSLContext, Path]:
    authority = trustme.CA()
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context, ca_file
