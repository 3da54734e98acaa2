"""Serve the metrics over HTTP to whoever is on this machine, at no cost to the mount.

Any local user can connect. A few connections are held at a time, and the oldest one is closed for
the next: a client sends its request at once, so that only idle connections are lost. Connections
are accepted at a limited pace. What others do to the port therefore takes few descriptors and a
bounded share of the mount's time, and a scrape still gets its answer.
"""

import socket
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Final, NamedTuple

import structlog
import trio
from prometheus_client.exposition import choose_encoder

from attachfs.access.opened import Opened
from attachfs.errors import UsageError
from attachfs.mount.metrics import registry_of

_ADDRESS: Final = "127.0.0.1"
_MAX_CONNECTIONS: Final = 4
_TIMEOUT_S: Final = 2.0  # from the connection to the end of the answer
_MAX_REQUEST_BYTES: Final = 8 * 1024
# An answer takes 2 ms of the mount's loop: a tenth of it, should somebody ask without end.
_PACE_S: Final = 0.02
# The kernel holds those that wait, which takes no descriptor of ours.
_BACKLOG: Final = 128
_PAUSE_S: Final = 1.0
_METHODS: Final = ("GET", "HEAD")

_log = structlog.get_logger(__name__)


class _Request(NamedTuple):
    method: str
    path: str
    accept: str


@contextmanager
def metrics_listener(port: int | None) -> Iterator[trio.SocketListener | None]:
    """Offer a listener on a port of this machine for the block, None for no port.

    Raises `UsageError` where the port cannot be had.
    """
    if port is None:
        yield None
        return
    with socket.socket() as listening:
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((_ADDRESS, port))
            listening.listen(_BACKLOG)
        except OSError as error:
            raise UsageError(
                f"cannot serve metrics on {_ADDRESS}:{port}: {error.strerror}; choose another "
                "--metrics-port"
            ) from error
        yield trio.SocketListener(trio.socket.from_stdlib_socket(listening))


async def serve_metrics(listener: trio.SocketListener, archive: Opened) -> None:
    """Answer scrapes until cancelled; whatever clients send or do, nothing is raised."""
    connections: OrderedDict[int, trio.CancelScope] = OrderedDict()
    room = trio.Semaphore(_MAX_CONNECTIONS)

    async def converse(stream: trio.SocketStream, number: int) -> None:
        try:
            with trio.move_on_after(_TIMEOUT_S) as connections[number]:
                async with stream:
                    with suppress(trio.BrokenResourceError):
                        await stream.send_all(_answer(await _receive(stream), archive))
        except Exception:  # noqa: BLE001 - the mount goes on, whatever it was
            _log.exception("unexpected error in a scrape")
        finally:
            del connections[number]
            room.release()

    number = 0
    async with trio.open_nursery() as nursery:
        while True:
            await trio.lowlevel.wait_readable(listener.socket)
            if room.value == 0:
                next(iter(connections.values())).cancel()
            await room.acquire()
            try:
                stream = await listener.accept()
            except OSError as error:  # no descriptors or no memory are left: the mount goes first
                room.release()
                _log.warning("cannot answer a scrape", reason=str(error))
                await trio.sleep(_PAUSE_S)
            else:
                number += 1
                nursery.start_soon(converse, stream, number)
                await trio.sleep(_PACE_S)


async def _receive(stream: trio.SocketStream) -> _Request | None:
    """Return a request, None for what is not one."""
    received = bytearray()
    while b"\r\n\r\n" not in received:
        some = await stream.receive_some()
        received += some
        if not some or len(received) > _MAX_REQUEST_BYTES:
            return None
    first, *lines = bytes(received.partition(b"\r\n\r\n")[0]).decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):  # noqa: PLR2004 - RFC 9112 section 3
        return None
    fields = [line.partition(":") for line in lines]
    accept = ",".join(value for name, _, value in fields if name.strip().lower() == "accept")
    return _Request(words[0], words[1].partition("?")[0], accept)


def _answer(request: _Request | None, archive: Opened) -> bytes:
    """Return the whole answer to a request."""
    if request is None:
        return _response(HTTPStatus.BAD_REQUEST)
    if request.method not in _METHODS:
        return _response(HTTPStatus.METHOD_NOT_ALLOWED, f"Allow: {', '.join(_METHODS)}")
    if request.path not in ("/", "/metrics"):
        return _response(HTTPStatus.NOT_FOUND)
    encode, content_type = choose_encoder(request.accept)
    return _response(
        HTTPStatus.OK,
        f"Content-Type: {content_type}",
        body=encode(registry_of(archive)),
        with_body=request.method != "HEAD",
    )


def _response(status: HTTPStatus, *fields: str, body: bytes = b"", with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        *fields,
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*head, "")).encode() + (body if with_body else b"")
