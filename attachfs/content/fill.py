"""One download under way: threads write and hash what is received, readers follow."""

import os
from collections.abc import Callable
from contextlib import suppress
from math import inf
from queue import SimpleQueue
from typing import Final

import trio

from attachfs.archive.client import Archive, BodyStream
from attachfs.archive.endpoints import Download
from attachfs.archive.http.deadline import Deadline
from attachfs.content.sinks import Sink, copy
from attachfs.content.stored import RunningDigest
from attachfs.content.verification import Expected
from attachfs.errors import AttachfsError, Closing, TimedOut

# The last bytes of a body that is read while it comes: withheld until its hash has agreed, so
# that no reader gets to the end of bytes that are wrong.
_WITHHELD_BYTES: Final = 1024 * 1024
# Readers give up a little later than the download does, which knows better why.
_GRACE_S: Final = 0.5
# One is received while a thread hashes another, and one waits, so that the thread never does.
_BLOCKS: Final = 3
_BLOCK_BYTES: Final = 512 * 1024


class Fill:
    """Take one body into a sink; its readers read what is below the watermark.

    `verify_first` withholds all of it until the whole hash agrees.
    """

    def __init__(self, sink: Sink, expected: Expected, *, verify_first: bool) -> None:
        self._sink = sink
        self._expected = expected
        self._verify_first = verify_first
        self._digest = RunningDigest()
        self._released_bytes = 0
        self._waiters: list[tuple[int, trio.Event]] = []
        self._given_up = False
        self._is_whole = False
        self._ended = trio.Event()
        self._scope = trio.CancelScope()
        self._moved_s = inf
        self._grown_s = inf
        self.error: AttachfsError | None = None
        self.readers = 0

    @property
    def expected(self) -> Expected:
        """What the body must be."""
        return self._expected

    @property
    def size_bytes(self) -> int:
        """The size of the whole body."""
        return self._expected.size_bytes

    @property
    def digest(self) -> RunningDigest:
        """The hash of what has come so far."""
        return self._digest

    @property
    def released_bytes(self) -> int:
        """How far readers may read."""
        return self._released_bytes

    def read_now(self, offset: int, size_bytes: int) -> bytes | None:
        """Return the bytes if all of them have been released, else None."""
        end = min(offset + size_bytes, self.size_bytes)
        if end > self._released_bytes:
            return None
        return os.pread(self._sink.descriptor, max(0, end - offset), offset)

    async def read(self, offset: int, size_bytes: int, *, timeout_s: float) -> bytes:
        """Return the bytes once they have been released.

        Raises why the download failed, or `TimedOut` once no bytes have come for `timeout_s`
        seconds: not from this read on, as the kernel repeats a read that failed. A download that
        waits for its thread is not late.
        """
        end = min(offset + size_bytes, self.size_bytes)
        while self.error is None:
            data = self.read_now(offset, size_bytes)
            if data is not None:
                return data
            released = trio.Event()
            self._waiters.append((end, released))
            left_s = timeout_s + _GRACE_S - self._idle_s()
            if left_s <= 0:
                raise TimedOut(f"no bytes came for {timeout_s:g} s")
            with trio.move_on_after(left_s):
                await released.wait()
        raise self.error.with_traceback(None)

    @property
    def given_up(self) -> bool:
        """Tell whether it is no use to join."""
        return self._given_up

    def move_to(self, sink: Sink) -> None:
        """Go on in another sink, with what has come so far; blocks; raises `OSError`."""
        copy(self._sink.descriptor, sink.descriptor, self._digest.size_bytes)
        self._sink = sink

    def _idle_s(self) -> float:
        """Return for how long the download has not moved on."""
        return _since_s(self._moved_s)

    def stagnant_s(self) -> float:
        """Return for how long no bytes have come that had not come before; 0 before the first."""
        return _since_s(self._grown_s)

    def give_up(self) -> None:
        """End the download, because nobody reads it any more; one that is whole is kept."""
        if self._is_whole:
            return
        self._given_up = True
        self._scope.cancel()

    def release(self) -> None:
        """Release all of the body, which has been verified, while it is stored."""
        self._is_whole = True
        self._released_bytes = self.size_bytes
        self._wake()

    async def settle(self) -> None:
        """Wait until a body that is whole has been stored, or could not be."""
        if self._is_whole:
            await self._ended.wait()

    def finish(self, error: AttachfsError | None) -> None:
        """Release all of the verified body, or tell every reader why there is none."""
        self.error = error
        if error is None:
            self._released_bytes = self.size_bytes
        self._ended.set()
        self._wake()

    async def pump(
        self,
        archive: Archive,
        download: Download,
        deadline: Deadline,
        *,
        on_answer: Callable[[], None],
    ) -> None:
        """Take in what is still missing of the body.

        `deadline` bounds each wait for bytes; `on_answer` is called once the server has begun to
        answer. What an earlier call took in is kept: the rest is asked for, or, where the server
        sends all of it again, what came already is compared by its hash. Raises `Mismatch` for
        bytes that are not those expected, `Closing` where nobody reads any more, `OSError` where
        the sink fails, and what `Archive.stream` raises.
        """
        with trio.CancelScope() as self._scope:  # one for each call, as trio asks
            if self._given_up:
                self._scope.cancel()
            self._moved_s = min(self._moved_s, trio.current_time())
            offset = self._digest.size_bytes
            stream = await archive.stream(download, offset=offset, deadline=deadline)
            with stream:
                on_answer()
                self._expected.check_announced(stream.length_bytes)
                blocks = _Blocks(stream, deadline)
                if stream.offset < offset:
                    await self._compare(blocks, offset - stream.offset)
                await blocks.take_each(self._take, self._taken)
            self._expected.check(self._digest.size_bytes, self._digest.hexdigest())
            return
        raise Closing("the last reader has gone")

    async def _compare(self, blocks: "_Blocks", size_bytes: int) -> None:
        """Compare what is sent again with what came before."""
        again = RunningDigest()
        while again.size_bytes < size_bytes:
            known = await blocks.receive(size_bytes - again.size_bytes)
            if not known:
                return  # shorter than before: the length says so
            blocks.suspend()
            await trio.to_thread.run_sync(again.update, known)
            self._moved_s = trio.current_time()
        if again.hexdigest() != self._digest.hexdigest():
            raise self._expected.mismatch("the server sent other bytes the second time", None)

    def _take(self, block: memoryview) -> None:
        """Write and hash a block; blocks, in a thread."""
        begin = self._digest.size_bytes
        self._expected.check_so_far(begin + len(block))
        self._sink.write(block, begin)
        self._digest.update(block)

    def _taken(self) -> None:
        self._moved_s = self._grown_s = trio.current_time()
        if not self._verify_first:
            self._release(min(self._digest.size_bytes, self.size_bytes - _WITHHELD_BYTES))

    def _release(self, end: int) -> None:
        if end <= self._released_bytes:
            return
        self._released_bytes = end
        self._wake()

    def _wake(self) -> None:
        over = self.error is not None
        waiters, self._waiters = self._waiters, []
        for end, released in waiters:
            if over or end <= self._released_bytes:
                released.set()
            else:
                self._waiters.append((end, released))


