"""An answer as it is received: its head by llhttp, its body by whatever frames it."""

import time
from functools import lru_cache
from math import inf
from typing import Final

import httptools
import httpx

from attachfs.archive.http.connection import Connection

_MAX_HEAD_BYTES: Final = 100 * 1024
_FIRST_FINAL_STATUS: Final = 200
# After so long without a byte, what has come is not waited with for more.
_LULL_S: Final = 0.005
_LONGEST_FILL_S: Final = 0.2  # also where it comes without a lull
_MAX_NAMES: Final = 64


@lru_cache(_MAX_NAMES)
def _lower_case(name: bytes) -> str:
    """Return the name of a header; all answers of a server have the same ones."""
    return name.decode("latin-1").lower()


class EndlessHeaders(httpx.RemoteProtocolError):
    """An answer has more headers than any server needs: not an accident of the connection."""


class Answer:
    """Receive one answer from a connection.

    `headers` has lower-case names; the last of several of one name counts. Raises what httpx
    raises, `OSError` where the connection fails, and `EndlessHeaders`.
    """

    def __init__(self, connection: Connection, scratch: memoryview) -> None:
        """Take a buffer, which answers may share: it is used before anybody else gets to run."""
        self._connection = connection
        self._scratch = scratch
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._barren_bytes = 0
        self._left_bytes: int | None = None
        self._begun = False
        self.complete = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self._keep_alive = False

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on the connection."""
        return self.complete and self._keep_alive

    @property
    def ready(self) -> bool:
        """Whether some bytes of the body, or its end, have come."""
        return self.complete or bool(self._parts)

    async def receive_head(self) -> None:
        """Receive up to the end of the headers, interim answers passed over."""
        while not self._begun:
            got = await self._connection.receive_into(self._scratch)
            self._feed(self._scratch[:got])
        if not self.complete and "transfer-encoding" not in self.headers:
            length = self.headers.get("content-length")
            if length is not None:  # llhttp lets digits pass alone
                self._left_bytes = int(length) - sum(map(len, self._parts))

    async def receive(self) -> bytes:
        """Return some bytes of the body, none at its end."""
        while not self._parts and not self.complete:
            got = await self._receive_some(self._scratch)
            if got:
                return bytes(self._scratch[:got])
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        return body

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive some bytes of the body into a buffer and return how many; 0 at its end."""
        while True:
            if self._parts:
                part = self._parts.pop(0)
                fits = min(len(part), len(buffer))
                buffer[:fits] = part[:fits]
                if fits < len(part):
                    self._parts.insert(0, part[fits:])
                return fits
            if self.complete:
                return 0
            got = await self._receive_some(buffer)
            if got:
                return got

    @property
    def is_plain(self) -> bool:
        """Whether what is left of the body needs no parsing: its length is known."""
        return self._left_bytes is not None and not self._parts and not self.complete

    def fill(self, buffer: memoryview) -> int:
        """Receive a plain body into a buffer, as long as it comes; return how much; blocks."""
        assert self._left_bytes is not None  # noqa: S101 - it is plain
        most = min(len(buffer), self._left_bytes)
        filled, until_s = 0, time.monotonic() + _LONGEST_FILL_S
        while filled < most and (not filled or time.monotonic() < until_s):
            try:
                limit_s = _LULL_S if filled else inf
                got = self._connection.wait_into(buffer[filled:most], limit_s)
            except TimeoutError:
                break
            if not got:
                raise httpx.RemoteProtocolError("the connection ended before the answer did")
            filled += got
            self._left_bytes -= got
        self.complete = self._left_bytes == 0
        return filled

    async def _receive_some(self, buffer: memoryview) -> int:
        """Receive into a buffer where nothing has to be parsed, else into `_parts` (returns 0)."""
        if self._left_bytes is not None:
            got = await self._connection.receive_into(buffer[: self._left_bytes])
            if not got:
                raise httpx.RemoteProtocolError("the connection ended before the answer did")
            self._left_bytes -= got
            self.complete = self._left_bytes == 0
            return got
        self._feed(buffer[: await self._connection.receive_into(buffer)])
        return 0

    def _feed(self, data: memoryview) -> None:
        try:
            if data:
                self._parser.feed_data(data)
            elif self._begun and not {"content-length", "transfer-encoding"} & self.headers.keys():
                self.complete = True
            else:
                raise httpx.RemoteProtocolError("the connection ended before the answer did")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keep_alive = False
            if not self.complete:
                raise httpx.RemoteProtocolError(f"not HTTP: {error}") from error
        # Headers, interim answers, chunk extensions and trailers: bytes that bring nothing.
        self._barren_bytes = 0 if self._parts else self._barren_bytes + len(data)
        if not self.complete and self._barren_bytes > _MAX_HEAD_BYTES:
            raise EndlessHeaders(f"more than {_MAX_HEAD_BYTES} bytes of headers")

    # What llhttp calls, by the names that httptools gives.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one behind the body is not looked at."""
        if not self._begun:
            self.headers[_lower_case(name)] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """Take the status; one below 200 announces another answer (RFC 9110 section 15.2)."""
        if self._begun:
            self._keep_alive = False  # a second answer was not asked for
            return
        self.status = self._parser.get_status_code()
        self._begun = self.status >= _FIRST_FINAL_STATUS
        self._keep_alive = self._begun and self._parser.should_keep_alive()
        if not self._begun:
            self.headers.clear()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if not self.complete:
            self._parts.append(body)

    def on_message_begin(self) -> None:
        """Notice what follows an answer that is complete, also where it is half an answer."""
        if self.complete:
            self._keep_alive = False

    def on_message_complete(self) -> None:
        """End the body."""
        self.complete = self._begun
