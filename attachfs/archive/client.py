"""Ask the archive: send, retry, follow within the origin, bound, parse."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from math import inf
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import urlencode

import httpx
import trio

from attachfs.archive import faults
from attachfs.archive.auth import REMEDY
from attachfs.archive.clock import ServerClock
from attachfs.archive.endpoints import Call, Download, Listing, PagingStyle, Query, is_public
from attachfs.archive.models import Page
from attachfs.archive.outage import Outage
from attachfs.archive.pace import MAX_CONCURRENT, Pace
from attachfs.archive.replies import (
    MAX_ERROR_BYTES,
    MAX_REDIRECTS,
    announced_length,
    check_encoding,
    redirected,
)
from attachfs.archive.retries import retried
from attachfs.archive.traffic import Traffic
from attachfs.errors import AttachfsError, BadReply, Busy, ServerFault, TimedOut, Unreachable

T = TypeVar("T")

# What takes longer than about 2 ms to parse is parsed in a thread, which costs 0.2 ms.
_LARGE_ANSWER_BYTES: Final = 256 * 1024

_SETTLED_CONNECT_S: Final = 2.0


class Archive:
    """Send requests to one archive.

    `timeout_s` bounds each call with all its retries, `max_requests` how many are under way. Every
    method raises errors of `attachfs.errors` alone and may be cancelled at any time; its connection
    is then closed. `outage` knows whether the server answers, `pace` how readily, `traffic` counts
    what was asked.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        timeout_s: float = 30.0,
        traffic: Traffic | None = None,
        max_requests: int = MAX_CONCURRENT,
    ) -> None:
        self._http = http
        self.traffic = traffic or Traffic()
        self._timeout_s = timeout_s
        self._url = str(http.base_url).rstrip("/")
        self._timeouts = http.timeout.as_dict()
        self._paging_style = PagingStyle.SIZE
        self.pace = Pace(max_requests)
        self._server_clock = ServerClock()
        self.outage = Outage(timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Closing connections may not hold up an exit, nor be cut short half-way by it.
        with trio.move_on_after(1.0, shield=True):
            await self._http.aclose()

    def offline(self) -> "OfflineArchive":
        """Return one that stands for the same archive and asks it nothing."""
        return OfflineArchive(self._http, timeout_s=self._timeout_s, traffic=self.traffic)

    @property
    def is_offline(self) -> bool:
        """Whether nothing is asked, whatever is wanted."""
        return False

    @property
    def url(self) -> str:
        """The archive's base URL, without a trailing slash."""
        return self._url

    def server_now_s(self) -> float:
        """Return what time it is at the server, in seconds since 1970 UTC, by its last Date."""
        return self._server_clock.now_s()

    async def ask(self, call: Call[T]) -> T:
        """Return the parsed answer, after retries where they may help.

        Raises `Busy` where so many others wait that it was sent late, or not at all: that no
        answer came says nothing of the server.
        """
        attempt = _Attempt()

        async def ask_once(patience_s: float) -> T:
            async with self.pace.limiter:
                await self.pace.wait()
                with attempt.under_way():
                    raw = await self._get_paced(call, patience_s)
            return await self._parsed(call, raw)

        try:
            with trio.fail_after(self._timeout_s):
                return await self.retried(ask_once, subject=call.path)
        except trio.TooSlowError:
            raise self._too_slow(call.path, attempt) from None

    async def retried(
        self, work: Callable[[float], Awaitable[T]], *, subject: str, left_s: float = inf
    ) -> T:
        """Return what `work` returns, sent when the outage lets it, and again where that may help.

        As `attachfs.archive.retries.retried`, for requests that are sent by another way than this,
        and of which `left_s` seconds are left of the time that they have. What the server asks one
        to wait, all wait.
        """

        async def paced(patience_s: float) -> T:
            await self.pace.wait()
            try:
                return await work(patience_s)
            except Busy as error:
                self.pace.refused(error, longest_wait_s=self._timeout_s)
                raise

        timeout_s = min(left_s, self._timeout_s)
        return await retried(paced, outage=self.outage, subject=subject, timeout_s=timeout_s)

    async def page(self, listing: Listing, token: str) -> Page:
        """Return the page of a listing that `token` names; the empty token names the first.

        What accompanies the token is what this server accepts (contract section 5.5): found out
        at the first refusal and remembered.
        """
        if not token:
            return await self.ask(listing.page("", self._paging_style))
        refusal: BadReply | None = None
        styles = dict.fromkeys((self._paging_style, *PagingStyle))
        for style in styles:
            try:
                page = await self.ask(listing.page(token, style))
            except ServerFault:
                raise  # says nothing of the style
            except BadReply as error:
                refusal = refusal or error
            else:
                self._paging_style = style
                return page
        assert refusal is not None  # noqa: S101 - there is a style to try
        raise refusal

    async def take(
        self, download: Download, *, max_bytes: int, check_announced: Callable[[int | None], None]
    ) -> bytes:
        """Return the bytes of a small attachment, after retries where they may help.

        `check_announced` may refuse the length that is announced, by raising. What is larger than
        `max_bytes` is cut off some bytes after it. `timeout_s` bounds each wait for bytes, so
        that many bodies may share a slow line.
        """
        attempt = _Attempt()

        async def take_once(patience_s: float) -> bytes:
            with attempt.under_way():
                return await receive(patience_s)

        async def receive(patience_s: float) -> bytes:
            response = await self._send(download.path, download.query, patience_s)
            try:
                if response.status_code != httpx.codes.OK:
                    await _raise_refusal(response, subject=download.path)
                check_announced(announced_length(response.headers))
                body = bytearray()
                async with aclosing(_chunks(response, subject=download.path)) as chunks:
                    async for chunk in chunks:
                        scope.deadline = trio.current_time() + self._timeout_s
                        body += chunk
                        if len(body) > max_bytes:
                            break
                self.traffic.received(len(body))
                return bytes(body)
            finally:
                await _close(response)

        try:
            with trio.fail_after(self._timeout_s) as scope:
                return await self.retried(take_once, subject=download.path)
        except trio.TooSlowError:
            raise self._too_slow(download.path, attempt) from None

    def _too_slow(self, subject: str, attempt: "_Attempt") -> AttachfsError:
        """Return why a call was of no use until its time was over."""
        if attempt.unanswered_s < self._timeout_s / 2:
            failure = attempt.failure or self.outage.error
            if failure is not None:
                return failure.with_traceback(None)
            return Busy(f"{subject}: too many other requests are waiting")
        error = TimedOut(f"{subject}: no answer within {self._timeout_s:g} s")
        since_s = trio.current_time() - self._timeout_s
        self.outage.failed(error, subject=subject, since_s=since_s)
        return error

    async def _get_paced(self, call: Call[T], patience_s: float) -> bytes:
        started_s = trio.current_time()
        raw = await self._get(call, patience_s)
        self.pace.answered(trio.current_time() - started_s)
        return raw

    async def _parsed(self, call: Call[T], raw: bytes) -> T:
        try:
            if len(raw) > _LARGE_ANSWER_BYTES:
                return await trio.to_thread.run_sync(call.parse, raw, abandon_on_cancel=True)
            return call.parse(raw)
        except BadReply as error:
            raise BadReply(f"{call.path}: {error}") from error

    async def _get(self, call: Call[T], patience_s: float) -> bytes:
        response = await self._send(call.path, call.query, patience_s)
        try:
            # 206 is a listing's success (contract section 5.5).
            if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
                await _raise_refusal(response, subject=call.path)
            return await _read_bounded(response, call.max_bytes, subject=call.path)
        finally:
            await _close(response)

    async def _send(self, path: str, query: Query, patience_s: float) -> httpx.Response:
        """Send a GET and return the open response, redirects within the origin followed.

        `patience_s` bounds each wait for bytes.
        """
        # `build_request` parses URLs three times over, which took a fifth of a request.
        url = f"{self.url}{path}?{urlencode(query)}" if query else f"{self.url}{path}"
        timeouts = {**self._timeouts, "read": patience_s}
        if self.outage.settled:  # who finds out whether it is over waits for nothing much
            timeouts["connect"] = min(timeouts["connect"] or inf, _SETTLED_CONNECT_S)
        extensions = {"timeout": timeouts}
        request = httpx.Request("GET", url, headers=self._http.headers, extensions=extensions)
        auth = None if is_public(path) else httpx.USE_CLIENT_DEFAULT
        for _ in range(MAX_REDIRECTS + 1):
            trace = self.traffic.begin(path)
            try:
                response = await self._http.send(request, auth=auth, stream=True)
            except httpx.HTTPError as error:
                failure = faults.from_transport(error, subject=path)
                trace.failed(failure)
                raise failure from error
            except httpx.InvalidURL as error:  # httpx looks at where a redirect points, too
                raise BadReply(f"{path}: a redirect to nowhere") from error
            self._server_clock.told(response.headers.get("date"))
            trace.answered(response.status_code, response.headers)
            if not response.has_redirect_location:
                return response
            try:
                target = redirected(response, subject=path)
                request = self._http.build_request("GET", target, extensions=extensions)
            finally:
                await _close(response)
        raise BadReply(f"{path}: more than {MAX_REDIRECTS} redirects")


class OfflineArchive(Archive):
    """Stand for an archive that is not to be asked: every request is `Unreachable`, at once."""

    @property
    def is_offline(self) -> bool:
        """Whether nothing is asked."""
        return True

    async def retried(
        self,
        _work: Callable[[float], Awaitable[T]],
        *,
        subject: str,
        left_s: float = inf,  # noqa: ARG002 - there is nothing to wait for
    ) -> T:
        """Raise `Unreachable`."""
        await trio.lowlevel.checkpoint()
        raise Unreachable(f"{subject}: not known on this machine, and --offline asks no server")


class _Attempt:
    """Know since when a call's request has been under way, and why the one before failed."""

    def __init__(self) -> None:
        self._sent_s = inf
        self.failure: AttachfsError | None = None

    @property
    def unanswered_s(self) -> float:
        """For how long an answer has been waited for; below 0 while nothing is under way."""
        return trio.current_time() - self._sent_s

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Take note of a request and of how it ends."""
        self._sent_s = trio.current_time()
        try:
            yield
        except AttachfsError as error:
            self._sent_s = inf
            self.failure = error
            raise


async def _raise_refusal(response: httpx.Response, *, subject: str) -> None:
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_ERROR_BYTES:
                break
    except httpx.HTTPError:
        body.clear()  # the status says enough
    raise faults.from_status(
        response.status_code,
        response.headers,
        bytes(body),
        subject=subject,
        remedy=response.extensions.get(REMEDY, ""),
    )


async def _read_bounded(response: httpx.Response, max_bytes: int, *, subject: str) -> bytes:
    body = bytearray()
    async with aclosing(_chunks(response, subject=subject)) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > max_bytes:
                raise BadReply(f"{subject}: the answer is larger than {max_bytes} bytes")
    return bytes(body)


async def _chunks(response: httpx.Response, *, subject: str) -> AsyncGenerator[bytes, None]:
    check_encoding(response.headers, subject=subject)
    try:
        async for chunk in response.aiter_raw():
            yield chunk
    except httpx.HTTPError as error:
        raise faults.from_transport(error, subject=subject) from error


async def _close(response: httpx.Response) -> None:
    # A half-read HTTP/1.1 response closes its socket, which takes no time; the shield keeps a
    # cancellation from leaving the connection in the pool.
    with trio.CancelScope(shield=True):
        await response.aclose()