class _Blocks:
    """Receive a body in blocks, for each of which a thread is ready while the next one comes."""

    def __init__(self, stream: BodyStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline
        left_bytes = inf if stream.length_bytes is None else stream.length_bytes - stream.offset
        # No larger for a small body: to clear them takes time.
        block_bytes = int(min(left_bytes + 1, _BLOCK_BYTES))
        self._free = [memoryview(bytearray(block_bytes)) for _ in range(_BLOCKS)]

    async def receive(self, most_bytes: int) -> memoryview:
        """Receive some bytes, none at the end; they are good until the next call."""
        buffer = self._free[0][:most_bytes]
        return buffer[: await self._stream.receive_into(buffer)]

    def suspend(self) -> None:
        """Have the deadline wait for a thread: a download that waits for one is not late."""
        self._deadline.suspend()

    async def take_each(
        self, take: Callable[[memoryview], None], on_taken: Callable[[], None]
    ) -> None:
        """Have a thread `take` all blocks, in order, while the next ones come.

        `on_taken` is called after each. Raises what `take` raises, or else what receiving raises.
        """
        taker = _Taker(take, on_taken, self._free)
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(taker.run)
            try:
                try:
                    await self._receive_all(taker)
                except AttachfsError as error:  # which the nursery would put into a group
                    failure = error
                self.suspend()
                taker.finish()
                await taker.over.wait()
            except BaseException:
                taker.stop()
                raise
        failure = taker.failure or failure
        if failure is not None:
            raise failure

    async def _receive_all(self, taker: "_Taker") -> None:
        while True:
            if not self._free:
                self.suspend()
                await taker.free_one()
            if taker.failure is not None:
                return
            block = self._free.pop()
            got = await self._stream.receive_into(block)
            if not got:
                return
            taker.put(block, got)


class _Taker:
    """Have a thread take blocks, without a turn of the event loop in between.

    A block that was taken is `free` again; `failure` is why one was not taken, and no other is
    after that.
    """

    def __init__(
        self,
        take: Callable[[memoryview], None],
        on_taken: Callable[[], None],
        free: list[memoryview],
    ) -> None:
        self._take = take
        self._on_taken = on_taken
        self._free = free
        self._queue: SimpleQueue[tuple[memoryview, int] | None] = SimpleQueue()
        self._token = trio.lowlevel.current_trio_token()
        self._freed = trio.Event()
        self._stopped = False
        self._is_inline = False
        self.failure: Exception | None = None
        self.over = trio.Event()

    def put(self, block: memoryview, size_bytes: int) -> None:
        """Have the first bytes of a block taken."""
        self._queue.put((block, size_bytes))
        if self._is_inline:
            self.finish()
            self._take_all(self._note)

    async def free_one(self) -> None:
        """Wait until a block has been taken, or the last one could not be."""
        self._freed = trio.Event()
        if not self._free and self.failure is None:
            await self._freed.wait()

    def finish(self) -> None:
        """Have the thread end once it has taken what was put."""
        self._queue.put(None)

    def stop(self) -> None:
        """Have the thread end once it has taken the block that it is about."""
        self._stopped = True
        self._queue.put(None)

    async def run(self) -> None:
        """Take blocks in a thread until `finish` or `stop`, and wait for its end."""
        try:
            await trio.to_thread.run_sync(self._take_all, self._note_soon)
        except RuntimeError:  # this process may have no more threads
            self._is_inline = True
            if not self._queue.empty():
                self.finish()
                self._take_all(self._note)
        finally:
            self.over.set()

    def _take_all(self, note: Callable[[memoryview], None]) -> None:
        while (item := self._queue.get()) is not None and not self._stopped:
            block, size_bytes = item
            if self.failure is None:
                try:
                    self._take(block[:size_bytes])
                except Exception as error:  # noqa: BLE001 - raised where blocks are received
                    self.failure = error
            note(block)

    def _note_soon(self, block: memoryview) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._note, block)

    def _note(self, block: memoryview) -> None:
        self._free.append(block)
        if self.failure is None:
            self._on_taken()
        self._freed.set()


def _since_s(at_s: float) -> float:
    return max(0.0, trio.current_time() - at_s)
