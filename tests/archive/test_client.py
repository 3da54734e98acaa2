"""One call to the archive: sent, retried, bounded, parsed, cancelled."""

import itertools
import json
import threading
from collections.abc import Awaitable, Callable
from functools import partial

import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from attachfs.archive import endpoints
from attachfs.archive.client import Archive
from attachfs.archive.concurrency import MAX_CONCURRENT
from attachfs.archive.credentials import GivenToken
from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.policy import ATTEMPTS
from attachfs.archive.secrets import Secret
from attachfs.demo.launch import RunningArchive
from attachfs.errors import (
    AttachfsError,
    BadReply,
    Busy,
    Denied,
    GatewayTimeout,
    NoConnection,
    NotFound,
    ServerFault,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unreachable,
)
from tests.support.archives import (
    ASSET,
    EVENT,
    HOLDER,
    TOKEN,
    client,
    declared,
    received,
    said,
    scripted,
    settled,
    sha256,
    token_of,
    uuid_in,
)
from tests.support.canned import Asked, reply, start_canned

_RECORD = {"identity": f"assets/{ASSET}", "attributes": {}}


def _pooled(archive: Archive) -> int:
    """Count the connections that the client holds, in use or idle."""
    return archive._server.pool.connections


async def test_records_and_infos_come_from_a_real_archive(running: RunningArchive) -> None:
    """What was recorded is what is read."""
    blob = running.archive.create_blob(b"evidence")
    asset = running.archive.create_asset({"attributes": {"proof": declared(blob)}})
    holder = Holder(uuid_in(asset))
    credentials = GivenToken(Secret(token_of(running)))
    async with client(running.url, credentials=credentials) as archive:
        assert archive.url == running.url
        record = await archive.ask(endpoints.record(holder))
        assert [a.id for a in record.attachments] == [uuid_in(blob)]
        info = await archive.ask(endpoints.info(AttachmentPath(holder, uuid_in(blob))))
        assert (info.size_bytes, info.sha256) == (8, sha256(b"evidence"))
        page = await archive.ask(endpoints.probe())
        assert [record.id for record in page.entries] == [holder.asset]
    await settled()
    assert [entry.method for entry in running.archive.requests()] == ["GET"] * 3


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(
    ("status", "kind", "tries"),
    [
        (400, BadReply, 1),
        (401, Unauthenticated, 1),
        (402, BadReply, 1),
        (403, Denied, 1),
        (404, NotFound, 1),
        (410, NotFound, 1),
        (418, BadReply, 1),
        (500, ServerFault, 4),
        (501, BadReply, 1),
        (503, Unavailable, ATTEMPTS),
        (504, GatewayTimeout, ATTEMPTS),
        (408, GatewayTimeout, ATTEMPTS),
        (204, BadReply, 1),
        (304, BadReply, 1),
    ],
)
async def test_refusals_are_final_and_trouble_is_asked_again(
    nursery: trio.Nursery, status: int, kind: type[AttachfsError], tries: int
) -> None:
    """Each status has its class, and only what may pass is tried again, a 500 four times."""
    canned = await start_canned(nursery, lambda _: reply(status, {"message": "so it is"}))
    async with client(canned.url) as archive:
        with pytest.raises(AttachfsError) as caught:
            await archive.ask(endpoints.record(HOLDER))
    assert type(caught.value) is kind
    assert len(canned.requests) == tries
    assert f"/assets/{ASSET}" in str(caught.value)


@pytest.mark.usefixtures("quick_retries")
async def test_trouble_that_passes_is_not_noticed(nursery: trio.Nursery) -> None:
    """After a refused, a broken and a rate-limited attempt the answer is had."""
    answers = [reply(503), b"", reply(429, archivist_rate_limit_reset="1"), reply(200, _RECORD)]
    canned = await start_canned(nursery, lambda _: answers.pop(0))
    async with client(canned.url) as archive:
        assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET


