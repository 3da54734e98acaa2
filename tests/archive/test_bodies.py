"""Attachments' bytes under way: opened, received piece by piece, closed."""

import socket

import pytest
import trio

from attachfs.archive import endpoints
from attachfs.archive.client import Archive
from attachfs.archive.credentials import GivenToken
from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.http.deadline import Deadline
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.secrets import Secret
from attachfs.demo.launch import RunningArchive
from attachfs.errors import AttachfsError, BadReply, BlockedByScan, NotFound, TimedOut, Unreachable
from tests.support.archives import (
    PATH,
    client,
    declared,
    received_with_length,
    settled,
    token_of,
    uuid_in,
)
from tests.support.canned import Asked, Part, reply, start_canned

_CALL = endpoints.download(PATH, ScanPolicy.BLOCK_BAD)


async def _read(
    archive: Archive, call: endpoints.Download = _CALL, *, offset: int = 0
) -> tuple[int, int | None, bytes]:
    return await received_with_length(archive, call, offset)


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 10_000])
@pytest.mark.parametrize("announced", [True, False])
async def test_bytes_come_whole_announced_or_chunked(
    running: RunningArchive, content: bytes, *, announced: bool
) -> None:
    """Both kinds of transfer give the bytes, and the length where it is told."""
    running.archive.set_switches(content_length=announced)
    blob = running.archive.create_blob(content)
    asset = running.archive.create_asset({"attributes": {"proof": declared(blob)}})
    path = AttachmentPath(Holder(uuid_in(asset)), uuid_in(blob))
    credentials = GivenToken(Secret(token_of(running)))
    async with client(running.url, credentials=credentials) as archive:
        call = endpoints.download(path, ScanPolicy.BLOCK_BAD)
        assert await _read(archive, call) == (0, len(content) if announced else None, content)


@pytest.mark.parametrize(
    ("status", "policy", "allowed"),
    [
        ("SCANNED_OK", ScanPolicy.BLOCK_BAD, True),
        ("SCANNED_OK", ScanPolicy.REQUIRE_OK, True),
        ("SCANNED_OK", ScanPolicy.ALLOW, True),
        ("NOT_SCANNED", ScanPolicy.BLOCK_BAD, True),
        ("NOT_SCANNED", ScanPolicy.REQUIRE_OK, False),
        ("NOT_SCANNED", ScanPolicy.ALLOW, True),
        ("SCANNED_BAD", ScanPolicy.BLOCK_BAD, False),
        ("SCANNED_BAD", ScanPolicy.REQUIRE_OK, False),
        ("SCANNED_BAD", ScanPolicy.ALLOW, True),
    ],
)
async def test_the_servers_own_table_of_scans_is_met(
    running: RunningArchive, status: str, policy: ScanPolicy, *, allowed: bool
) -> None:
    """Contract section 3.3, asked with what each policy sends."""
    blob = running.archive.create_blob(b"evidence")
    running.archive.edit_blob(uuid_in(blob), scanned_status=status)
    asset = running.archive.create_asset({"attributes": {"proof": declared(blob)}})
    call = endpoints.download(AttachmentPath(Holder(uuid_in(asset)), uuid_in(blob)), policy)
    credentials = GivenToken(Secret(token_of(running)))
    async with client(running.url, credentials=credentials) as archive:
        if allowed:
            assert (await _read(archive, call))[2] == b"evidence"
        else:
            with pytest.raises(BlockedByScan, match="not safe"):
                await _read(archive, call)
        await settled()
    assert len(running.archive.requests()) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(404), NotFound),
        (reply(206, b"part", Content_Range="bytes 0-3/8"), BadReply),
        (reply(204), BadReply),
        (reply(200, b"\x1f\x8b", Content_Encoding="gzip"), BadReply),
        (reply(200, b"evid", length=8), Unreachable),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevid\r\n", Unreachable),
    ],
)
async def test_a_body_that_is_none_or_breaks_off_is_an_error(
    nursery: trio.Nursery, answer: bytes, kind: type[AttachfsError]
) -> None:
    """A body cut short is never taken for a whole one; parts were not asked for."""
    canned = await start_canned(nursery, lambda _: answer)
    async with client(canned.url) as archive:
        with pytest.raises(kind):
            await _read(archive)
    assert len(canned.requests) == 1


async def test_a_stalled_body_is_given_up(nursery: trio.Nursery) -> None:
    """Each wait for more bytes has a bound, with the connection closed after it."""
    canned = await start_canned(nursery, lambda _: [reply(200, b"evid", length=8), trio.Event()])
    async with client(canned.url, timeout_s=0.1) as archive:
        with pytest.raises(TimedOut):
            await _read(archive)
        await canned.hung_up.wait()


