"""Shared fixtures: an archive of the test's own on a real socket, and logs that must stay quiet.

And what holds for the whole run: the signals that tests rely on, time limits, the order of files,
what `--quick` leaves out, and the summary of time and memory.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import structlog
import trio
from hypothesis import settings, strategies

from attachfs.archive import policy
from attachfs.demo.launch import ArchiveConfig, RunningArchive, run_archive
from tests.support.archives import OPEN_INDEXES
from tests.support.estates import Estate, serving_estate
from tests.support.threads import in_thread

# The same examples in every run, whatever the machine's pace; a soak asks for others, and for more.
_TIMES = int(os.environ.get("ATTACHFS_EXAMPLES", "1"))
EXAMPLES = 100 * _TIMES
settings.register_profile(
    "attachfs",
    derandomize=_TIMES == 1,
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
)
settings.load_profile("attachfs")

pytest_plugins = ["tests.support.own_process"]

# Begun first, so that no worker has the last one to itself: the package alone takes a minute.
_LONG_FILES = (
    "test_build_deb.py",
    "test_cluster.py",
    "test_environment.py",
    "test_jobs.py",
    "test_secrets.py",
    "test_soak.py",
)

# Their tests run programs, if not attachfs.
_ROOMS_OF_PROCESSES = ("cli", "docs", "mount", "reliability", "scripts")

_REQUIRE_FUSE = bool(os.environ.get("ATTACHFS_REQUIRE_FUSE"))
_PROCESS_EVENTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec")
# Tests send SIGINT and SIGHUP to themselves and to programs, which inherit what is ignored: all
# signals are under nohup, in the background of a script, and by some CI runners.
_SIGNALS = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD),
)
_WORKER_BYTES = 400_000_000
# Of the C library, malloc.h. Each thread's arena keeps what the thread has freed, and tests have
# thousands of threads; bodies of more than the threshold are given back to the system at once.
_M_MMAP_THRESHOLD, _M_ARENA_MAX, _THRESHOLD_BYTES = -3, -8, 256 * 1024
_STARTED_S = float(os.environ.get("ATTACHFS_TESTS_STARTED_S", time.time()))

_libc = ctypes.CDLL(None)
_dispositions: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}
_worker_memory: dict[str, tuple[int, int, str]] = {}
_peaks_bytes: list[int] = []
_raised_by: dict[int, str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--quick`."""
    parser.addoption(
        "--quick", action="store_true", help="leave out tests that mount or start a process"
    )


