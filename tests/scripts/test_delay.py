"""The network that benchmarks are measured over: nothing is lost, and everything comes late."""

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from harness.delay import delay  # noqa: E402 - the path comes first
from harness.processes import worker  # noqa: E402

_PATIENCE_S = 60.0
_LARGE = os.urandom(20 << 20)  # more than is on its way at a time

pytestmark = pytest.mark.process


@contextmanager
def _echoing() -> Iterator[int]:
    """Serve a port that sends back what it gets, once all of it has come."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as connection, suppress(ConnectionError):
                        connection.sendall(_read(connection))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _read(connection: socket.socket) -> bytes:
    """Read to the end."""
    received = b""
    while block := connection.recv(1 << 20):
        received += block
    return received


@pytest.mark.parametrize("sent", [b"ping", _LARGE], ids=["little", "much"])
def test_bytes_come_whole_and_late(sent: bytes) -> None:
    """A round trip for the handshake, half a one each way; the end of one side is passed on."""
    round_trip_s = 0.2
    with _echoing() as port, worker(delay, [port], round_trip_s * 1000) as network:
        (far,) = network.receive(_PATIENCE_S)
        begin_s = time.monotonic()
        with socket.create_connection(("127.0.0.1", far), _PATIENCE_S) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert _read(connection) == sent
        assert time.monotonic() - begin_s >= 2 * round_trip_s


def test_client_that_leaves_amid_an_answer_ends_it(capfd: pytest.CaptureFixture[str]) -> None:
    """The server is told, nothing is said of it, and the next client is served."""
    with _echoing() as port, worker(delay, [port], 10) as network:
        (far,) = network.receive(_PATIENCE_S)
        for sent, leaves in ((_LARGE, True), (b"ping", False)):
            with socket.create_connection(("127.0.0.1", far), _PATIENCE_S) as connection:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                assert leaves or _read(connection) == sent
                assert not leaves or connection.recv(1)
    assert capfd.readouterr().err == ""
