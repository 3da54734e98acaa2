"""The bearer token of each request: renewed before its end, and once after a 401."""

from typing import TYPE_CHECKING, Final

import httpx
import trio

from attachfs.archive.credentials import Credentials
from attachfs.archive.http.httpx_transport import httpx_client
from attachfs.archive.http.pool import Pool
from attachfs.errors import BadReply, Unauthenticated

if TYPE_CHECKING:
    from attachfs.archive.secrets import Secret

_MAX_TOKEN_ANSWER_BYTES: Final = 256 * 1024


class Tokens:
    """Offer whatever token the credentials offer; one exchange is under way at a time.

    A caller that is cancelled leaves the exchange to the next one.
    """

    def __init__(self, credentials: Credentials, pool: Pool, *, timeout_s: float) -> None:
        self._credentials = credentials
        self._http = httpx_client(pool, timeout_s=timeout_s)
        self._exchanging = trio.Lock()
        self._known: tuple[Secret | None, bytes] = (None, b"")

    @property
    def remedy(self) -> str:
        """What a person can do once the server refuses the token."""
        return self._credentials.remedy

    def header(self) -> bytes:
        """Return the line of a head that has the token; empty where one must be got first."""
        token = self._credentials.current()
        if token is None:
            return b""
        if token is not self._known[0]:
            line = f"Authorization: Bearer {token.reveal()}\r\n".encode("latin-1")
            self._known = token, line
        return self._known[1]

    async def renewed(self) -> bytes:
        """Exchange for a token where there still is none, and return its line.

        Raises `Unauthenticated`, what `Credentials.accept` raises, and what httpx raises.
        """
        async with self._exchanging:
            line = self.header()
            if line:
                return line
            request = self._credentials.exchange()
            if request is None:
                raise Unauthenticated("there is no token to send")
            self._credentials.accept(await self._exchanged(request))
        line = self.header()
        if not line:
            raise Unauthenticated("the server gave a token that is already over")
        return line

    def refused(self, line: bytes) -> bool:
        """Return whether, after a 401, another token than that of `line` can be had."""
        token, sent = self._known
        if token is None or line != sent:
            return True  # replaced meanwhile
        return self._credentials.rejected(token)

    async def _exchanged(self, request: httpx.Request) -> httpx.Response:
        response = await self._http.send(request, stream=True)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise BadReply("the token's answer is encoded, which was not asked for")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _MAX_TOKEN_ANSWER_BYTES:
                    raise BadReply("the token's answer has no end")
        finally:
            with trio.CancelScope(shield=True):
                await response.aclose()
        return httpx.Response(
            response.status_code, headers=response.headers, content=bytes(body), request=request
        )
