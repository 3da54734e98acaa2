"""The port of the metrics, under clients that mean harm: the mount goes first."""

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from attachfs.demo.estate import SAMPLE
from attachfs.mount import metrics_server
from tests.support.mounts import PATIENCE_S, Mount
from tests.support.plain import NO_AUTHORITIES
from tests.support.programs import Done

pytestmark = pytest.mark.mount

Run = Callable[..., Done]

_IDLE = 200
# Few more than a mount needs: each one that is taken away is missed.
_DESCRIPTORS = 64
_LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({_DESCRIPTORS}, {_DESCRIPTORS}))
from attachfs.cli.app import main
main()
"""


@dataclass
class Scraped:
    """A mount with few descriptors that serves its metrics on a port."""

    mount: Mount
    port: int

    def get(self, path: str = "/metrics", method: str = "GET", **headers: str) -> httpx.Response:
        """Ask for something."""
        return httpx.request(
            method,
            f"http://127.0.0.1:{self.port}{path}",
            headers=headers,
            trust_env=False,
            verify=NO_AUTHORITIES,
            timeout=PATIENCE_S,
        )

    def say(self, data: bytes) -> bytes:
        """Return what is answered to any bytes, up to the end of the connection."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as client:
            with suppress(OSError):
                client.sendall(data)
            answer = b""
            with suppress(ConnectionResetError):
                while some := client.recv(65536):
                    answer += some
            return answer


@pytest.fixture(scope="module")
def scraped(shared_mount: Callable[..., Mount]) -> Scraped:
    """One for all tests of this file."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    mount = shared_mount("--metrics-port", port, program=("-c", _LIMITED))
    limits = resource.prlimit(mount.process.pid, resource.RLIMIT_NOFILE)
    assert limits == (_DESCRIPTORS, _DESCRIPTORS)
    return Scraped(mount, port)


@pytest.fixture
def crowd(scraped: Scraped) -> Iterator[list[socket.socket]]:
    """Connections of somebody who says nothing, or half of something."""
    with ExitStack() as stack:
        clients = []
        for number in range(_IDLE):
            client = stack.enter_context(socket.socket())
            client.settimeout(0)
            with suppress(BlockingIOError):
                client.connect(("127.0.0.1", scraped.port))
            clients.append(client)
            if number % 2:
                with suppress(OSError):
                    client.send(b"GET /metrics HTTP/1.1\r\n")
        yield clients


def _descriptors(mount: Mount) -> int:
    return len(list(Path(f"/proc/{mount.process.pid}/fd").iterdir()))


@pytest.mark.usefixtures("crowd")
def test_idle_connections_take_nothing_from_the_mount(scraped: Scraped, attachfs: Run) -> None:
    """Status, reads and scrapes are answered, and few descriptors are taken."""
    before = _descriptors(scraped.mount)
    asset, runtime = scraped.mount.asset("container"), scraped.mount.path.parent / "run"
    begun_s = time.monotonic()
    done = attachfs("status", scraped.mount.path, XDG_RUNTIME_DIR=str(runtime))
    assert (done.returncode, done.stderr) == (0, "")
    for path in (asset / SAMPLE["blob:container-photo"], asset / "asset.json"):
        assert path.read_bytes()
    assert list((scraped.mount.path / "by-name").iterdir())
    answer = scraped.get()
    assert answer.status_code == 200
    assert b"attachfs_server_up 1.0" in answer.content
    assert time.monotonic() - begun_s < 10
    assert before <= _DESCRIPTORS / 2
    assert _descriptors(scraped.mount) <= _DESCRIPTORS / 2


def test_connections_end_soon(scraped: Scraped, crowd: list[socket.socket]) -> None:
    """Of whoever says nothing, without one being kept."""
    del crowd[4:]
    begun_s = time.monotonic()
    for client in crowd:
        client.settimeout(PATIENCE_S)
        with suppress(ConnectionResetError):
            while client.recv(4096):
                pass
    assert time.monotonic() - begun_s < 5 * metrics_server._TIMEOUT_S
    assert scraped.get().status_code == 200


def test_one_that_drips_ends_soon(scraped: Scraped) -> None:
    """A deadline is for all of a request, not for each byte."""
    begun_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", scraped.port), PATIENCE_S) as client:
        client.settimeout(0.1)
        ended = False
        while not ended and time.monotonic() - begun_s < PATIENCE_S:
            try:
                client.send(b"G")
                ended = client.recv(1) == b""
            except TimeoutError:
                pass
            except OSError:
                ended = True
    assert ended
    assert time.monotonic() - begun_s < 3 * metrics_server._TIMEOUT_S


def test_answers_are_those_of_http(scraped: Scraped) -> None:
    """Of both forms of Prometheus, and of what is not there."""
    plain = scraped.get()
    assert plain.headers["Content-Type"].startswith("text/plain; version=")
    assert plain.headers["Connection"] == "close"
    asked = scraped.get(accept="application/openmetrics-text; version=1.0.0")
    assert asked.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert asked.text.endswith("# EOF\n")
    head = scraped.get(method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert scraped.get("/elsewhere").status_code == 404
    assert scraped.get("/metrics?x=y").status_code == 200
    post = scraped.get(method="POST")
    assert (post.status_code, post.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "data",
    [b"\r\n\r\n", b"nonsense\r\n\r\n", b"\x00\xff\x1b" * 100 + b"\r\n\r\n", b"x" * 100_000],
    ids=["empty", "nonsense", "binary", "endless"],
)
def test_nonsense_is_refused(scraped: Scraped, data: bytes) -> None:
    """And the next one is served."""
    assert scraped.say(data)[:13] in {b"HTTP/1.1 400 ", b""}
    assert scraped.get().status_code == 200
