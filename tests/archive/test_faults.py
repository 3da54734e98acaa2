"""The mapping of statuses and transport failures to errors."""

import errno
import json
import socket
import ssl
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.archive.faults import from_status, from_transport, may_retry
from attachfs.errors import (
    AttachfsError,
    BadReply,
    BlockedByScan,
    Busy,
    Denied,
    GatewayTimeout,
    Mismatch,
    NoConnection,
    NotFound,
    ServerFault,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unreachable,
)

_DOCUMENTED = {
    "400_scanned_bad": (BlockedByScan, errno.EACCES),
    "400_strict_not_scanned": (BlockedByScan, errno.EACCES),
    "400_bad_boolean": (BadReply, errno.EIO),
    "400_bad_uuid": (BadReply, errno.EIO),
    "400_unknown_query_parameter": (BadReply, errno.EIO),
    "400_non_string_attribute": (BadReply, errno.EIO),
    "400_no_upload_content": (BadReply, errno.EIO),
    "401_bad_token": (Unauthenticated, errno.EACCES),
    "402_file_too_big": (BadReply, errno.EIO),
    "402_quota": (BadReply, errno.EIO),
    "403_no_token_2022": (Denied, errno.EACCES),
    "404_asset": (NotFound, errno.ENOENT),
    "404_not_public": (NotFound, errno.ENOENT),
    "429": (Busy, errno.EBUSY),
}
_STATUSES = {
    401: Unauthenticated, 403: Denied, 404: NotFound, 408: GatewayTimeout, 410: NotFound, 429: Busy,
    500: ServerFault, 502: Unavailable, 503: Unavailable, 504: GatewayTimeout,
}  # fmt: skip


def _bytes(body: object) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _retry_after(**headers: str) -> float | None:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    error = from_status(429, httpx.Headers(names), b"", subject="x")
    assert isinstance(error, Busy)
    return error.retry_after_s


def test_no_documented_error_is_left_out(samples: Path) -> None:
    """Each entry of errors.json is in the table here."""
    assert json.loads((samples / "errors.json").read_text()).keys() == _DOCUMENTED.keys()


@pytest.mark.parametrize("name", _DOCUMENTED)
def test_documented_errors_have_their_class_and_errno(samples: Path, name: str) -> None:
    """Every refusal on record becomes the error that says it, in the server's words."""
    sample = json.loads((samples / "errors.json").read_text())[name]
    kind, number = _DOCUMENTED[name]
    headers = httpx.Headers(sample["headers"])
    error = from_status(sample["status"], headers, _bytes(sample["body"]), subject="assets/x")
    assert type(error) is kind
    assert error.errno == number
    assert str(sample["status"]) in str(error)
    if isinstance(sample["body"], dict):
        assert sample["body"]["message"] in str(error)
    if name == "429":
        assert isinstance(error, Busy)
        assert error.retry_after_s == 2


@pytest.mark.parametrize("status", [*range(300, 600)])
def test_every_status_is_mapped(status: int) -> None:
    """The statuses of the table have their class, all others are bad replies."""
    error = from_status(status, {}, b"", subject="x")
    assert type(error) is _STATUSES.get(status, BadReply)


@pytest.mark.parametrize("code", [3, "3", "400", None, [], "missing"])
def test_the_code_in_the_body_does_not_matter(code: object) -> None:
    """`code` is a number or a text, and is not looked at."""
    body: dict[str, Any] = {"code": code, "message": "no such thing", "details": []}
    if code == "missing":
        del body["code"]
    error = from_status(404, {}, _bytes(body), subject="x")
    assert type(error) is NotFound
    assert "(no such thing)" in str(error)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Forbidden</html>", b"\xff\xfe", b"null", b"[]", b'"allow_insecure=true"', b"5",
     b'{"message": 5}', b'{"message": {"a": 1}}', b'{"error": "x"}', b"[" * 100_000, b'{"message"'],
)  # fmt: skip
def test_a_body_that_says_nothing_usable_is_not_quoted(body: bytes) -> None:
    """A refusal that is not JSON, or has no message, is told by its status alone."""
    assert str(from_status(403, {}, body, subject="x")) == "x: the server answered 403"
    assert type(from_status(400, {}, body, subject="x")) is BadReply


@given(status=st.integers(300, 599), body=st.binary(max_size=100), message=st.text())
def test_no_body_breaks_the_mapping_or_a_log_line(status: int, body: bytes, message: str) -> None:
    """Any bytes map to an error of ours whose message is one printable, bounded line."""
    for raw in (body, json.dumps({"message": message}).encode()):
        error = from_status(status, {}, raw, subject="x")
        assert isinstance(error, AttachfsError)
        assert str(error).isprintable()
        assert len(str(error)) < 300


