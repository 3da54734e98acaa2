"""Ask the archive: sent by the policy, bounded, parsed."""

import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx
import trio

from attachfs.archive.concurrency import MAX_CONCURRENT
from attachfs.archive.credentials import Credentials
from attachfs.archive.endpoints import Call, Download, Listing, PagingStyle
from attachfs.archive.faults import from_transport
from attachfs.archive.http.deadline import Deadline
from attachfs.archive.http.pool import MAX_CONNECTIONS, OpenAnswer, Pool
from attachfs.archive.http.server import Server, announced_length
from attachfs.archive.http.trust import trust
from attachfs.archive.models import LARGE_ANSWER_BYTES, Page
from attachfs.archive.policy import OfflinePolicy, RequestPolicy
from attachfs.archive.traffic import Traffic
from attachfs.errors import AttachfsError, BadReply, ServerFault

T = TypeVar("T")

_SETTLED_CONNECT_S: Final = 2.0
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.ASCII)
_OK, _PARTIAL = 200, 206


class BodyStream:
    """An open body from `offset` on, `length_bytes` in all, None if not told.

    It is closed at the end of a `with` block.
    """

    def __init__(self, answer: OpenAnswer, offset: int, *, subject: str, traffic: Traffic) -> None:
        self._answer = answer
        self._subject = subject
        self._traffic = traffic
        self.offset = offset
        announced_bytes = announced_length(answer.headers)
        self.length_bytes = None if announced_bytes is None else offset + announced_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._answer.close()

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive some bytes into a buffer and return how many; 0 at the end."""
        try:
            received_bytes = await self._answer.fill(buffer)
        except httpx.HTTPError as error:
            raise from_transport(error, subject=self._subject) from error
        self._traffic.received(received_bytes)
        return received_bytes


class Archive:
    """Send requests to one archive.

    `policy` bounds each call with all its retries, and how many are under way. Every method raises
    errors of `attachfs.errors` alone and may be cancelled at any time; its connection is then
    closed. `traffic` counts what was asked.
    """

    def __init__(self, server: Server, policy: RequestPolicy) -> None:
        self._server = server
        self.policy = policy
        self.traffic = server.traffic
        self._paging_style = PagingStyle.SIZE

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()

    def offline(self) -> "Archive":
        """Return one that stands for the same archive and asks it nothing."""
        return Archive(self._server, OfflinePolicy(timeout_s=self.policy.timeout_s))

    @property
    def is_offline(self) -> bool:
        """Whether nothing is asked, whatever is wanted."""
        return isinstance(self.policy, OfflinePolicy)

    @property
    def url(self) -> str:
        """The archive's base URL, without a trailing slash."""
        return self._server.url

    def server_now_s(self) -> float:
        """Return what time it is at the server, in seconds since 1970 UTC, by its last Date."""
        return self._server.clock.now_s()

    async def prepare(self) -> None:
        """Have a connection ready for the next request; raises nothing."""
        await self._server.prepare()

    async def ask(self, call: Call[T]) -> T:
        """Return the parsed answer, after retries where they may help.

        Raises `Busy` where so many others wait that it was sent late, or not at all: that no
        answer came says nothing of the server.
        """
        limiter = self.policy.limiter

        async def ask_once(deadline: Deadline) -> T:
            if not limiter.slots.take_now():
                await self._turn(call.path, deadline)
            try:
                answer = await self._server.get(
                    call.path, call.query, deadline=deadline, connect_s=self._connect_s()
                )
                with answer:
                    raw = await answer.read(call.max_bytes, subject=call.path)
                limiter.answered(deadline.ended_s - deadline.begun_s)
            except httpx.HTTPError as error:
                raise from_transport(error, subject=call.path) from error
            finally:
                limiter.slots.give_back()
            if len(raw) <= LARGE_ANSWER_BYTES:
                return _parsed(call, raw)
            try:
                with deadline.elsewhere():
                    return await trio.to_thread.run_sync(_parsed, call, raw, abandon_on_cancel=True)
            except httpx.PoolTimeout as error:
                raise from_transport(error, subject=call.path) from error

        return await self.policy.run(ask_once, subject=call.path, is_whole=True)

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
        `max_bytes` is cut off some bytes after it. The timeout bounds each wait for bytes, so
        that many bodies may share a slow line.
        """

        async def take_once(deadline: Deadline) -> bytes:
            parts: list[bytes] = []
            received = 0
            with await self._open(download, 0, deadline) as answer:
                check_announced(announced_length(answer.headers))
                try:
                    while received <= max_bytes and (some := await answer.receive()):
                        parts.append(some)
                        received += len(some)
                except httpx.HTTPError as error:
                    raise from_transport(error, subject=download.path) from error
            self.traffic.received(received)
            return parts[0] if len(parts) == 1 else b"".join(parts)

        return await self.policy.run(take_once, subject=download.path)

    async def stream(self, download: Download, *, offset: int, deadline: Deadline) -> BodyStream:
        """Open a body from `offset` bytes on where the server can, else from its start.

        `deadline` bounds each wait for bytes. Nothing is tried again. The answer must be closed.
        """
        try:
            answer = await self._open(download, offset, deadline)
            begins_at = _begins_at(answer, offset, subject=download.path)
        except AttachfsError:
            if not offset:
                raise
            # It may have changed (416), or the server does not know ranges well.
            answer = await self._open(download, 0, deadline)
            begins_at = _begins_at(answer, 0, subject=download.path)
        return BodyStream(answer, begins_at, subject=download.path, traffic=self.traffic)

    async def _turn(self, subject: str, deadline: Deadline) -> None:
        try:
            with deadline.queued():
                await self.policy.limiter.turn()
        except httpx.PoolTimeout as error:
            raise from_transport(error, subject=subject) from error

    async def _open(self, download: Download, offset: int, deadline: Deadline) -> OpenAnswer:
        return await self._server.get(
            download.path,
            download.query,
            offset=offset,
            deadline=deadline,
            connect_s=self._connect_s(),
        )

    def _connect_s(self) -> float | None:
        # Whoever finds out whether an outage is over waits for nothing much.
        if not self.policy.breaker.open or not self.policy.breaker.settled:
            return None
        return min(self._server.connect_s, _SETTLED_CONNECT_S)


def open_archive(
    url: str,
    credentials: Credentials | None,
    *,
    ca_bundle: Path | None = None,
    timeout_s: float = 30.0,
    max_concurrent: int = MAX_CONCURRENT,
    connections: int = MAX_CONNECTIONS,
) -> Archive:
    """Return the archive at a base URL; nothing is sent yet.

    Raises `WrongUrl` for a proxy that cannot be used and `CredentialsUnusable` for a CA bundle.
    """
    server = Server(
        url,
        credentials=credentials,
        pool=Pool(trust(ca_bundle), connections=connections),
        timeout_s=timeout_s,
    )
    return Archive(server, RequestPolicy(timeout_s=timeout_s, max_concurrent=max_concurrent))


def _begins_at(answer: OpenAnswer, offset: int, *, subject: str) -> int:
    """Return where a body begins: at the `offset` that was asked for, or else at its start.

    What begins elsewhere is closed, and raises `BadReply`.
    """
    if answer.status != _PARTIAL:
        return 0
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    if match is None or int(match[1]) != offset or not offset:
        answer.close()
        raise BadReply(f"{subject}: the server sent another range than was asked for")
    return offset


def _parsed(call: Call[T], raw: bytes) -> T:
    try:
        return call.parse(raw)
    except BadReply as error:
        raise BadReply(f"{call.path}: {error}") from error
