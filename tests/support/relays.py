"""A relay in front of an archive that can stop passing on what the archive answers."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from urllib.parse import urlsplit

from tests.support.mounts import PATIENCE_S

_BLOCK_BYTES = 64 * 1024


@dataclass(eq=False)
class _Link:
    client: socket.socket
    archive: socket.socket
    passed_bytes: int = 0


class Relay:
    """Pass on requests and answers; once told to `hold`, only so many bytes of each connection's.

    `held` is set while some answer is held back. Between `leave` and `come_back`, connections are
    refused. `carried_bytes` counts what was passed on in both directions.
    """

    def __init__(self, target: str) -> None:
        """Listen in front of the archive at that URL."""
        parts = urlsplit(target)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._port = 0
        self._changed = threading.Condition()
        self._most_bytes = inf
        self._links: list[_Link] = []
        self._threads: list[threading.Thread] = []
        self.held = threading.Event()
        self.carried_bytes = 0
        self.come_back()

    @property
    def url(self) -> str:
        """Where it listens, the same after it has come back."""
        return f"http://127.0.0.1:{self._port}"

    def hold(self, after_bytes: int) -> None:
        """Pass on `after_bytes` more bytes of what each connection answers, then none."""
        with self._changed:
            for link in self._links:
                link.passed_bytes = 0
            self._most_bytes = after_bytes

    def release(self) -> None:
        """Pass on everything again."""
        with self._changed:
            self._most_bytes = inf
            self.held.clear()
            self._changed.notify_all()

    def come_back(self) -> None:
        """Listen."""
        self._gone = False
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        self._start(self._accept)

    def leave(self) -> None:
        """Cut every connection, and accept no more."""
        if self._gone:
            return
        with self._changed:
            self._gone = True
            self._changed.notify_all()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads.pop(0).join(PATIENCE_S)  # no link is added any more
        self._listener.close()
        for link in self._links:
            for side in (link.client, link.archive):
                with suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for link in self._links:
            link.client.close()
            link.archive.close()
        self._links.clear()
        self._threads.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                archive = socket.create_connection(self._target, PATIENCE_S)
            except OSError:
                client.close()
                continue
            archive.settimeout(None)
            for side in (client, archive):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(client, archive)
            with self._changed:
                self._links.append(link)
            self._start(self._ask, link)
            self._start(self._answer, link)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _ask(self, link: _Link) -> None:
        with suppress(OSError):
            while block := link.client.recv(_BLOCK_BYTES):
                with self._changed:
                    self.carried_bytes += len(block)
                link.archive.sendall(block)
        with suppress(OSError):
            link.archive.shutdown(socket.SHUT_RDWR)

    def _answer(self, link: _Link) -> None:
        with suppress(OSError):
            while block := link.archive.recv(_BLOCK_BYTES):
                if not self._may_pass(link, len(block)):
                    break
                link.client.sendall(block)
        with suppress(OSError):
            link.client.shutdown(socket.SHUT_RDWR)

    def _may_pass(self, link: _Link, size_bytes: int) -> bool:
        """Wait until a block may be passed on; False where it never may."""
        with self._changed:
            while link.passed_bytes + size_bytes > self._most_bytes and not self._gone:
                self.held.set()
                self._changed.wait()
            link.passed_bytes += size_bytes
            self.carried_bytes += size_bytes
            return not self._gone


@contextmanager
def relaying(target: str) -> Iterator[Relay]:
    """Run a relay in front of an archive for the block."""
    relay = Relay(target)
    try:
        yield relay
    finally:
        relay.leave()
