"""Kept connections, and answers that give theirs back: the one way from a request to the wire."""

import ssl
from math import inf
from types import TracebackType
from typing import Final, NoReturn, Self

import httpx
import trio

from attachfs.archive.http.answer import Answer
from attachfs.archive.http.connect import connect
from attachfs.archive.http.connection import Connection
from attachfs.archive.http.deadline import Deadline
from attachfs.archive.http.proxies import Origin, Proxy
from attachfs.archive.slots import Slots
from attachfs.errors import BadReply

# For small answers: 256 requests at a time, and some that need not wait for them.
MAX_CONNECTIONS: Final = 320
# Servers close idle connections after a minute or so: nginx 75 s, AWS load balancers 60 s.
_IDLE_S: Final = 50.0
_RECEIVE_BYTES: Final = 128 * 1024


class Pool:
    """Send requests on kept connections, at most `connections` at a time; more wait their turn.

    The connection used last is the next one used. Raises what httpx raises. A request that is
    cancelled, or whose answer is not read to its end, closes its connection.
    """

    def __init__(self, context: ssl.SSLContext, *, connections: int = MAX_CONNECTIONS) -> None:
        self._context = context
        self._slots = Slots(connections)
        self._scratch = memoryview(bytearray(_RECEIVE_BYTES))  # to clear one each time took 5 us
        self._idle: dict[Origin, list[tuple[Connection, float]]] = {}

    @property
    def connections(self) -> int:
        """The number of connections, used and idle."""
        return self._slots.used + sum(map(len, self._idle.values()))

    async def send(
        self,
        origin: Origin,
        proxy: Proxy | None,
        request: bytes,
        *,
        deadline: Deadline,
        connect_s: float = inf,
    ) -> "OpenAnswer":
        """Send the bytes of a request; return the answer once its head has come.

        `connect_s` bounds the wait for a connection, `deadline` each later one for bytes: also
        those for the body.
        """
        if not self._slots.take_now():
            with deadline.queued():
                await self._slots.take()
        connection: Connection | None = None
        answer: Answer | None = None
        try:
            connection = self._kept(origin, deadline.begun_s)
            if connection is None:
                with deadline.elsewhere():
                    connection = await self._connected(origin, proxy, connect_s)
            deadline.connection = connection
            receiving = Answer(connection, self._scratch)
            await connection.send(request)
            await receiving.receive_head()
            answer = receiving
        except (OSError, httpx.RemoteProtocolError) as error:
            _fail(error, deadline)
        finally:
            if answer is None:
                deadline.connection = None
                self._give_back(origin, connection, reusable_s=None)
        return OpenAnswer(self, origin, connection, answer, deadline)

    async def prepare(self, origin: Origin, proxy: Proxy | None, *, connect_s: float) -> None:
        """Have a connection ready for the next request; what goes wrong is left to that."""
        if self._idle.get(origin):
            return
        try:
            connection = await self._connected(origin, proxy, connect_s)
        except httpx.HTTPError:
            return
        self._idle.setdefault(origin, []).append((connection, trio.current_time()))

    def close(self) -> None:
        """Close the idle connections."""
        for connections in self._idle.values():
            for connection, _ in connections:
                connection.close()
        self._idle.clear()

    def _give_back(
        self, origin: Origin, connection: Connection | None, *, reusable_s: float | None
    ) -> None:
        """Take a connection back, to be used again if it is reusable, and since when."""
        self._slots.give_back()
        if connection is None:
            return
        if reusable_s is not None:
            self._idle.setdefault(origin, []).append((connection, reusable_s))
        else:
            connection.close()

    def _kept(self, origin: Origin, now_s: float) -> Connection | None:
        """Return an idle connection that nothing has come on: what comes unasked is an end."""
        idle = self._idle.get(origin)
        while idle:
            connection, since_s = idle.pop()
            if now_s - since_s < _IDLE_S and connection.is_quiet():
                return connection
            connection.close()
        return None

    async def _connected(self, origin: Origin, proxy: Proxy | None, connect_s: float) -> Connection:
        with trio.move_on_after(connect_s):
            try:
                return await connect(origin, proxy, self._context)
            except OSError as error:
                raise httpx.ConnectError("no connection") from error
        raise httpx.ConnectTimeout(f"no connection within {connect_s:g} s")


