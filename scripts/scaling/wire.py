"""Bytes as they travel, with the headers that the archive's own count leaves out."""

from typing import Final
from urllib.parse import urlsplit

import trio

_BLOCK_BYTES: Final = 64 * 1024


class Wire:
    """Stand before a server and count what goes through, both ways; TLS and TCP come on top."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._passed_bytes = 0
        self.url = ""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pass on until cancelled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        task_status.started()
        await trio.serve_listeners(self._serve, listeners)

    def taken_bytes(self) -> int:
        """Return how much has gone through since the last time."""
        passed_bytes, self._passed_bytes = self._passed_bytes, 0
        return passed_bytes

    async def _serve(self, client: trio.SocketStream) -> None:
        try:
            server = await trio.open_tcp_stream(*self._target)
        except OSError:
            return
        async with server, trio.open_nursery() as nursery:
            nursery.start_soon(self._pass, client, server, nursery.cancel_scope)
            nursery.start_soon(self._pass, server, client, nursery.cancel_scope)

    async def _pass(
        self, source: trio.SocketStream, target: trio.SocketStream, over: trio.CancelScope
    ) -> None:
        try:
            while block := await source.receive_some(_BLOCK_BYTES):
                self._passed_bytes += len(block)
                await target.send_all(block)
        except trio.BrokenResourceError:
            pass
        over.cancel()
