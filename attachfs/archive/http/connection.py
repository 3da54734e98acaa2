"""A connection to a server: a non-blocking socket, with any number of layers of TLS above it."""

import socket
import ssl
from typing import Final, Protocol

import trio

_RECORD_BYTES: Final = 64 * 1024  # four records of TLS are received at a time


class Connection(Protocol):
    """Send and receive bytes; every method but `send` and `receive_into` returns at once.

    Both raise `OSError` where the connection fails. A call that is cancelled may have sent or
    received a part: the connection is of no more use.
    """

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive at least one byte, and return how many; 0 where the server has closed."""

    def is_quiet(self) -> bool:
        """Return whether nothing has come unasked: what has is an end, or an error."""

    def close(self) -> None:
        """Close the socket, without a farewell."""


class SocketConnection:
    """Send and receive by a socket of the standard library, which it takes over.

    trio's own sockets cost three times the Python calls for each wait.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(0)
        self.socket = sock

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""
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
        while True:
            try:
                return self.socket.recv_into(buffer)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.socket)

    def is_quiet(self) -> bool:
        """Return whether nothing has come unasked."""
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

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
                await self._fill()
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
        filled = 0
        while filled < len(buffer):
            try:
                got: int = self.ssl.read(len(buffer) - filled, buffer[filled:])  # type: ignore[assignment] # as it is with a buffer
            except ssl.SSLWantReadError:
                if filled:
                    break
                await self._flush()  # an answer to a change of keys
                await self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                break  # many servers close without a farewell; lengths and digests are checked
            else:
                if not got:
                    break
                filled += got
        return filled

    def is_quiet(self) -> bool:
        """Return whether nothing has come unasked."""
        return not self._incoming.pending and self._below.is_quiet()

    def close(self) -> None:
        """Close the socket."""
        self._below.close()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._below.send(self._outgoing.read())

    async def _fill(self) -> None:
        got = await self._below.receive_into(self._scratch)
        if got:
            self._incoming.write(self._scratch[:got])
        else:
            self._incoming.write_eof()