class OpenAnswer:
    """An answer whose head has come; `close`, or the end of a `with` block, must follow.

    `headers` has lower-case names. Its methods raise what httpx raises.
    """

    def __init__(
        self, pool: Pool, origin: Origin, connection: Connection, answer: Answer, deadline: Deadline
    ) -> None:
        self._pool = pool
        self._origin = origin
        self._connection = connection
        self._answer = answer
        self._open = True
        self._waits = False
        self._deadline = deadline
        self.status = answer.status
        self.headers = answer.headers
        if answer.complete:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive some bytes of the body into a buffer and return how many; 0 at its end."""
        self._deadline.arm()
        try:
            got = await self._answer.receive_into(buffer)
        except (OSError, httpx.RemoteProtocolError) as error:
            _fail(error, self._deadline)
        if not got:
            self._end()
        return got

    async def fill(self, buffer: memoryview) -> int:
        """Receive as `receive_into` does, as much as comes at a time; a thread waits for it.

        So it costs the event loop little, however much it is.
        """
        if not self._answer.is_plain:
            return await self.receive_into(buffer)
        self._deadline.arm()  # which ends the thread's wait
        failure: Exception | None = None
        got = 0
        async with trio.open_nursery() as nursery:
            self._waits = True
            nursery.start_soon(self._shut_when_cancelled)
            try:
                got = await trio.to_thread.run_sync(self._answer.fill, buffer)
            except (OSError, httpx.HTTPError, RuntimeError) as error:  # not in a group
                failure = error
            self._waits = False
            nursery.cancel_scope.cancel()
        if isinstance(failure, RuntimeError):  # this process may have no more threads
            return await self.receive_into(buffer)
        if failure is not None:
            _fail(failure, self._deadline)
        return got

    async def _shut_when_cancelled(self) -> None:
        """End the wait of the thread, which trio does not abandon."""
        try:
            await trio.sleep_forever()
        finally:
            if self._waits:
                self._connection.shut()

    async def receive(self) -> bytes:
        """Return some bytes of the body, none at its end."""
        if not self._answer.ready:
            self._deadline.arm()
        try:
            some = await self._answer.receive()
        except (OSError, httpx.RemoteProtocolError) as error:
            _fail(error, self._deadline)
        if self._answer.complete:
            self._end()
        return some

    async def read(self, max_bytes: int, *, subject: str, cut: bool = False) -> bytes:
        """Return the whole body of an answer to `subject`.

        What has more than `max_bytes` raises `BadReply`, or is `cut` off some bytes later.
        """
        first = await self.receive()
        if self._answer.complete and len(first) <= max_bytes:
            return first
        body = bytearray(first)
        while len(body) <= max_bytes:
            some = await self.receive()
            if not some:
                return bytes(body)
            body += some
        if cut:
            return bytes(body)
        raise BadReply(f"{subject}: the answer is larger than {max_bytes} bytes")

    def _end(self) -> None:
        """Close the answer at its end; raises `ReadTimeout` if its connection was shut."""
        self.close()
        if self._deadline.is_shut:
            raise httpx.ReadTimeout("no answer in time")

    def close(self) -> None:
        """Give the connection back, to be used again if the whole answer has come."""
        if self._open:
            self._open = False
            self._deadline.connection = None
            now_s = self._deadline.ended_s = trio.current_time()
            self._pool._give_back(  # noqa: SLF001 - two halves of one thing
                self._origin,
                self._connection,
                reusable_s=now_s if self._answer.reusable else None,
            )


def _fail(error: Exception, deadline: Deadline) -> NoReturn:
    """Raise what to raise where a connection has failed: it may have been shut for its time."""
    if deadline.over:
        raise httpx.ReadTimeout("no answer in time") from error
    if isinstance(error, httpx.HTTPError):
        raise error
    raise httpx.ReadError("the connection failed") from error
