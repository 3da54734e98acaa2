"""A connection to a server: a non-blocking socket, with any number of layers of TLS above it."""

import select
import socket
import ssl
from contextlib import suppress
from math import inf
from typing import Final, Protocol

import trio

_RECORD_BYTES: Final = 64 * 1024  # four records of TLS are received at a time


class Connection(Protocol):
    """Send and receive bytes; `send`, `receive_into` and `wait_into` wait, the others do not.

    They raise `OSError` where the connection fails. A call that is cancelled may have sent or
    received a part: the connection is of no more use.
    """

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive at least one byte, and return how many; 0 where the server has closed."""

    def wait_into(self, buffer: memoryview, limit_s: float) -> int:
        """Receive as `receive_into` does; blocks, in a thread; raises `TimeoutError` as well."""

    def is_quiet(self) -> bool:
        """Return whether nothing has come unasked: what has is an end, or an error."""

    def shut(self) -> None:
        """End the waits of a thread, which receives no more."""

    def close(self) -> None:
        """Close the socket, without a farewell."""


class SocketConnection:
    """Send and receive by a socket of the standard library, which it takes over.

    trio's own sockets cost three times the Python calls for each wait.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(0)
        self.socket = sock
        self._poller = select.poll()
        self._poller.register(sock, select.POLLIN)
        self._is_answer_due = False

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self._is_answer_due = True  # it cannot have come yet
        view = memoryview(data)
        while True:
            try:
                view = view[self.socket.send(view) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self.socket)
            if not view:
                return

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive at least one byte, and return how many; 0 where the server has closed."""
        if self._is_answer_due:
            self._is_answer_due = False
            await trio.lowlevel.wait_readable(self.socket)
        while True:
            try:
                return self.socket.recv_into(buffer)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.socket)

    def wait_into(self, buffer: memoryview, limit_s: float) -> int:
        """Receive at least one byte, and return how many; blocks."""
        while True:
            try:
                return self.socket.recv_into(buffer)
            except BlockingIOError:
                if not self._poller.poll(None if limit_s == inf else limit_s * 1e3):
                    raise TimeoutError from None

    def shut(self) -> None:
        """End the waits of a thread."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def is_quiet(self) -> bool:
        """Return whether nothing has come unasked."""
        return not self._poller.poll(0)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class TlsConnection:
    """Encrypt what another connection carries.

    trio's SSLStream hands out one record of 16 KiB at a time, each through the event loop: here a
    buffer is filled with all records that have come.
    """

    def __init__(self, below: Connection, context: ssl.SSLContext, host: str) -> None:
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._scratch = memoryview(bytearray(_RECORD_BYTES))
        self.ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def handshake(self) -> None:
        """Agree on keys and check the certificate; raises `ssl.SSLError` and `OSError`."""
        while True:
            try:
                self.ssl.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                self._take(await self._below.receive_into(self._scratch))
            except ssl.SSLError:
                await self._flush()  # the server is told why
                raise
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self.ssl.write(data)
        await self._flush()

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive at least one byte, and return how many; 0 where the server has closed."""
        while (got := self._decrypt(buffer)) is None:
            await self._flush()  # an answer to a change of keys
            self._take(await self._below.receive_into(self._scratch))
        return got

    def wait_into(self, buffer: memoryview, limit_s: float) -> int:
        """Receive at least one byte, and return how many; blocks."""
        while (got := self._decrypt(buffer)) is None:
            self._take(self._below.wait_into(self._scratch, limit_s))
        return got

    def _decrypt(self, buffer: memoryview) -> int | None:
        """Decrypt what has come into a buffer; None where more has to come."""
        filled = 0
        while filled < len(buffer):
            try:
                got: int = self.ssl.read(len(buffer) - filled, buffer[filled:])  # type: ignore[assignment] # as it is with a buffer
            except ssl.SSLWantReadError:
                return filled or None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                break  # many servers close without a farewell; lengths and digests are checked
            if not got:
                break
            filled += got
        return filled

    def is_quiet(self) -> bool:
        """Return whether nothing has come unasked."""
        return not self._incoming.pending and self._below.is_quiet()

    def shut(self) -> None:
        """End the waits of a thread."""
        self._below.shut()

    def close(self) -> None:
        """Close the socket."""
        self._below.close()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._below.send(self._outgoing.read())

    def _take(self, got: int) -> None:
        """Take in what has come into the scratch buffer."""
        if got:
            self._incoming.write(self._scratch[:got])
        else:
            self._incoming.write_eof()
