"""httpx above the pool: for the exchange of a token, and what is not on the way of a read."""

from collections.abc import AsyncIterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from math import inf
from typing import Final, Self

import httpx

from attachfs.archive.http.deadline import Deadline
from attachfs.archive.http.pool import OpenAnswer, Pool
from attachfs.archive.http.proxies import Origin, proxy_for
from attachfs.archive.http.request import COMMON_HEADERS, head_of

_CONNECT_S: Final = 10.0


class PoolTransport(httpx.AsyncBaseTransport):
    """Send httpx's requests through a pool, which its user closes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer once its head has come; its body is read as it comes."""
        timeouts = request.extensions.get("timeout", {})
        origin = Origin.of(request.url)
        proxy = proxy_for(origin)
        head = head_of(
            origin,
            proxy,
            request.url.raw_path,
            request.headers.raw,
            method=request.method.encode(),
        )
        body = await request.aread()
        patience_s = timeouts.get("read") or inf
        with Deadline(patience_s) as deadline:
            answer = await self._pool.send(
                origin,
                proxy,
                head + body,
                deadline=deadline,
                connect_s=timeouts.get("connect") or inf,
            )
            headers = [
                (n.encode("latin-1"), v.encode("latin-1")) for n, v in answer.headers.items()
            ]
        return httpx.Response(answer.status, headers=headers, stream=_Body(answer, deadline))


class _Body(httpx.AsyncByteStream, AsyncIterator[bytes]):
    def __init__(self, answer: OpenAnswer, deadline: Deadline) -> None:
        self._answer = answer
        self._deadline = deadline

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        with self._deadline:
            some = await self._answer.receive()
        if not some:
            raise StopAsyncIteration
        return some

    async def aclose(self) -> None:
        self._answer.close()


def httpx_client(pool: Pool, *, timeout_s: float) -> httpx.AsyncClient:
    """Return a client that keeps no cookies, follows no redirect and asks for nothing encoded."""
    return httpx.AsyncClient(
        transport=PoolTransport(pool),
        trust_env=False,
        follow_redirects=False,
        headers=dict(COMMON_HEADERS),
        timeout=httpx.Timeout(timeout_s, connect=min(0.8 * timeout_s, _CONNECT_S)),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )
