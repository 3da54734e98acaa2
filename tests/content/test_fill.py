"""Blocks of a download are taken by a thread while the next ones are received."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest
import trio

from attachfs.archive.http.deadline import Deadline
from attachfs.content import fill
from attachfs.content.fill import _Blocks
from attachfs.errors import Unreachable


class _Stream:
    """Receive pieces, one at a time; an error is raised."""

    offset = 0

    def __init__(
        self, pieces: Iterable[bytes | Exception], length_bytes: int | None = None
    ) -> None:
        self._pieces = iter(pieces)
        self._left = b""
        self.length_bytes = length_bytes
        self.received = 0

    async def receive_into(self, buffer: memoryview) -> int:
        await trio.lowlevel.checkpoint()
        piece = self._left or next(self._pieces, b"")
        if isinstance(piece, Exception):
            raise piece
        fits = min(len(piece), len(buffer))
        buffer[:fits], self._left = piece[:fits], piece[fits:]
        self.received += 1
        return fits


async def _take_each(
    stream: _Stream, take: Callable[[memoryview], None], on_taken: Callable[[], None] = lambda: None
) -> None:
    with Deadline() as deadline:
        await _Blocks(stream, deadline).take_each(take, on_taken)  # type: ignore[arg-type]


@pytest.mark.parametrize("block_bytes", [3, 4, 7, 1000])
async def test_blocks_are_taken_whole_and_in_order(
    monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    """However they are cut, and whether the length is known; each is told of."""
    monkeypatch.setattr(fill, "_BLOCK_BYTES", block_bytes)
    content = bytes(range(100))
    for length_bytes in (None, 100):
        taken: list[bytes] = []
        told: list[int] = []
        stream = _Stream([content[i : i + 3] for i in range(0, 100, 3)], length_bytes)

        await _take_each(
            stream,
            lambda block, taken=taken: taken.append(bytes(block)),  # type: ignore[misc]
            lambda told=told, taken=taken: told.append(len(taken)),  # type: ignore[misc]
        )
        assert b"".join(taken) == content
        assert len(told) == len(taken) == told[-1]
        assert told == sorted(told)


async def test_the_next_block_is_received_while_one_is_taken() -> None:
    """The thread holds the first until all others have come."""
    taken: list[bytes] = []
    stream = _Stream([b"one", b"two", b"three"])
    all_came = threading.Event()

    async def tell() -> None:
        while stream.received < 3:
            await trio.lowlevel.checkpoint()
        all_came.set()

    def take(block: memoryview) -> None:
        assert all_came.wait(30)
        taken.append(bytes(block))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell)
        await _take_each(stream, take)
    assert taken == [b"one", b"two", b"three"]


@pytest.mark.parametrize("kind", [OSError, ValueError])
async def test_what_the_thread_raises_is_raised_and_ends_the_receiving(
    kind: type[Exception],
) -> None:
    """As it is, not in a group; a disk that is full is no reason to receive the rest."""
    stream = _Stream([b"x"] * 1000)

    def take(_: memoryview) -> None:
        raise kind("no")

    with pytest.raises(kind, match="no"):
        await _take_each(stream, take)
    assert stream.received < 1000


async def test_what_receiving_raises_is_raised_once_all_has_been_taken_that_came() -> None:
    """An attempt that got on leaves behind what it got."""
    taken: list[bytes] = []
    stream = _Stream([b"one", Unreachable("cut")])
    with pytest.raises(Unreachable, match="cut"):
        await _take_each(stream, lambda block: taken.append(bytes(block)))
    assert taken == [b"one"]


async def test_who_is_cancelled_waits_for_the_block_that_is_being_taken() -> None:
    """Nothing is written behind the back of who goes on with the sink."""
    began, go_on = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()
    ended: list[bool] = []

    def take(_: memoryview) -> None:
        token.run_sync_soon(began.set)
        go_on.wait(30)
        ended.append(True)

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_take_each, _Stream([b"x", b"y"]), take)
            await began.wait()
            scope.cancel()
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()
            go_on.set()
    assert ended == [True]


@contextmanager
def _no_more_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    async def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", refuse)
        yield


async def test_without_threads_blocks_are_taken_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a process may have no more: each once."""
    taken: list[bytes] = []
    with _no_more_threads(monkeypatch):
        await _take_each(_Stream([b"one", b"two"]), lambda block: taken.append(bytes(block)))
    assert b"".join(taken) == b"onetwo"
