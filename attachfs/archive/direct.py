"""A transport for small answers: HTTP/1.1 on trio's sockets, below httpx's interface.

httpcore's pool looks at every connection for every request, and h11 parses in Python: 1,000
answers, 64 at a time, took 3.5 s of the event loop. Here the connection used last is the next
one used, and llhttp (by httptools) parses.
"""

import select
import ssl
from collections.abc import AsyncIterator
from typing import Final, Self

import httptools
import httpx
import trio

from attachfs.archive.replies import EndlessHeaders

_RECEIVE_BYTES: Final = 64 * 1024
_MAX_HEAD_BYTES: Final = 100 * 1024
# Servers close idle connections after a minute or so: nginx 75 s, AWS load balancers 60 s.
_IDLE_S: Final = 50.0

_Origin = tuple[str, str, int]


class DirectTransport(httpx.AsyncBaseTransport):
    """Send requests on kept connections, at most `connections` at a time; more wait their turn.

    Raises what httpx's own transport raises. A request that is cancelled, or whose answer is not
    read to its end, closes its connection.
    """

    def __init__(self, context: ssl.SSLContext, *, connections: int) -> None:
        self._context = context
        self._slots = trio.Semaphore(connections)
        self._idle: dict[_Origin, list[_Connection]] = {}
        self._used = 0

    @property
    def connections(self) -> int:
        """Count the connections, used and idle."""
        return self._used + sum(map(len, self._idle.values()))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer once its headers are there; its body is read as it comes."""
        head = _head_of(request)
        body = await request.aread()
        timeouts = request.extensions.get("timeout", {})
        await self._take_slot(timeouts.get("pool"))
        self._used += 1
        connection: _Connection | None = None
        try:
            connection = await self._connection(request.url, timeouts.get("connect"))
            await connection.send(head + body, timeouts.get("write"))
            answer = await connection.answer(timeouts.get("read"))
        except BaseException as error:
            if connection is not None:
                connection.close()
            self._give_slot()
            if isinstance(error, httpx.RequestError):
                error.request = request
            raise
        stream = _Body(self, connection, answer, timeouts.get("read"))
        if answer.complete:
            stream.release()
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=stream,
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Close the idle connections."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    def release(self, connection: "_Connection", *, reusable: bool) -> None:
        """Take back a connection; one that is not reusable is closed."""
        self._give_slot()
        if reusable:
            connection.idle_since_s = trio.current_time()
            self._idle.setdefault(connection.origin, []).append(connection)
        else:
            connection.close()

    async def _take_slot(self, timeout_s: float | None) -> None:
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            with trio.move_on_after(_seconds(timeout_s)):
                await self._slots.acquire()
                return
            raise httpx.PoolTimeout("every connection is in use") from None

    def _give_slot(self) -> None:
        self._used -= 1
        self._slots.release()

    async def _connection(self, url: httpx.URL, timeout_s: float | None) -> "_Connection":
        origin = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        idle = self._idle.get(origin, [])
        while idle:
            connection = idle.pop()
            if connection.is_alive():
                return connection
            connection.close()
        with trio.move_on_after(_seconds(timeout_s)):
            return await _connect(origin, self._context)
        raise httpx.ConnectTimeout(f"no connection within {timeout_s} s")


class _Answer:
    """Collect what llhttp finds in an answer: an object of callbacks, named by httptools."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.headers: list[tuple[bytes, bytes]] = []
        self.status = 0
        self.begun = False
        self.complete = False
        self.reusable = False
        self.received_bytes = 0
        self._body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.complete and not self.begun:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if not self.complete:
            self.status = self.parser.get_status_code()
            self.begun = self.status >= httpx.codes.OK

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self.begun:
            # A second message was not asked for.
            self.reusable = not self.complete and self.parser.should_keep_alive()
            self.complete = True
        else:
            self.headers.clear()  # an interim answer (RFC 9110 section 15.2)

    def feed(self, data: bytes) -> None:
        """Parse what was received; no bytes are the end of the connection."""
        self.received_bytes += len(data)
        try:
            if data:
                self.parser.feed_data(data)
            elif self.begun and not self._is_framed():
                self.complete = True
            else:
                raise httpx.RemoteProtocolError("the connection ended before the answer did")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                raise httpx.RemoteProtocolError(f"not HTTP: {error}") from error
            self.reusable = False
        if not self.begun and self.received_bytes > _MAX_HEAD_BYTES:
            raise EndlessHeaders(f"more than {_MAX_HEAD_BYTES} bytes of headers")

    def taken_body(self) -> bytes:
        """Return what has come of the body since the last time."""
        taken, self._body = self._body, []
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _is_framed(self) -> bool:
        framing = (b"content-length", b"transfer-encoding")
        return any(name.lower() in framing for name, _ in self.headers)


