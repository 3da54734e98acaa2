"""One download under way: a worker thread writes and hashes, readers follow the watermark."""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Final

import trio

from attachfs.archive.endpoints import Download
from attachfs.archive.streams import Streams
from attachfs.content.sinks import Sink, copy
from attachfs.content.stored import RunningDigest
from attachfs.content.verification import Expected
from attachfs.errors import AttachfsError, Closing, TimedOut

# The last bytes of a body that is read while it comes: withheld until its hash has agreed, so
# that no reader gets to the end of bytes that are wrong.
_WITHHELD_BYTES: Final = 1024 * 1024
# Readers give up a little later than the download does, which knows better why.
_GRACE_S: Final = 0.5


class Fill:
    """Take one body into a sink; its readers read what is below the watermark.

    `verify_first` withholds all of it until the whole hash agrees. `pump` blocks, and belongs to
    one worker thread at a time; all else belongs to the event loop.
    """

    def __init__(self, sink: Sink, expected: Expected, *, verify_first: bool) -> None:
        self._sink = sink
        self._expected = expected
        self._verify_first = verify_first
        self._digest = RunningDigest()
        self._released_bytes = 0
        self._waiters: list[tuple[int, trio.Event]] = []
        self._token = trio.lowlevel.current_trio_token()
        self._given_up = False
        self._moved_s: float | None = None
        self._grown_s: float | None = None
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
            if end <= self._released_bytes:
                continue  # the thread moved on before it could see who waits
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
        """Make the thread stop at its next chunk."""
        self._given_up = True

    def finish(self, error: AttachfsError | None) -> None:
        """Release all of the verified body, or tell every reader why there is none."""
        self.error = error
        if error is None:
            self._released_bytes = self.size_bytes
        self._wake()

    def pump(
        self,
        streams: Streams,
        download: Download,
        patience_s: float,
        *,
        on_answer: Callable[[], None],
    ) -> None:
        """Take in what is still missing of the body; blocks.

        `patience_s` bounds each wait for bytes; `on_answer` is called in the event loop once the
        server has begun to answer. What an earlier call took in is kept: the rest is asked for,
        or, where the server sends all of it again, what came already is compared by its hash.
        Raises `Mismatch` for bytes that are not those expected, `OSError` where the sink fails,
        and what `streams` raises.
        """
        if self._given_up:  # while it waited for its thread
            raise Closing("the last reader has gone")
        self._moved_s = self._moved_s or time.monotonic()
        offset = self._digest.size_bytes
        with (
            streams.open(download, offset=offset, patience_s=patience_s) as stream,
            closing(_Taker(self._take)) as taker,  # ends before the stream, which owns the chunks
        ):
            self._token.run_sync_soon(on_answer)
            self._expected.check_announced(stream.length_bytes)
            again = RunningDigest()
            skip_bytes = self._digest.size_bytes - stream.offset
            for chunk in stream.chunks:
                if self._given_up:
                    raise Closing("the last reader has gone")
                view = memoryview(chunk)
                if again.size_bytes < skip_bytes:
                    known = view[: skip_bytes - again.size_bytes]
                    again.update(known)
                    self._moved_s = time.monotonic()
                    view = view[len(known) :]
                    if again.size_bytes < skip_bytes:
                        continue
                    self._check_same(again)
                taker.take(view)
            taker.wait()
        self._expected.check(self._digest.size_bytes, self._digest.hexdigest())

    def _take(self, chunk: memoryview) -> None:
        begin = self._digest.size_bytes
        self._expected.check_so_far(begin + len(chunk))
        self._sink.write(chunk, begin)
        self._digest.update(chunk)
        self._moved_s = self._grown_s = time.monotonic()
        if not self._verify_first:
            self._release(min(begin + len(chunk), self.size_bytes - _WITHHELD_BYTES))

    def _release(self, end: int) -> None:
        if end <= self._released_bytes:
            return
        self._released_bytes = end
        if self._waiters:
            self._token.run_sync_soon(self._wake, idempotent=True)

    def _wake(self) -> None:
        over = self.error is not None
        waiters, self._waiters = self._waiters, []
        for end, released in waiters:
            if over or end <= self._released_bytes:
                released.set()
            else:
                self._waiters.append((end, released))

    def _check_same(self, again: RunningDigest) -> None:
        if again.hexdigest() != self._digest.hexdigest():
            raise self._expected.mismatch("the server sent other bytes the second time", None)


class _Taker:
    """Write and hash one chunk while the next one is received and decrypted."""

    def __init__(self, take: Callable[[memoryview], None]) -> None:
        self._take = take
        self._thread: ThreadPoolExecutor | None = ThreadPoolExecutor(1)
        self._taken: Future[None] | None = None

    def close(self) -> None:
        """Wait for what is under way, and end the thread."""
        if self._thread is not None:
            self._thread.shutdown()

    def take(self, chunk: memoryview) -> None:
        """Take a chunk, once the one before has been; raises what that one has."""
        self.wait()
        if self._thread is not None:
            try:
                self._taken = self._thread.submit(self._take, chunk)
            except RuntimeError:  # the interpreter ends, or there are no more threads
                # Waits for nothing: what was to be done there never began.
                self._thread.shutdown(wait=False, cancel_futures=True)
                self._thread = None
            else:
                return
        self._take(chunk)

    def wait(self) -> None:
        """Wait until the last chunk has been taken; raises what that has."""
        taken, self._taken = self._taken, None
        if taken is not None:
            taken.result()


def _since_s(at_s: float | None) -> float:
    return 0.0 if at_s is None else time.monotonic() - at_s
