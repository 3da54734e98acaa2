"""A process that was told to end and does not is ended."""

import subprocess
import sys

_PROGRAM = """
import signal, threading, time
from attachfs.mount.watchdog import Watchdog

signal.signal(signal.SIGUSR1, lambda *_: None)
watchdog = Watchdog(0.0, lambda: print("late", flush=True))
(thread,) = [each for each in threading.enumerate() if each.name == "watchdog"]
for _ in range(20):
    signal.pthread_kill(thread.ident, signal.SIGUSR1)
    time.sleep(0.005)
watchdog.tell(15)
threading.Event().wait(60)
"""


def test_watchdog_ends_the_process_whatever_signals_came_to_its_thread() -> None:
    """With the status of the signal, after it has done what is left to do."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (143, "late\n")
    assert "not done 0 s after signal 15" in done.stderr
    assert "Traceback" not in done.stderr