def pytest_configure() -> None:
    """Give signals the dispositions of a program started at a terminal, and bound the heap."""
    for number in _SIGNALS:
        is_interrupt = number is signal.SIGINT
        action = signal.default_int_handler if is_interrupt else signal.SIG_DFL
        _dispositions[number] = signal.signal(number, action)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _libc.mallopt(_M_ARENA_MAX, 1)
    _libc.mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """Have the table that strings are made by written before workers start: it takes 200 MB."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        strategies.text().validate()


def pytest_unconfigure() -> None:
    """Restore the dispositions."""
    for number, action in _dispositions.items():
        if action is not None:  # not set by Python
            signal.signal(number, action)


def _peak_bytes() -> int:
    """Return the most memory that this process has had.

    Not ru_maxrss: that is at least what the process that started this one had.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish(nodeid: str) -> None:
    """Note by how much a test has raised the most memory that this process has had."""
    peak_bytes = _peak_bytes()
    if _peaks_bytes:
        _raised_by[peak_bytes - _peaks_bytes.pop()] = nodeid.partition("::")[0]
    _peaks_bytes.append(peak_bytes)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Report the most memory that this worker of xdist has had, and what raised it most."""
    if (report := getattr(session.config, "workeroutput", None)) is not None:
        most_bytes = max(_raised_by, default=0)
        report["memory"] = _peak_bytes(), most_bytes, _raised_by.get(most_bytes, "")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Collect what workers report."""
    if error is None and node.config.getoption("numprocesses"):
        _worker_memory[node.gateway.id] = node.workeroutput["memory"]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how long all of it took, checks included, and how large the workers were."""
    terminalreporter.write_sep("-", f"{time.time() - _STARTED_S:.0f} s with checks and set-up")
    for worker, (peak_bytes, most_bytes, raised_by) in sorted(_worker_memory.items()):
        too_large = f", more than {_WORKER_BYTES / 1e6:.0f}" if peak_bytes > _WORKER_BYTES else ""
        terminalreporter.write_line(
            f"{worker}: {peak_bytes / 1e6:.0f} MB at most{too_large}; "
            f"{most_bytes / 1e6:.0f} MB of them since {raised_by}"
        )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `--quick`, do not even import what would be left out as a whole."""
    return True if config.getoption("quick") and _starts_processes(collection_path) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes long; leave out what is not to be run, or cannot.

    Where there is no /dev/fuse, tests that mount are skipped, but never in CI.
    """
    items.sort(key=lambda item: item.path.name not in _LONG_FILES)
    for item in items:
        if _starts_processes(item.path):
            item.add_marker(pytest.mark.process)
    if config.getoption("quick"):
        slow = {item for item in items if any(map(item.get_closest_marker, ("mount", "process")))}
        config.hook.pytest_deselected(items=list(slow))
        items[:] = [item for item in items if item not in slow]
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        if _REQUIRE_FUSE:
            return
        skip = pytest.mark.skip(reason=f"cannot mount: /dev/fuse: {error.strerror}")
        for item in items:
            if item.get_closest_marker("mount") is not None:
                item.add_marker(skip)


def _starts_processes(path: Path) -> bool:
    """Return whether a path is in one of the rooms whose tests run programs."""
    return any(path.is_relative_to(Path(__file__).parent / room) for room in _ROOMS_OF_PROCESSES)


@pytest.fixture(scope="session", autouse=True)
def _no_process(request: pytest.FixtureRequest) -> None:
    """With `--quick`, fail each test that starts a process: it lacks its mark."""

    def refuse(event: str, _: tuple[object, ...]) -> None:
        if event in _PROCESS_EVENTS:
            raise RuntimeError("this test starts a process: mark it with pytest.mark.process")

    if request.config.getoption("quick"):
        sys.addaudithook(refuse)


@pytest.fixture(scope="module", autouse=True)
def _trimmed_heap() -> Iterator[None]:
    """Give the system back what the tests of a file have freed."""
    yield
    _libc.malloc_trim(0)


@contextmanager
def serving(config: ArchiveConfig) -> Iterator[RunningArchive]:
    """Run an embedded archive in a thread of its own, for tests that block."""

    async def serve(task_status: trio.TaskStatus[RunningArchive]) -> None:
        await run_archive(config, task_status=task_status)

    with in_thread(serve, name="embedded archive") as running:
        yield running


@pytest.fixture
def serve() -> Iterator[Callable[[ArchiveConfig], RunningArchive]]:
    """Start embedded archives that end with the test."""
    with ExitStack() as stack:
        yield lambda config: stack.enter_context(serving(config))


@pytest.fixture
async def estate(tmp_path: Path) -> AsyncIterator[Estate]:
    """An embedded archive in the test's own loop, empty, and short ways to fill it."""
    async with serving_estate(tmp_path) as estate:
        yield estate


@pytest.fixture
def samples() -> Path:
    """The recorded and documented answers of the service."""
    return Path(__file__).parent / "data" / "samples"


@pytest.fixture
def expected_warnings() -> set[str]:
    """Events of at least warning level that this test provokes; any other fails it."""
    return set()


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Have the umask that a test begins with, whatever commands do in this process."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def _closed_indexes() -> Iterator[None]:
    """Close the indexes in memory that a test has opened, after its nurseries have ended."""
    yield
    while OPEN_INDEXES:
        OPEN_INDEXES.pop().close()


@pytest.fixture(autouse=True)
def quiet_log(expected_warnings: set[str]) -> Iterator[list[structlog.typing.EventDict]]:
    """Capture the log, and fail the test where it holds a warning that was not expected."""
    with structlog.testing.capture_logs() as events:
        yield events
    unexpected = [
        event
        for event in events
        if event["log_level"] in ("warning", "error", "critical")
        and not any(part in event["event"] for part in expected_warnings)
    ]
    assert not unexpected, unexpected


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry as often as ever, without the waits in between: for tests on real sockets."""
    monkeypatch.setattr(policy, "FIRST_PAUSE_S", 0.0)
