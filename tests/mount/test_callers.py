"""Whoever waits for too long, or was killed, is let go."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from trio.testing import MockClock

from attachfs.errors import Interrupted, NotFound, TimedOut
from attachfs.mount.callers import Callers, is_ending

# A thread that blocks, ignores or handles signals, and says when it does.
_PREPARE = {
    "blocks": "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
    "ignores": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "lives": "pass",
}


@contextmanager
def _sleeper(prepare: str) -> Iterator[int]:
    """Run a process which is stopped, so that what it is sent stays pending."""
    script = f"import signal, time; {_PREPARE[prepare]}; print('ready', flush=True); time.sleep(99)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("prepare", "sent", "ending"),
    [
        ("lives", None, False),
        ("lives", signal.SIGTERM, True),
        ("lives", signal.SIGINT, True),
        ("lives", signal.SIGCHLD, False),
        ("lives", signal.SIGWINCH, False),
        ("blocks", signal.SIGTERM, False),
        ("ignores", signal.SIGTERM, False),
        ("ignores", signal.SIGHUP, True),
    ],
)
def test_what_a_process_was_sent_tells_whether_it_ends(
    prepare: str, sent: signal.Signals | None, *, ending: bool
) -> None:
    """Other signals, and those that it does not mind, are no reason to fail its calls."""
    with _sleeper(prepare) as pid:
        if sent is not None:
            os.kill(pid, sent)
        assert is_ending(pid) is ending


def test_nobody_that_cannot_be_seen_is_ending() -> None:
    """As a process of another namespace, or one that has gone."""
    assert not is_ending(0)
    assert not is_ending(2**22 + 1)
    assert not is_ending(os.getpid())


async def _not_there() -> None:
    await trio.sleep(29)
    raise NotFound("there is no such thing")


@pytest.fixture
async def callers(nursery: trio.Nursery) -> Callers:
    """Callers that are watched."""
    callers = Callers(timeout_s=30)
    nursery.start_soon(callers.watch)
    return callers


async def test_who_waits_too_long_is_let_go(callers: Callers, autojump_clock: MockClock) -> None:
    """Half a second after its time: what has a reason of its own is told with that."""
    with pytest.raises(TimedOut, match="30 s"), callers.waiting(0):
        await trio.sleep_forever()
    assert autojump_clock.current_time() == pytest.approx(30.5, abs=0.5)


async def test_who_is_answered_is_left_alone(callers: Callers, autojump_clock: MockClock) -> None:
    """With a result or an error, before its time is over."""
    with callers.waiting(os.getpid()):
        await trio.sleep(29)
    with pytest.raises(NotFound), callers.waiting(os.getpid()):
        await _not_there()
    with trio.move_on_after(5) as scope, callers.waiting(0):
        await trio.sleep_forever()
    assert scope.cancelled_caught
    assert autojump_clock.current_time() == pytest.approx(63)


@pytest.mark.usefixtures("autojump_clock")
async def test_who_was_killed_is_let_go_at_once(callers: Callers) -> None:
    """Among many who were not, within a second."""
    outcomes: list[str] = []

    async def wait(pid: int) -> None:
        try:
            with callers.waiting(pid):
                await trio.sleep_forever()
        except Interrupted:
            outcomes.append("interrupted")

    with _sleeper("lives") as pid:
        async with trio.open_nursery() as nursery:
            for other in (os.getpid(), 0, pid):
                nursery.start_soon(wait, other)
            os.kill(pid, signal.SIGTERM)
            with trio.fail_after(1):
                while not outcomes:  # noqa: ASYNC110 - nothing else tells
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert outcomes == ["interrupted"]
