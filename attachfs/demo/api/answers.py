"""Answers: JSON as the service writes it, and bodies streamed from disk."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from attachfs.demo.archive import Archive

JSON_TYPE = "application/json; charset=utf-8"
"""Content type of the gateway's answers, errors included (contract §10)."""

_CHUNK_BYTES = 256 * 1024
# Reads of this size are answered from the page cache faster than a thread could be asked.
_INLINE_BYTES = 1 << 20


class CutConnectionError(Exception):
    """The connection must end here, as a fault was asked for."""


def archive_of(request: Request) -> Archive:
    """Return the archive that a request is for."""
    archive = request.app.state.archive
    assert isinstance(archive, Archive)  # noqa: S101 -- put there by create_app
    return archive


def json_answer(
    archive: Archive,
    value: Any,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with JSON, its keys in random order where the switch says so (contract §5.4)."""
    if archive.switches.key_order_shuffle:
        value = _shuffled(value)
    return Response(
        msgspec.json.encode(value),
        status,
        headers={**(headers or {}), "content-type": JSON_TYPE},
    )


class FileAnswer(Response):
    """A body streamed from a file in chunks.

    Args:
        path: The file.
        headers: All headers but the length.
        status: 200, or 206 for a part.
        span: First byte and number of bytes to send.
        full_bytes: Length to announce; None sends the body chunked.
        flipped: Offset in the file of a byte to invert, if any.
    """

    def __init__(
        self,
        path: Path,
        headers: Mapping[str, str],
        *,
        status: int,
        span: tuple[int, int],
        full_bytes: int | None,
        flipped: int | None = None,
    ) -> None:
        super().__init__(None, status, headers)
        del self.headers["content-length"]
        if full_bytes is not None:
            self.headers["content-length"] = str(full_bytes)
        self._path = path
        self._span = span
        self._full_bytes = full_bytes
        self._flipped = flipped

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the body, and stop reading the file when the client has gone.

        Raises:
            CutConnectionError: Less was sent than announced, or the client has gone.
        """
        del scope
        with self._path.open("rb") as file:
            file.seek(self._span[0])
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            if self._span[1] <= _CHUNK_BYTES:
                chunk = self._spoiled(file.read(self._span[1]), self._span[0])
                missing = self._is_short(len(chunk))
                await send({"type": "http.response.body", "body": chunk, "more_body": missing})
                if missing:
                    raise CutConnectionError
                return
            sent: list[int] = []
            async with trio.open_nursery() as nursery:
                # Without this a client that went away would be read to for nothing.
                nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
                sent.append(await self._stream(file, send))
                nursery.cancel_scope.cancel()
        if not sent or self._is_short(sent[0]):
            raise CutConnectionError
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _is_short(self, sent_bytes: int) -> bool:
        return self._full_bytes is not None and sent_bytes < self._full_bytes

    async def _stream(self, file: IO[bytes], send: Send) -> int:
        """Send the span in chunks and return how many bytes there were."""
        offset, length_bytes = self._span
        end = offset + length_bytes
        while offset < end:
            chunk = await self._read(file, min(end - offset, _CHUNK_BYTES))
            if not chunk:
                break
            await send(
                {
                    "type": "http.response.body",
                    "body": self._spoiled(chunk, offset),
                    "more_body": True,
                }
            )
            offset += len(chunk)
        return offset - self._span[0]

    def _spoiled(self, chunk: bytes, offset: int) -> bytes:
        """Invert the byte that a fault names, if it is in the chunk that begins at the offset."""
        if self._flipped is None or not offset <= self._flipped < offset + len(chunk):
            return chunk
        at = self._flipped - offset
        return chunk[:at] + bytes([chunk[at] ^ 0xFF]) + chunk[at + 1 :]

    async def _read(self, file: IO[bytes], size_bytes: int) -> bytes:
        if self._span[1] <= _INLINE_BYTES:
            return file.read(size_bytes)
        return await trio.to_thread.run_sync(file.read, size_bytes)


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        items = list(value.items())
        random.shuffle(items)
        return {key: _shuffled(item) for key, item in items}
    if isinstance(value, list):
        return [_shuffled(item) for item in value]
    return value