@pytest.mark.usefixtures("quick_retries")
async def test_nobody_there_is_unreachable() -> None:
    """A refused connection is told with the system's reason."""
    async with client("http://127.0.0.1:1", timeout_s=1.0) as archive:
        with pytest.raises(NoConnection, match="refused"):
            await archive.ask(endpoints.record(HOLDER))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"<html>", {}),
        (b"\x1f\x8b", {"Content_Encoding": "gzip"}),
        (b"[]", {}),
        (json.dumps({**_RECORD, "identity": "assets/other"}).encode(), {}),
        (b'{"identity": "' + b"x" * 5_000_000, {}),
    ],
)
async def test_an_answer_that_is_none_is_a_bad_reply_at_once(
    nursery: trio.Nursery, body: bytes, headers: dict[str, str]
) -> None:
    """Garbage, foreign encodings, other records and endless answers are not asked for again."""
    canned = await start_canned(nursery, lambda _: reply(200, body, length=None, **headers))
    async with client(canned.url) as archive:
        with pytest.raises(BadReply, match=f"/assets/{ASSET}"):
            await archive.ask(endpoints.record(HOLDER))
        assert _pooled(archive) == 0
    assert len(canned.requests) == 1


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    ],
)
async def test_a_broken_answer_is_unreachable_after_retries(
    nursery: trio.Nursery, answer: bytes
) -> None:
    """What is not HTTP, or ends too early, is a connection that failed."""
    canned = await start_canned(nursery, lambda _: answer)
    async with client(canned.url) as archive:
        with pytest.raises(Unreachable):
            await archive.ask(endpoints.record(HOLDER))
    assert len(canned.requests) == ATTEMPTS


async def test_headers_without_end_are_a_bad_reply_at_once(nursery: trio.Nursery) -> None:
    """Another attempt would be as long."""
    headers = b"X: " + b"y" * 200_000
    canned = await start_canned(nursery, lambda _: b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % headers)
    async with client(canned.url) as archive:
        with pytest.raises(BadReply, match=f"/assets/{ASSET}: .* headers without end"):
            await archive.ask(endpoints.record(HOLDER))
    assert len(canned.requests) == 1


async def test_a_refusal_with_an_endless_body_is_a_refusal(nursery: trio.Nursery) -> None:
    """Only the beginning of an error's body is read."""
    head = reply(403, length=10**12)
    canned = await start_canned(nursery, lambda _: [head, b"x" * 300_000, trio.Event()])
    async with client(canned.url) as archive:
        with pytest.raises(Denied):
            await archive.ask(endpoints.record(HOLDER))
        assert _pooled(archive) == 0


async def test_a_refusal_whose_body_breaks_off_is_a_refusal(nursery: trio.Nursery) -> None:
    """The status says enough."""
    canned = await start_canned(nursery, lambda _: reply(404, b"{", length=100))
    async with client(canned.url) as archive:
        with pytest.raises(NotFound):
            await archive.ask(endpoints.record(HOLDER))


async def test_every_request_has_the_token_and_asks_for_nothing_encoded(
    nursery: trio.Nursery,
) -> None:
    """The headers are those of the contract, the method is GET."""
    canned = await start_canned(nursery, lambda _: reply(200, _RECORD))
    async with client(canned.url) as archive:
        await archive.ask(endpoints.record(HOLDER))
    (asked,) = canned.requests
    assert (asked.method, asked.target) == ("GET", f"/archivist/v2/assets/{ASSET}")
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("redirected", [True, False])
@pytest.mark.parametrize("public", [True, False])
async def test_nothing_public_is_asked_for_with_a_token(
    nursery: trio.Nursery, *, public: bool, redirected: bool
) -> None:
    """Neither records nor bytes, waiting or blocking, redirected or not."""
    moved: set[str] = set()

    def script(asked: Asked) -> bytes:
        if redirected and asked.path not in moved:
            moved.update((asked.path, f"{asked.path}/moved"))
            return reply(307, Location=f"{asked.path}/moved")
        return reply(200, _RECORD)

    canned = await start_canned(nursery, script)
    holder = Holder(ASSET, public=public)
    download = endpoints.download(AttachmentPath(holder, EVENT), ScanPolicy.BLOCK_BAD)

    async with client(f"{canned.url}/gateway") as archive:
        await archive.ask(endpoints.record(holder))
        await archive.take(download, max_bytes=99, check_announced=lambda _: None)
        moved.clear()
        assert (await received(archive, download, 1))[1]
    assert len(canned.requests) == 3 * (1 + redirected)
    for asked in canned.requests:
        assert ("authorization" in asked.headers) is not public
        assert TOKEN not in asked.target


