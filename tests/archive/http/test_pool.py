"""HTTP/1.1 as it comes over the wire: framing, kept connections, and answers that are none."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import httpx
import pytest
import trio
import trio.testing

from attachfs.archive.http.httpx_transport import PoolTransport
from attachfs.archive.http.pool import Pool

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class _Wire:
    """Answer requests, whatever connection they come by, with one piece of bytes after another."""

    def __init__(self, answers: Sequence[bytes], *, closing: bool) -> None:
        self._answers = iter(answers)
        self._closing = closing
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        pending = b""
        try:
            async with stream:
                while more := await stream.receive_some():
                    pending += more
                    if pending.endswith(b"\r\n\r\n"):
                        self.requests.append(pending)
                        pending = b""
                        await stream.send_all(next(self._answers))
                        if self._closing:
                            return
        except trio.BrokenResourceError:
            pass
        finally:
            self.closed += 1


@asynccontextmanager
async def _asking(
    nursery: trio.Nursery, *answers: bytes, closing: bool = False, connections: int = 4
) -> AsyncIterator[tuple[httpx.AsyncClient, _Wire, Pool]]:
    wire = _Wire(answers, closing=closing)
    listeners = await nursery.start(partial(trio.serve_tcp, wire.serve, 0, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]
    pool = Pool(ssl.create_default_context(), connections=connections)
    transport = PoolTransport(pool)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{port}") as http:
        yield http, wire, pool
    pool.close()
    assert pool.connections == 0


async def test_a_connection_is_kept_and_used_again(nursery: trio.Nursery) -> None:
    """One after the other, all go over the same one."""
    async with _asking(nursery, *[_OK] * 3) as (http, wire, pool):
        for path in ("/a", "/b?c=d", "/e"):
            assert (await http.get(path)).text == "ok"
        assert (wire.connections, pool.connections) == (1, 1)
        assert wire.requests[1].startswith(b"GET /b?c=d HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + _OK,
        b"HTTP/1.0 200\r\nConnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
    ],
)
async def test_every_framing_with_an_end_keeps_the_connection(
    nursery: trio.Nursery, answer: bytes
) -> None:
    """Chunks, a length, and interim answers before it."""
    async with _asking(nursery, answer, _OK) as (http, wire, _):
        first = await http.get("/")
        assert (first.status_code, first.text, "link" in first.headers) == (200, "ok", False)
        assert (await http.get("/")).text == "ok"
        assert wire.connections == 1


async def test_a_body_may_end_with_its_connection(nursery: trio.Nursery) -> None:
    """Where neither length nor chunks are told (RFC 9112 section 6.3)."""
    answer = b"HTTP/1.1 200 OK\r\n\r\nall of it"
    async with _asking(nursery, answer, _OK, closing=True) as (http, wire, _):
        assert (await http.get("/")).text == "all of it"
        assert (await http.get("/")).text == "ok"
        assert wire.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1_000_000,
    ],
)
async def test_what_is_cut_short_or_no_http_is_a_protocol_error(
    nursery: trio.Nursery, answer: bytes
) -> None:
    """And its connection is closed."""
    async with _asking(nursery, answer, closing=True) as (http, _, pool):
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("/")
        assert pool.connections == 0


async def test_more_than_was_asked_for_is_not_the_next_answer(nursery: trio.Nursery) -> None:
    """Whoever sends two answers to one request is not asked again by that connection."""
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    async with _asking(nursery, _OK + forged, _OK) as (http, wire, _):
        assert (await http.get("/")).text == "ok"
        assert (await http.get("/")).text == "ok"
        assert wire.connections == 2


@pytest.mark.parametrize(
    "behind",
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Le", b"H", b"\0", _OK[:-1]],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_half_an_answer_behind_an_answer_is_no_start_of_the_next(
    nursery: trio.Nursery, behind: bytes, *, at_once: bool
) -> None:
    """Whether it comes with it or after it."""
    go_on, sent = trio.Event(), trio.Event()
    connections = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        await stream.receive_some()
        if at_once and connections == 1:
            await stream.send_all(_OK + behind)
        else:
            await stream.send_all(_OK)
            if connections == 1:
                await go_on.wait()
                await stream.send_all(behind)
        sent.set()
        with suppress(trio.BrokenResourceError):  # closed with something unread
            await stream.receive_some()

    listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
    pool = Pool(ssl.create_default_context())
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    async with httpx.AsyncClient(transport=PoolTransport(pool), base_url=url) as http:
        assert (await http.get("/")).text == "ok"
        go_on.set()
        await sent.wait()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (await http.get("/")).text == "ok"
    pool.close()
    assert connections == 2


async def test_a_connection_that_the_server_has_closed_is_not_used(nursery: trio.Nursery) -> None:
    """Though it said it would keep it."""
    async with _asking(nursery, _OK, _OK, closing=True) as (http, wire, _):
        assert (await http.get("/")).text == "ok"
        while not wire.closed:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (await http.get("/")).text == "ok"
        assert wire.connections == 2


async def test_an_answer_half_read_closes_its_connection(nursery: trio.Nursery) -> None:
    """Nothing of it can come to be the next one."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    async with _asking(nursery, half, _OK) as (http, wire, pool):
        async with http.stream("GET", "/") as response:
            async for chunk in response.aiter_raw():
                assert chunk == b"half"
                break
        assert pool.connections == 0
        assert (await http.get("/")).text == "ok"
        assert wire.connections == 2


async def test_a_cancelled_request_leaves_no_connection(nursery: trio.Nursery) -> None:
    """Nor does it keep its turn."""
    async with _asking(nursery, b"", _OK, connections=1) as (http, _, pool):
        with trio.move_on_after(0.05) as scope:
            await http.get("/")
        assert scope.cancelled_caught
        assert pool.connections == 0
        assert (await http.get("/")).text == "ok"


async def test_requests_beyond_the_connections_wait(nursery: trio.Nursery) -> None:
    """They get theirs in the end, and one that is cancelled meanwhile takes nobody's."""
    async with _asking(nursery, b"", _OK, connections=1) as (http, wire, _):
        async with trio.open_nursery() as calls:
            calls.start_soon(http.get, "/")
            while not wire.requests:
                await trio.lowlevel.checkpoint()
            with trio.move_on_after(0.01) as scope:
                await http.get("/")
            assert scope.cancelled_caught
            assert wire.connections == 1
            calls.cancel_scope.cancel()
        assert (await http.get("/")).text == "ok"


async def test_silence_is_a_timeout(nursery: trio.Nursery) -> None:
    """After the seconds the caller gave."""
    async with _asking(nursery, b"") as (http, _, pool):
        with pytest.raises(httpx.ReadTimeout):
            await http.get("/", timeout=httpx.Timeout(5, read=0.01))
        assert pool.connections == 0


async def test_a_line_end_in_a_header_is_refused(nursery: trio.Nursery) -> None:
    """It would be another header (RFC 9112 section 11.1)."""
    async with _asking(nursery) as (http, wire, _):
        for value in ("a\r\nB: c", "a\nB: c", "a\rB: c"):
            with pytest.raises(httpx.LocalProtocolError):
                await http.get("/", headers={"A": value})
        assert wire.connections == 0


async def test_a_token_is_posted_with_its_body(nursery: trio.Nursery) -> None:
    """The body follows the headers at once."""
    async with _asking(nursery, _OK) as (http, wire, _):
        with trio.move_on_after(0.05):
            await http.post("/", content=b"a=b\r\n\r\n")
        assert wire.requests[0].endswith(b"\r\n\r\na=b\r\n\r\n")
