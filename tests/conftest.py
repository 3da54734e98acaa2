"""Shared fixtures: an archive of the test's own on a real socket, and logs that must stay quiet."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import stamina
import structlog
import trio
from hypothesis import settings

from attachfs.demo.launch import ArchiveConfig, RunningArchive, run_archive
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

# Begun first, so that no worker has the last one to itself: the package alone takes a minute.
_LONG_FILES = (
    "test_build_deb.py",
    "test_cluster.py",
    "test_documents.py",
    "test_environment.py",
    "test_jobs.py",
    "test_secrets.py",
    "test_soak.py",
)

_REQUIRE_FUSE = bool(os.environ.get("ATTACHFS_REQUIRE_FUSE"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long; skip what mounts where there is no /dev/fuse, but never in CI."""
    items.sort(key=lambda item: item.path.name not in _LONG_FILES)
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        if _REQUIRE_FUSE:
            return
        skip = pytest.mark.skip(reason=f"cannot mount: /dev/fuse: {error.strerror}")
        for item in items:
            if item.get_closest_marker("mount") is not None:
                item.add_marker(skip)


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
def quick_retries(expected_warnings: set[str]) -> Iterator[None]:
    """Retry as often as ever, without the waits in between: for tests on real sockets."""
    expected_warnings.add("stamina.retry_scheduled")
    with stamina.set_testing(True, attempts=100, cap=True):
        yield
