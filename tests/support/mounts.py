"""Real mounts by the real program, and an archive that can be steered.

The fixtures are for the conftest of each room whose tests mount.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from attachfs.demo.estate import SAMPLE
from attachfs.demo.launch import ArchiveConfig, RunningArchive
from tests.support import forkserver
from tests.support.clocks import Clocks
from tests.support.plain import NO_AUTHORITIES

VIEWS = ["assets", "by-name", "publicassets", "as-of"]
PATIENCE_S = 60.0  # for what takes well under a second; only a failure waits that long
_MOST_HELD = 1000


class Steering:
    """Change an archive and look at its requests, through its control interface."""

    def __init__(self, running: RunningArchive) -> None:
        token = running.token_file.read_text().split()[-1]
        self.url = running.url
        self.token_file = running.token_file
        self.running = running
        self._http = httpx.Client(
            base_url=f"{running.url}/_embedded",
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            verify=NO_AUTHORITIES,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def client(self) -> tuple[object, ...]:
        """The options of a mount that has an app registration's credentials."""
        client_id, secret_file = self.running.client_id, self.running.client_secret_file
        return ("--client-id", client_id, "--client-secret-file", secret_file)

    def switch(self, **switches: Any) -> None:
        """Throw switches."""
        self._http.patch("/switches", json=switches).raise_for_status()

    def edit(self, kind: str, uuid: str, **changes: Any) -> None:
        """Edit a blob, asset or event in place."""
        self._http.patch(f"/{kind}/{uuid}", json=changes).raise_for_status()

    def fail_next(self, **failure: Any) -> None:
        """Order failures."""
        self._http.post("/fail_next", json=failure).raise_for_status()

    def hold(self, path_regex: str, *, after: int, for_s: float = 20 * PATIENCE_S) -> None:
        """Answer so many matching requests, and the others only after some seconds."""
        self.fail_next(path_regex=path_regex, skip=after, status=0, delay_s=for_s, times=_MOST_HELD)

    def held(self) -> int:
        """Return how many requests have been held since `hold`, where nothing else is ordered."""
        return _MOST_HELD - self.failures_left()

    def reset(self) -> None:
        """Forget the requests so far, and hold no more."""
        self._http.delete("/requests").raise_for_status()

    def paths(self, pattern: str = "") -> list[str]:
        """Return the paths asked for since the last reset that match."""
        return [request["path"] for request in self.requests(pattern)]

    def requests(self, pattern: str = "") -> list[dict[str, Any]]:
        """Return the requests since the last reset whose path matches, as they were logged."""
        logged = self._http.get("/requests").raise_for_status().json()["requests"]
        return [request for request in logged if re.search(pattern, request["path"])]

    def revoke_tokens(self) -> None:
        """Make every token that was exchanged for invalid."""
        self._http.delete("/tokens").raise_for_status()

    def failures_left(self) -> int:
        """Return how many ordered failures have not met their requests yet."""
        left: int = self._http.get("/requests").raise_for_status().json()["failures_left"]
        return left

    def record(self, path: str) -> dict[str, Any]:
        """Return a record as the API serves it."""
        headers = self._http.headers
        answer = httpx.get(
            f"{self.url}/archivist/v2/{path}",
            headers=headers,
            trust_env=False,
            verify=NO_AUTHORITIES,
        )
        record: dict[str, Any] = answer.raise_for_status().json()
        return record


@dataclass
class Mount:
    """A mount in a process of its own."""

    path: Path
    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)
    expected_warnings: set[str] = field(default_factory=set)
    expected_status: int = 0

    def asset(self, name: str) -> Path:
        """Return the directory of a sample asset."""
        return self.path / "assets" / SAMPLE[f"asset:{name}"]

    def event(self, name: str, *, of: str) -> Path:
        """Return the directory of a sample event."""
        return self.asset(of) / "events" / SAMPLE[f"event:{name}"]

    def follow(self) -> None:
        """Collect the log until the process ends."""
        assert self.process.stderr is not None
        for line in iter(self.process.stderr.readline, ""):
            self.log.append(line.rstrip("\n"))
            if "mounted  " in line:
                self.ready.set()
        self.process.stderr.close()
        self.ready.set()

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)

    def unexpected(self) -> list[str]:
        """Return the log lines that no test may leave unexplained."""
        suspicious = re.compile(r"\[(warning|error|critical) *\]|Traceback|Exception|fuse: ")
        return [
            line
            for line in self.log
            if suspicious.search(line) and not any(e in line for e in self.expected_warnings)
        ]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without the user's settings, proxies and caches."""
    return bare_environment(tmp_path)


def bare_environment(home: Path) -> dict[str, str]:
    """Return an environment without the user's settings, proxies and caches."""
    runtime = home / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    return forkserver.user_environment() | {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_STATE_HOME": str(home / "state"),
    }


@pytest.fixture
def attachfs(
    environment: dict[str, str],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the program to its end."""

    def run(
        *arguments: object, program: Sequence[str] = ("-m", "attachfs"), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return forkserver.run(
            [sys.executable, *program, *map(str, arguments)],
            env=environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    return run


@pytest.fixture
def archive(serve: Callable[[ArchiveConfig], RunningArchive]) -> Iterator[Steering]:
    """A fresh archive with the sample estate."""
    with Steering(serve(ArchiveConfig())) as steering:
        yield steering


@pytest.fixture
def mount(
    environment: dict[str, str], tmp_path: Path, archive: Steering
) -> Iterator[Callable[..., Mount]]:
    """Mount archives; at the end each is unmounted, and its log must be free of surprises."""
    with mounting(archive, environment, tmp_path) as start:
        yield start


@contextmanager
def mounting(
    archive: Steering, environment: Mapping[str, str], directory: Path
) -> Iterator[Callable[..., Mount]]:
    """Offer to mount an archive below a directory; at the end, ask of each what `mount` says."""
    mounts: list[Mount] = []

    def start(
        *options: object,
        on: Path | None = None,
        credentials: bool = True,
        program: Sequence[str] = ("-m", "attachfs"),
        popen: type[subprocess.Popen[Any]] = forkserver.Popen,
        **variables: str,
    ) -> Mount:
        path = on or directory / f"mnt{len(mounts)}"
        if on is None:
            path.mkdir()
        token = ("--token-file", archive.token_file) if credentials else ()
        arguments = ["mount", path, "--url", archive.url, *token, "--foreground", *options]
        process = popen(
            [sys.executable, *program, *map(str, arguments)],
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        mounted = Mount(path, process)
        mounts.append(mounted)
        follower = threading.Thread(target=mounted.follow)
        stack.callback(follower.join)
        follower.start()
        assert mounted.ready.wait(PATIENCE_S), mounted.log
        assert process.poll() is None, mounted.log
        return mounted

    with ExitStack() as stack:
        try:
            yield start
        finally:
            for mounted in mounts:
                if mounted.process.poll() is None:
                    mounted.end()
    for mounted in mounts:
        assert mounted.process.returncode == mounted.expected_status, mounted.log
        assert not os.path.ismount(mounted.path)
        assert not mounted.unexpected(), mounted.unexpected()


@pytest.fixture
def clocks(tmp_path: Path) -> Clocks:
    """Clocks for a mount of the test's own, which stand still."""
    return Clocks(tmp_path / "clocks")


@pytest.fixture
def mounted(mount: Callable[..., Mount]) -> Mount:
    """The sample estate, mounted."""
    return mount()


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program that users have."""

    def program(*arguments: object, **settings: Any) -> subprocess.CompletedProcess[str]:
        return forkserver.run(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            **settings,
        )

    return program
