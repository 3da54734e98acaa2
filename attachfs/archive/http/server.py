"""One server as all requests see it: where it is, what it is sent, what its answers mean."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import httpx

from attachfs.archive import faults
from attachfs.archive.clock import ServerClock
from attachfs.archive.credentials import Credentials
from attachfs.archive.endpoints import Query, is_public
from attachfs.archive.http.deadline import Deadline
from attachfs.archive.http.pool import OpenAnswer, Pool
from attachfs.archive.http.proxies import Origin, proxy_for
from attachfs.archive.http.request import COMMON_HEADERS, head_of, host_of
from attachfs.archive.http.tokens import Tokens
from attachfs.archive.traffic import Traffic
from attachfs.errors import AttachfsError, BadReply

_MAX_REDIRECTS: Final = 5
_MAX_ERROR_BYTES: Final = 64 * 1024  # of an error's body; the service's have some hundred bytes
_CONNECT_S: Final = 10.0
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TARGET: Final = re.compile(r"/[!-~]*", re.ASCII)
_OK, _PARTIAL, _UNAUTHORIZED = 200, 206, 401


class Server:
    """Ask the server at a base URL.

    Redirects are followed within its origin alone, because the token goes with them. Raises errors
    of `attachfs.errors` alone; a call that is cancelled closes its connection.
    """

    def __init__(
        self,
        url: str,
        *,
        credentials: Credentials | None,
        pool: Pool,
        timeout_s: float,
    ) -> None:
        """Take the URL as `base_url` returns it; raises `WrongUrl` for a proxy of no use."""
        parsed = httpx.URL(url)
        self.url = url
        self.traffic = Traffic()
        self.clock = ServerClock()
        self.pool = pool
        self._base = parsed
        self._prefix = parsed.raw_path.decode("ascii").rstrip("/")
        self.origin = Origin.of(parsed)
        self.proxy = proxy_for(self.origin)
        self._tokens = (
            None if credentials is None else Tokens(credentials, self.pool, timeout_s=timeout_s)
        )
        # Sooner than the caller gives up: that the server is away should be reported as such.
        self.connect_s = min(0.8 * timeout_s, _CONNECT_S)
        headers = [("Host", host_of(self.origin)), *COMMON_HEADERS]
        raw = [(name.encode(), value.encode()) for name, value in headers]
        whole = head_of(self.origin, self.proxy, b"/", raw)
        self._common = whole.partition(b"\r\n")[2][:-2]  # the same for all requests

    async def prepare(self) -> None:
        """Have a connection ready for the next request; raises nothing."""
        await self.pool.prepare(self.origin, self.proxy, connect_s=self.connect_s)

    def close(self) -> None:
        """Close the idle connections."""
        self.pool.close()

    async def get(
        self,
        path: str,
        query: Query = (),
        *,
        deadline: Deadline,
        connect_s: float | None = None,
        offset: int = 0,
    ) -> OpenAnswer:
        """Return the open answer to a GET, once its status and its encoding are as they should be.

        `deadline` bounds the waits for bytes. With an `offset`, only what follows those bytes is
        asked for: the answer is a 206 that begins there, or else a 200.
        """
        target = f"{self._prefix}{path}?{urlencode(query)}" if query else self._prefix + path
        here = target
        for _ in range(_MAX_REDIRECTS + 1):
            answer = await self._sent(path, here, offset, deadline, connect_s or self.connect_s)
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                break
            answer.close()
            here = self._redirected(here, answer.headers["location"], subject=path)
        else:
            raise BadReply(f"{path}: more than {_MAX_REDIRECTS} redirects")
        # 206 is a listing's success (contract section 5.5).
        if answer.status not in (_OK, _PARTIAL):
            with answer:
                raise await self._refusal(answer, subject=path)
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            answer.close()
            raise BadReply(f"{path}: the answer is encoded, which was not asked for")
        return answer

    async def _sent(
        self, path: str, target: str, offset: int, deadline: Deadline, connect_s: float
    ) -> OpenAnswer:
        """Send a request with the token; after a 401, once more with another one, if there is."""
        tokens = None if is_public(path) else self._tokens
        for last in (False, True):
            line = b"" if tokens is None else tokens.header()
            if tokens is not None and not line:
                line = await self._renewed(tokens, path, deadline)
            head = b"GET %b HTTP/1.1\r\n%b%b" % (self._target(target), self._common, line)
            if offset:
                head += b"Range: bytes=%d-\r\n" % offset
            trace = self.traffic.begin(path, offset=offset)
            try:
                answer = await self.pool.send(
                    self.origin,
                    self.proxy,
                    head + b"\r\n",
                    deadline=deadline,
                    connect_s=connect_s,
                )
            except httpx.HTTPError as error:
                failure = faults.from_transport(error, subject=path)
                trace.failed(failure)
                raise failure from error
            self.clock.told(answer.headers.get("date"))
            trace.answered(answer.status, answer.headers)
            if answer.status != _UNAUTHORIZED or tokens is None or last:
                break
            if not tokens.refused(line):
                break
            answer.close()
        return answer

    async def _renewed(self, tokens: Tokens, subject: str, deadline: Deadline) -> bytes:
        try:
            with deadline.elsewhere(deadline.patience_s):
                return await tokens.renewed()
        except httpx.HTTPError as error:
            raise faults.from_transport(error, subject=subject) from error

    def _target(self, target: str) -> bytes:
        if not _TARGET.fullmatch(target):
            raise BadReply("a redirect to nowhere")
        if self.proxy is not None and self.origin.scheme == "http":
            target = f"http://{host_of(self.origin)}{target}"
        return target.encode()

    def _redirected(self, here: str, location: str, *, subject: str) -> str:
        """Return where a redirect leads; raises `BadReply` where that is another origin."""
        try:
            target = self._base.join(here).join(location)
        except (httpx.InvalidURL, ValueError) as error:
            raise BadReply(f"{subject}: a redirect to nowhere") from error
        if Origin.of(target) != self.origin:
            raise BadReply(f"{subject}: a redirect to another server is not followed")
        return target.raw_path.decode("ascii")

    async def _refusal(self, answer: OpenAnswer, *, subject: str) -> AttachfsError:
        try:
            body = await answer.read(_MAX_ERROR_BYTES, subject=subject, cut=True)
        except httpx.HTTPError:
            body = b""  # the status says enough
        remedy = self._tokens.remedy if self._tokens and answer.status == _UNAUTHORIZED else ""
        return faults.from_status(
            answer.status, answer.headers, body, subject=subject, remedy=remedy
        )


def announced_length(headers: Mapping[str, str]) -> int | None:
    """Return the length of a whole body in bytes, None where it is not told."""
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None