async def test_a_base_url_may_have_a_path(nursery: trio.Nursery) -> None:
    """An archive behind a gateway's prefix is asked below it."""
    canned = await start_canned(nursery, lambda _: reply(200, _RECORD))
    async with client(f"{canned.url}/gateway") as archive:
        await archive.ask(endpoints.record(HOLDER))
    assert canned.requests[0].path == f"/gateway/archivist/v2/assets/{ASSET}"


async def test_a_206_is_a_success_of_a_call(nursery: trio.Nursery) -> None:
    """Lists are answered so where more matches than is told (contract section 5.5)."""
    page = {"assets": [_RECORD], "next_page_token": ""}
    canned = await start_canned(
        nursery, lambda _: reply(206, page, Content_Range="items 0-100/101")
    )
    async with client(canned.url) as archive:
        assert len((await archive.ask(endpoints.probe())).entries) == 1


async def test_a_server_that_does_not_answer_is_given_up_in_time(
    autojump_clock: MockClock,
) -> None:
    """The bound holds for a call as a whole, whatever the transport thinks."""

    async def never(_: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    async with scripted(never, timeout_s=7) as archive:
        with pytest.raises(TimedOut, match=r"nothing came for 4\."):
            await archive.ask(endpoints.record(HOLDER))
    assert autojump_clock.current_time() == pytest.approx(7, abs=0.06)


async def test_a_refusal_is_told_though_the_time_was_over_at_once(mock_clock: MockClock) -> None:
    """Where the loop was held up past the deadline, "no answer" would be wrong: there was one."""
    caught: list[AttachfsError] = []
    download = endpoints.download(AttachmentPath(HOLDER, EVENT), ScanPolicy.BLOCK_BAD)

    async def call(work: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(AttachfsError) as raised:
            await work()
        caught.append(raised.value)

    async with (
        scripted(lambda _: said(503), timeout_s=7) as archive,
        trio.open_nursery() as calls,
    ):
        calls.start_soon(call, lambda: archive.ask(endpoints.record(HOLDER)))
        take = partial(archive.take, download, max_bytes=9, check_announced=lambda _: None)
        calls.start_soon(call, take)
        await wait_all_tasks_blocked()
        mock_clock.jump(60)
    assert [type(error) for error in caught] == [Unavailable, Unavailable]


async def test_retries_wait_longer_each_time(autojump_clock: MockClock) -> None:
    """The waits double, with some jitter."""
    at_s: list[float] = []

    def failing(_: httpx.Request) -> httpx.Response:
        at_s.append(autojump_clock.current_time())
        return said(503)

    async with scripted(failing) as archive:
        with pytest.raises(ServerFault):
            await archive.ask(endpoints.record(HOLDER))
    waits_s = [after - before for before, after in itertools.pairwise(at_s)]
    for wait_s, least_s in zip(waits_s, [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5], strict=True):
        assert least_s - 1e-9 <= wait_s <= min(least_s + 0.2, 5.001)


@pytest.mark.parametrize("header", ["archivist-rate-limit-reset", "retry-after"])
async def test_a_rate_limit_is_waited_for_as_long_as_the_server_says(
    autojump_clock: MockClock, header: str
) -> None:
    """No sooner, and not much later."""
    answers = [said(429, **{header: "12"}), said(200, _RECORD)]
    async with scripted(lambda _: answers.pop(0)) as archive:
        await archive.ask(endpoints.record(HOLDER))
    assert autojump_clock.current_time() == pytest.approx(12)


async def test_a_rate_limit_beyond_the_timeout_is_busy_at_once(
    autojump_clock: MockClock,
) -> None:
    """Waiting for what cannot come in time would only turn "busy" into "timed out"."""
    limit = {"archivist-rate-limit-reset": "3600"}
    async with scripted(lambda _: said(429, **limit), timeout_s=30) as archive:
        with pytest.raises(Busy) as caught:
            await archive.ask(endpoints.record(HOLDER))
    assert caught.value.retry_after_s == 3600
    assert autojump_clock.current_time() == 0


async def test_a_rate_limit_without_a_time_is_retried_like_other_trouble(
    autojump_clock: MockClock,
) -> None:
    """After the last attempt it is busy."""
    tries: list[str] = []

    def limited(request: httpx.Request) -> httpx.Response:
        tries.append(request.url.path)
        return said(429)

    async with scripted(limited) as archive:
        with pytest.raises(Busy):
            await archive.ask(endpoints.record(HOLDER))
    assert len(tries) == ATTEMPTS
    assert autojump_clock.current_time() < 20


async def test_a_cancelled_call_closes_its_connection(nursery: trio.Nursery) -> None:
    """Neither a headless answer nor a half-read one stays in the pool, and the next call works."""
    asked = trio.Event()
    mode = "silent"

    def script(_: Asked) -> bytes | list[bytes | trio.Event]:
        asked.set()
        if mode == "silent":
            return [trio.Event()]
        if mode == "half":
            return [reply(200, b"{", length=50), trio.Event()]
        return reply(200, _RECORD)

    canned = await start_canned(nursery, script)
    async with client(canned.url) as archive:
        for mode in ("silent", "half"):  # noqa: B007 - the script looks at it
            asked, canned.hung_up = trio.Event(), trio.Event()
            async with trio.open_nursery() as calls:
                calls.start_soon(archive.ask, endpoints.record(HOLDER))
                await asked.wait()
                await trio.testing.wait_all_tasks_blocked(0.01)
                calls.cancel_scope.cancel()
            await canned.hung_up.wait()
            assert _pooled(archive) == 0
        mode = "good"
        assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET


async def test_many_calls_at_once_share_few_connections(running: RunningArchive) -> None:
    """More callers than connections all get their answers."""
    calls_at_once = 300
    asset = running.archive.create_asset({})
    holder = Holder(uuid_in(asset))
    credentials = GivenToken(Secret(token_of(running)))
    async with client(running.url, credentials=credentials) as archive:
        async with trio.open_nursery() as calls:
            for _ in range(calls_at_once):
                calls.start_soon(archive.ask, endpoints.record(holder))
        assert 0 < _pooled(archive) <= MAX_CONCURRENT
    await settled()
    assert len(running.archive.requests()) == calls_at_once


async def test_a_call_is_cancelled_while_its_answer_is_parsed(nursery: trio.Nursery) -> None:
    """A large answer is parsed off the event loop, and nobody waits for the end of it."""
    canned = await start_canned(nursery, lambda _: reply(200, bytes(300_000)))
    parsing, over = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()

    def parse(_: bytes) -> None:
        token.run_sync_soon(parsing.set)
        over.wait(30)

    async with client(canned.url) as archive, trio.open_nursery() as calls:
        call = endpoints.Call("/", parse, 1_000_000)
        calls.start_soon(archive.ask, call)
        await parsing.wait()
        calls.cancel_scope.cancel()
    assert not over.is_set()
    over.set()