def test_only_a_400_is_a_refusal_of_the_scan() -> None:
    """The hint at `allow_insecure` counts where the contract has it."""
    body = _bytes({"message": "add allow_insecure=true"})
    assert type(from_status(400, {}, body, subject="x")) is BlockedByScan
    assert type(from_status(403, {}, body, subject="x")) is Denied
    assert type(from_status(500, {}, body, subject="x")) is ServerFault


def test_the_time_to_wait_is_read_from_either_header() -> None:
    """The service's own header goes before the standard's, seconds before dates."""
    assert _retry_after(Archivist_Rate_Limit_Reset="2") == 2
    assert _retry_after(archivist_rate_limit_reset="0.5", retry_after="9") == 0.5
    assert _retry_after(Retry_After="9") == 9
    assert _retry_after(archivist_rate_limit_reset="soon", retry_after="9") == 9
    assert _retry_after() is None


def test_the_time_to_wait_may_be_a_date() -> None:
    """A date in the future is a wait until then."""
    waited_s = _retry_after(retry_after=formatdate(time.time() + 90, usegmt=True))
    assert waited_s is not None
    assert 80 < waited_s <= 90


@pytest.mark.parametrize(
    "value",
    ["", "0", "-1", "nan", "inf", "1e999", "-inf", "soon", "Thu, 01 Jan 1970 00:00:00 GMT",
     "Wed, 21 Oct 99999 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 +99999999999", "1 2 3 4 5",
     "9" * 400, "Fri, 9 Feb 2099 99:99:99 +9999999999999999999"],
)  # fmt: skip
def test_an_unusable_time_to_wait_is_none(value: str) -> None:
    """Past, endless, impossible and unreadable times leave the wait to us, and raise nothing."""
    assert _retry_after(retry_after=value) is None
    assert _retry_after(archivist_rate_limit_reset=value) is None


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,6} [A-Z][a-z]{2} \d+ \d+:\d+:\d+ [+-]?\d+"))
def test_no_time_to_wait_raises(value: str) -> None:
    """Whatever the header holds, the refusal stays a refusal."""
    error = from_status(429, {"retry-after": value}, b"", subject="x")
    assert isinstance(error, Busy)
    assert error.retry_after_s is None or 0 < error.retry_after_s < float("inf")


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ConnectTimeout("x"), NoConnection),
        (httpx.ReadTimeout("x"), TimedOut),
        (httpx.WriteTimeout("x"), TimedOut),
        (httpx.PoolTimeout("x"), TimedOut),
        (httpx.ConnectError("x"), NoConnection),
        (httpx.ReadError("x"), Unreachable),
        (httpx.WriteError("x"), Unreachable),
        (httpx.CloseError("x"), Unreachable),
        (httpx.RemoteProtocolError("x"), Unreachable),
        (httpx.LocalProtocolError("x"), Unreachable),
        (httpx.ProxyError("x"), NoConnection),
        (httpx.UnsupportedProtocol("x"), Unreachable),
        (httpx.DecodingError("x"), BadReply),
        (httpx.TooManyRedirects("x"), BadReply),
    ],
)
def test_transport_failures_have_their_class(failure: Exception, kind: type[Exception]) -> None:
    """What never became a whole answer is a timeout, unreachable or a bad reply."""
    error = from_transport(failure, subject="assets/x")
    assert type(error) is kind
    assert str(error).startswith("assets/x: ")
    assert type(failure).__name__ in str(error)


def test_a_failure_tells_the_systems_reason_and_no_librarys_words() -> None:
    """The innermost cause is told where it is the system's; other messages may quote secrets."""
    failure = httpx.ConnectError("http://user:hunter2@proxy failed with Bearer abc")
    assert "hunter2" not in str(from_transport(failure, subject="x"))
    assert "Bearer" not in str(from_transport(failure, subject="x"))
    failure.__cause__ = ValueError("hunter2")
    assert "hunter2" not in str(from_transport(failure, subject="x"))
    failure.__cause__ = OSError(errno.ECONNREFUSED, "Connection refused")
    assert "Connection refused" in str(from_transport(failure, subject="x"))
    failure.__cause__ = socket.gaierror(-2, "Name or service not known")
    assert "Name or service not known" in str(from_transport(failure, subject="x"))
    failure.__cause__ = ssl.SSLCertVerificationError("certificate verify failed")
    assert "certificate verify failed" in str(from_transport(failure, subject="x"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ServerFault("x"), True),
        (TimedOut("x"), True),
        (Unreachable("x"), True),
        (Busy("x"), True),
        (Busy("x", retry_after_s=7.5), 7.5),
        (BadReply("x"), False),
        (NotFound("x"), False),
        (Denied("x"), False),
        (Unauthenticated("x"), False),
        (BlockedByScan("x"), False),
        (Mismatch("x", digests={}), False),
        (ValueError("x"), False),
    ],
)
def test_only_what_may_pass_by_itself_is_asked_again(error: Exception, expected: object) -> None:
    """Refusals and wrong answers are final; trouble of server or network is not."""
    assert may_retry(error) == expected
