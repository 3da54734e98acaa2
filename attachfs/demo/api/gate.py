"""The gate that every request passes: rights, rate limit, ordered failures, latency, the log."""

import traceback
from collections.abc import Callable, Mapping

import trio
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from attachfs.demo.api.answers import CutConnectionError, json_answer
from attachfs.demo.api.control import PREFIX
from attachfs.demo.api.downloads import ALIAS
from attachfs.demo.api.iam import TOKEN_PATH
from attachfs.demo.archive import Archive
from attachfs.demo.errors import ApiError
from attachfs.demo.traffic import Failure, Logged

_PUBLIC_PREFIXES = (
    TOKEN_PATH,
    "/archivist/v2/publicassets/",
    "/archivist/v2/attachments/publicassets/",
    f"{ALIAS}/archivist/v2/attachments/publicassets/",
)
_TENANCIES = "/archivist/v1/tenancies/"
_TOO_MANY = 429


class Gate:
    """ASGI middleware between the server and the routes.

    Args:
        app: What answers the requests that get through.
        archive: The archive.
        latency_s: Waited before every response.
    """

    def __init__(self, app: ASGIApp, archive: Archive, latency_s: float) -> None:
        self._app = app
        self._archive = archive
        self._latency_s = latency_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or pass it on, and note it in the log."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        watched = _Watched(send, lambda: self._note(scope, watched))
        try:
            await self._pass(scope, receive, watched)
        except CutConnectionError:
            # The server cuts the connection when an answer that was begun does not end.
            pass
        except Exception:  # noqa: BLE001 -- whatever it is, the client gets an answer
            self._archive.traffic.tracebacks.append(traceback.format_exc())
            if not watched.status:
                response = self._refusal(ApiError.rpc(500, "internal error"))
                await response(scope, receive, watched)
        finally:
            watched.end()

    async def _pass(self, scope: Scope, receive: Receive, send: "_Watched") -> None:
        path, headers = scope["path"], Headers(scope=scope)
        if not path.startswith(PREFIX):
            if self._latency_s > 0:
                await trio.sleep(self._latency_s)
            failure = self._failure(scope["method"], path)
            if failure is not None and failure.delay_s > 0:
                await trio.sleep(failure.delay_s)
            if failure is not None and failure.disconnect:
                broken = Response(None, headers={"content-length": "1"})
                await send(
                    {
                        "type": "http.response.start",
                        "status": broken.status_code,
                        "headers": broken.raw_headers,
                    }
                )
                raise CutConnectionError
            if failure is not None and failure.status:
                await self._failed(failure)(scope, receive, send)
                return
        try:
            if not _is_public(path):
                self._archive.identities.check(
                    headers.get("authorization"), self._archive.switches.missing_token_status
                )
        except ApiError as error:
            await self._refusal(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _failure(self, method: str, path: str) -> Failure | None:
        traffic = self._archive.traffic
        if traffic.is_limited(self._archive.switches.rate_limit_every):
            return Failure(status=_TOO_MANY)
        return traffic.take_failure(method, path)

    def _failed(self, failure: Failure) -> Response:
        headers = dict(failure.headers)
        if failure.status == _TOO_MANY and not headers:
            headers = self._rate_limit_headers()
        if failure.body is not None:
            return Response(failure.body, failure.status, headers=headers)
        return self._refusal(ApiError.rpc(failure.status, "failing as ordered"), headers)

    def _rate_limit_headers(self) -> dict[str, str]:
        """Say how long to wait, in the header or headers that the switch names (contract §10)."""
        switches = self._archive.switches
        names = {
            "archivist": ["archivist-rate-limit-reset"],
            "retry-after": ["retry-after"],
            "both": ["archivist-rate-limit-reset", "retry-after"],
            "none": [],
        }[switches.rate_limit_header]
        return dict.fromkeys(names, f"{switches.rate_limit_reset_s:g}")

    def _refusal(self, error: ApiError, headers: Mapping[str, str] | None = None) -> Response:
        return json_answer(self._archive, error.body, status=error.status, headers=headers)

    def _note(self, scope: Scope, watched: "_Watched") -> None:
        if scope["path"].startswith(PREFIX):
            return
        headers = Headers(scope=scope)
        self._archive.traffic.note(
            Logged(
                method=scope["method"],
                path=scope["path"],
                query=scope["query_string"].decode("latin-1"),
                status=watched.status,
                has_authorization=bool(headers.get("authorization")),
                range=headers.get("range", ""),
                response_bytes=watched.sent_bytes,
            )
        )


class _Watched:
    """A `send` that remembers status and size of what went through it.

    `note` is called once, before the end goes out: who has read an answer finds it in the log.
    """

    def __init__(self, send: Send, note: Callable[[], None]) -> None:
        self._send = send
        self._note: Callable[[], None] | None = note
        self.status = 0
        self.sent_bytes = 0
        self._length_bytes: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            length = Headers(raw=message["headers"]).get("content-length", "")
            self._length_bytes = int(length) if length else None
        elif message["type"] == "http.response.body":
            self.sent_bytes += len(message.get("body", b""))
            if not message.get("more_body", False) or self.sent_bytes == self._length_bytes:
                self.end()
        await self._send(message)

    def end(self) -> None:
        """Note what went through, the first time."""
        note, self._note = self._note, None
        if note is not None:
            note()


def _is_public(path: str) -> bool:
    return path.startswith(_PUBLIC_PREFIXES) or (
        path.startswith(_TENANCIES) and path.endswith(":publicinfo")
    )
