"""The one mapping of HTTP statuses and transport failures to our errors (contract section 10)."""

import re
import ssl
import time
from collections.abc import Mapping
from typing import Final

import httpx
import msgspec

from attachfs.archive.clock import http_date_s
from attachfs.archive.http.answer import EndlessHeaders
from attachfs.errors import (
    NO_DESCRIPTORS,
    AttachfsError,
    BadReply,
    BlockedByScan,
    Busy,
    Denied,
    GatewayTimeout,
    NoConnection,
    NotFound,
    ServerFault,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unreachable,
    Untrusted,
)
from attachfs.escaping import MAX_QUOTE_CHARS, escaped

# What may be a secret that it was sent, in whatever encoding. UUIDs are none, nor are words.
_OPAQUE: Final = re.compile(r"[\w+=%~-]{20,}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WORDS: Final = re.compile(r"[A-Z]?[a-z_-]+")
# Both refusals of a scanned attachment name the parameter that lifts them (contract section 3.3).
_SCAN_REFUSAL: Final = "allow_insecure"

_KINDS: Final[Mapping[int, type[AttachfsError]]] = {
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    408: GatewayTimeout,
    410: NotFound,
    500: ServerFault,
    502: Unavailable,
    503: Unavailable,
    504: GatewayTimeout,
}
_TRANSPORT_KINDS: Final[tuple[tuple[type[Exception], type[AttachfsError], str], ...]] = (
    (httpx.ConnectError, NoConnection, "the server cannot be reached"),
    (httpx.ConnectTimeout, NoConnection, "the server cannot be reached"),
    (httpx.ProxyError, NoConnection, "the server cannot be reached"),
    (httpx.TimeoutException, TimedOut, "no answer in time"),
    (EndlessHeaders, BadReply, "the server sends headers without end"),
    (httpx.TransportError, Unreachable, "the connection failed"),
)


def from_status(
    status: int, headers: Mapping[str, str], body: bytes, *, subject: str, remedy: str = ""
) -> AttachfsError:
    """Return the error for an answer that is not a success.

    `subject` names what was asked for; `body` may be anything, and only its message is quoted.
    `remedy` says what a person can do.
    """
    said = _message(body)
    message = f"{subject}: the server answered {status}" + (f" ({said})" if said else "")
    message += f"; {remedy}" if remedy else ""
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Busy(message, retry_after_s=_retry_after_s(headers))
    if status == httpx.codes.BAD_REQUEST and _SCAN_REFUSAL in said:
        return BlockedByScan(message)
    return _KINDS.get(status, BadReply)(message)


def from_transport(error: Exception, *, subject: str) -> AttachfsError:
    """Return the error for a request that got no whole answer.

    Only the kind of failure is told: messages of libraries may quote headers or proxies' secrets.
    """
    first = innermost(error)
    text = str(first) if isinstance(first, OSError) else ""
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(first, OSError) and first.errno in NO_DESCRIPTORS:
        return Busy(f"{subject}: no descriptors are left for a connection (see ulimit -n)")
    if isinstance(first, ssl.SSLCertVerificationError):
        return Untrusted(f"{subject}: the server's certificate is not trusted ({reason})")
    for kind, ours, words in _TRANSPORT_KINDS:
        if isinstance(error, kind):
            return ours(f"{subject}: {words} ({reason})")
    return BadReply(f"{subject}: the request failed ({reason})")


def may_retry(error: Exception) -> bool | float:
    """Tell whether asking again may help; seconds to wait where the server said so.

    Every request of ours is a GET or asks for a token, so all may be repeated. What cannot be
    connected to has been tried for long enough (`attachfs.archive.circuit_breaker`).
    """
    if isinstance(error, Busy) and error.retry_after_s is not None:
        return error.retry_after_s
    if isinstance(error, NoConnection | Untrusted):
        return False
    return isinstance(error, Busy | ServerFault | TimedOut | Unreachable)


def _message(body: bytes) -> str:
    try:
        parsed = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    message = parsed.get("message") if isinstance(parsed, dict) else None
    if not isinstance(message, str):
        return ""
    shown = _OPAQUE.sub(lambda run: run[0] if _is_harmless(run[0]) else "...", message)
    return escaped(shown, MAX_QUOTE_CHARS)


def _is_harmless(run: str) -> bool:
    return any(known.fullmatch(run) is not None for known in (_UUID, _WORDS))


def innermost(error: BaseException) -> BaseException:
    """Return the first cause: `ConnectError: certificate verify failed` helps, a trace not."""
    cause: BaseException | None = error
    first = error
    while cause is not None:
        first = cause
        if isinstance(cause, BaseExceptionGroup):  # one for each address that was tried
            cause = cause.exceptions[0]
        else:
            cause = cause.__cause__ or cause.__context__
    return first


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read `Archivist-Rate-Limit-Reset` (seconds), else `Retry-After` (seconds or a date).

    A date is the server's, and so is the time it is compared with, where the answer tells it.
    """
    for name in ("archivist-rate-limit-reset", "retry-after"):
        value = headers.get(name, "").strip()
        try:
            wait_s = float(value)
        except ValueError:
            date_s = http_date_s(value)
            if date_s is None:
                continue
            wait_s = date_s - (http_date_s(headers.get("date", "")) or time.time())
        if 0 < wait_s < float("inf"):
            return wait_s
    return None
