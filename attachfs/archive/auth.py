"""Put the token on every request, and renew it before its end and once on a 401."""

import threading
from collections.abc import AsyncGenerator, Generator
from typing import Final

import httpx
import trio

from attachfs.archive.credentials import Credentials
from attachfs.archive.secrets import Secret
from attachfs.errors import Unauthenticated

REMEDY: Final = "attachfs_remedy"
"""What a refused response's extensions hold: what a person can do."""


class BearerAuth(httpx.Auth):
    """Authenticate httpx requests with whatever token the credentials offer.

    Serves one async client and any number of threads. One renewal is under way at a time on
    either side, however many requests wait for it. A cancelled request leaves nothing behind.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._renewal = trio.Lock()
        self._thread_renewal = threading.Lock()

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
                        response = yield self._exchange()
                        await response.aread()
                        self._credentials.accept(response)
                        token = self._credentials.current()
            request.headers["Authorization"] = _header(token)
            response = yield request
            if response.status_code != httpx.codes.UNAUTHORIZED:
                return
            if last or token is None or not self._credentials.rejected(token):
                response.extensions[REMEDY] = self._credentials.remedy
                return

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Do the same for a blocking client."""
        for last in (False, True):
            token = self._credentials.current()
            if token is None:
                with self._thread_renewal:
                    token = self._credentials.current()
                    if token is None:
                        response = yield self._exchange()
                        response.read()
                        self._credentials.accept(response)
                        token = self._credentials.current()
            request.headers["Authorization"] = _header(token)
            response = yield request
            if response.status_code != httpx.codes.UNAUTHORIZED:
                return
            if last or token is None or not self._credentials.rejected(token):
                response.extensions[REMEDY] = self._credentials.remedy
                return

    def _exchange(self) -> httpx.Request:
        exchange = self._credentials.exchange()
        if exchange is None:
            raise Unauthenticated("there is no token to send")
        return exchange


def _header(token: Secret | None) -> str:
    if token is None:
        raise Unauthenticated("the server gave a token that is already over")
    return f"Bearer {token.reveal()}"
