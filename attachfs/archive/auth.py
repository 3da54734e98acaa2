"""Put the token on every request, and renew it before its end and once on a 401."""

from collections.abc import AsyncGenerator

import httpx
import trio

from attachfs.archive.credentials import Credentials
from attachfs.archive.secrets import Secret
from attachfs.errors import Unauthenticated


class BearerAuth(httpx.Auth):
    """Authenticate httpx requests with whatever token the credentials offer.

    One renewal is under way at a time, however many requests wait for it. A cancelled request
    leaves nothing behind.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._renewal = trio.Lock()

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the request with a token; after a 401, once more with another one, if there is."""
        for last in (False, True):
            token = self._credentials.current()
            if token is None:
                async with self._renewal:
                    token = self._credentials.current()
                    if token is None:
                        exchange = self._credentials.exchange()
                        if exchange is None:
                            raise Unauthenticated("there is no token to send")
                        response = yield exchange
                        await response.aread()
                        self._credentials.accept(response)
                        token = self._credentials.current()
            request.headers["Authorization"] = _header(token)
            response = yield request
            if response.status_code != httpx.codes.UNAUTHORIZED or last or token is None:
                return
            if not self._credentials.rejected(token):
                return


def _header(token: Secret | None) -> str:
    if token is None:
        raise Unauthenticated("the server gave a token that is already over")
    return f"Bearer {token.reveal()}"