async def test_a_stalled_body_without_a_length_is_given_up(nursery: trio.Nursery) -> None:
    """The end of its connection, which is ours, is not taken for its own."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    canned = await start_canned(nursery, lambda _: [head + b"evid", trio.Event()])
    async with client(canned.url, timeout_s=0.1) as archive:
        with pytest.raises(TimedOut):
            await _read(archive)
        with pytest.raises(TimedOut):
            await archive.take(_CALL, max_bytes=99, check_announced=lambda _: None)


async def test_a_body_left_half_read_closes_its_connection(nursery: trio.Nursery) -> None:
    """A reader may leave, and the server learns of it."""
    canned = await start_canned(nursery, lambda _: [reply(200, b"evid", length=8), trio.Event()])
    async with client(canned.url) as archive:
        with Deadline() as deadline, await archive.stream(_CALL, offset=0, deadline=deadline):
            pass
        await canned.hung_up.wait()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(206, b"ence", Content_Range="bytes 4-7/8"), (4, 8, b"ence")),
        (reply(206, b"ence", Content_Range="bytes 4-7/*"), (4, 8, b"ence")),
        (reply(200, b"evidence"), (0, 8, b"evidence")),
    ],
)
async def test_a_body_is_gone_on_with_where_the_server_can(
    nursery: trio.Nursery, answer: bytes, expected: tuple[int, int, bytes]
) -> None:
    """Else it comes from its start, and the stream says so."""
    canned = await start_canned(nursery, lambda _: answer)
    async with client(canned.url) as archive:
        assert await _read(archive, offset=4) == expected
    (asked,) = canned.requests
    assert asked.headers["range"] == "bytes=4-"


@pytest.mark.parametrize(
    "wrong",
    [
        reply(206, b"denc", Content_Range="bytes 3-6/8"),
        reply(206, b"ence"),
        reply(206, b"ence", Content_Range="pages 4-7/8"),
        reply(416, Content_Range="bytes */8"),
        reply(500),
    ],
)
async def test_a_rest_that_is_not_what_was_asked_for_is_asked_for_whole(
    nursery: trio.Nursery, wrong: bytes
) -> None:
    """A server that does not know ranges well is not asked for one a second time."""

    def script(asked: Asked) -> bytes:
        return wrong if "range" in asked.headers else reply(200, b"evidence")

    canned = await start_canned(nursery, script)
    async with client(canned.url) as archive:
        assert await _read(archive, offset=4) == (0, 8, b"evidence")
    assert len(canned.requests) == 2


async def test_the_connection_made_ahead_is_the_one_used(nursery: trio.Nursery) -> None:
    """Connecting twice makes one connection, and the next body comes over it."""
    canned = await start_canned(nursery, lambda _: reply(200, b"evidence"))
    async with client(canned.url) as archive:
        for _ in range(2):
            await archive.prepare()
        assert await _read(archive) == (0, 8, b"evidence")
    assert canned.connections == 1


async def test_connecting_ahead_to_nobody_is_no_error() -> None:
    """Whoever asks in earnest learns of it, as Unreachable."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with client(f"http://127.0.0.1:{taken.getsockname()[1]}") as archive:
            await archive.prepare()
            with pytest.raises(Unreachable):
                await _read(archive)


async def test_who_is_cancelled_while_a_thread_waits_for_bytes_does_not_wait(
    nursery: trio.Nursery,
) -> None:
    """The connection is shut, which ends the thread's wait, and closed."""
    canned = await start_canned(nursery, lambda _: [reply(200, b"evid", length=8), trio.Event()])
    async with client(canned.url) as archive:
        with (
            trio.fail_after(5),
            trio.move_on_after(0.1) as scope,
            Deadline() as deadline,
            await archive.stream(_CALL, offset=0, deadline=deadline) as stream,
        ):
            buffer = memoryview(bytearray(100))
            assert await stream.receive_into(buffer) == 4
            await stream.receive_into(buffer)
        assert scope.cancelled_caught
        with trio.fail_after(5):
            await canned.hung_up.wait()


async def test_what_comes_slowly_is_handed_on_as_it_comes(nursery: trio.Nursery) -> None:
    """A reader of a stream waits for no whole block."""
    pieces = [trio.Event() for _ in range(3)]
    answer: list[Part] = [reply(200, b"a", length=4)]
    for piece, byte in zip(pieces, (b"b", b"c", b"d"), strict=True):
        answer += [piece, byte]
    canned = await start_canned(nursery, lambda _: answer)
    async with client(canned.url) as archive:
        with (
            Deadline(10) as deadline,
            await archive.stream(_CALL, offset=0, deadline=deadline) as stream,
        ):
            buffer, got = memoryview(bytearray(100)), b""
            for piece in (*pieces, trio.Event()):
                size_bytes = await stream.receive_into(buffer)
                assert size_bytes == 1
                got += buffer[:size_bytes]
                piece.set()
            assert got == b"abcd"
            assert await stream.receive_into(buffer) == 0


async def test_without_threads_a_body_comes_all_the_same(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a process may have no more."""

    async def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    canned = await start_canned(nursery, lambda _: [reply(200, b"evid", length=8), b"ence"])
    async with client(canned.url) as archive:
        with monkeypatch.context() as patch:
            patch.setattr(trio.to_thread, "run_sync", refuse)
            with (
                Deadline() as deadline,
                await archive.stream(_CALL, offset=0, deadline=deadline) as stream,
            ):
                buffer, got = memoryview(bytearray(100)), b""
                while size_bytes := await stream.receive_into(buffer):
                    got += buffer[:size_bytes]
    assert got == b"evidence"