class _Connection:
    def __init__(self, origin: _Origin, socket: trio.SocketStream, stream: trio.abc.Stream) -> None:
        self.origin = origin
        self.idle_since_s = 0.0
        self._socket = socket
        self._stream = stream

    def is_alive(self) -> bool:
        """Tell whether a request may be sent; whoever speaks unasked has closed, or is broken."""
        if trio.current_time() - self.idle_since_s > _IDLE_S:
            return False
        poller = select.poll()
        poller.register(self._socket.socket.fileno(), select.POLLIN)
        return not poller.poll(0)

    async def send(self, data: bytes, timeout_s: float | None) -> None:
        try:
            with trio.move_on_after(_seconds(timeout_s)):
                await self._stream.send_all(data)
                return
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpx.WriteError("the connection failed") from error
        raise httpx.WriteTimeout(f"nothing could be sent for {timeout_s} s")

    async def answer(self, timeout_s: float | None) -> _Answer:
        """Receive an answer up to the end of its headers at least."""
        answer = _Answer()
        while not answer.begun:
            await self.receive(answer, timeout_s)
        return answer

    async def receive(self, answer: _Answer, timeout_s: float | None) -> None:
        """Receive some more of an answer."""
        try:
            with trio.move_on_after(_seconds(timeout_s)):
                answer.feed(bytes(await self._stream.receive_some(_RECEIVE_BYTES)))
                return
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpx.ReadError("the connection failed") from error
        raise httpx.ReadTimeout(f"nothing came for {timeout_s} s")

    def close(self) -> None:
        """Close the socket; a farewell of TLS is not worth a wait, as the answer was framed."""
        self._socket.socket.close()


class _Body(httpx.AsyncByteStream, AsyncIterator[bytes]):
    def __init__(
        self,
        transport: DirectTransport,
        connection: _Connection,
        answer: _Answer,
        timeout_s: float | None,
    ) -> None:
        self._transport = transport
        self._connection: _Connection | None = connection
        self._answer = answer
        self._timeout_s = timeout_s

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        # No generator: what is not read to its end would be left to the garbage collector.
        while True:
            chunk = self._answer.taken_body()
            if chunk:
                return chunk
            if self._answer.complete or self._connection is None:
                self.release()
                raise StopAsyncIteration
            await self._connection.receive(self._answer, self._timeout_s)

    async def aclose(self) -> None:
        self.release()

    def release(self) -> None:
        """Give the connection back, to be used again if the whole answer was received."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._transport.release(connection, reusable=self._answer.reusable)


async def _connect(origin: _Origin, context: ssl.SSLContext) -> _Connection:
    scheme, host, port = origin
    try:
        # httpx gives a literal IPv6 address without its brackets.
        socket = await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise httpx.ConnectError("no connection") from error
    if scheme != "https":
        return _Connection(origin, socket, socket)
    stream = trio.SSLStream(socket, context, server_hostname=host, https_compatible=True)
    try:
        await stream.do_handshake()
    except (trio.BrokenResourceError, OSError) as error:
        socket.socket.close()
        raise httpx.ConnectError("no TLS connection") from error
    except BaseException:
        socket.socket.close()
        raise
    return _Connection(origin, socket, stream)


def _head_of(request: httpx.Request) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    head = b"\r\n".join(lines)
    # A line end in a value would be a header of its own (RFC 9112 section 11.1).
    if head.count(b"\r") != len(lines) - 1 or head.count(b"\n") != len(lines) - 1:
        raise httpx.LocalProtocolError("a header holds a line end", request=request)
    return head + b"\r\n\r\n"


def _seconds(timeout_s: float | None) -> float:
    return float("inf") if timeout_s is None else timeout_s
