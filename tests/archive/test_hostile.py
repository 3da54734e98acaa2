"""Whole answers of a stranger, as bytes on a socket: a value, or an error of ours, and in time."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from attachfs.archive import endpoints, faults
from attachfs.archive.client_credentials import ClientCredentials
from attachfs.archive.http.server import announced_length
from attachfs.archive.secrets import Secret
from attachfs.errors import AttachfsError
from tests.conftest import EXAMPLES
from tests.support.archives import HOLDER, PATH, client, received
from tests.support.canned import start_canned

_MAX_BYTES = 1000
_TIMEOUT_S = 0.1  # a server may ask for a wait, too
_TEXT = st.text(st.characters(max_codepoint=255), max_size=40)
_NAMES = st.sampled_from(
    [
        *("Content-Length", "Transfer-Encoding", "Content-Encoding", "Content-Range", "Location"),
        *("Connection", "Date", "Retry-After", "Archivist-Rate-Limit-Reset", "Content-Type"),
        *("Set-Cookie", "Next-Page", "ETag", "Trailer", "Upgrade", ""),
    ]
)
_VALUES = _TEXT | st.sampled_from(
    [
        *("0", "-1", "5", "999999999999999999999", "0x10", "chunked", "gzip", "identity", "close"),
        *("bytes 0-1/2", "bytes */0", "bytes 5-", "http://[bad", "//elsewhere", "/", "?", "#"),
        *("Thu, 01 Jan 1970 00:00:00 GMT", "1e999", "nan", "upgrade"),
    ]
)
_BODIES = st.binary(max_size=60) | st.sampled_from(
    [b"{}", b"[]", b"[" * 5000, b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b'{"identity": null}']
)


@st.composite
def _answers(draw: Callable[[st.SearchStrategy[Any]], Any]) -> bytes:
    """Draw something like an answer of HTTP, or nothing like it."""
    version = draw(st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2", "ICY", ""]))
    status = draw(st.sampled_from(["200", "206", "204", "302", "401", "429", "100", "999", "x"]))
    headers = draw(st.lists(st.tuples(_NAMES, _VALUES), max_size=5))
    lines = [f"{version} {status} {draw(_TEXT)}", *(f"{name}: {value}" for name, value in headers)]
    head = draw(st.sampled_from(["\r\n", "\n"])).join([*lines, "", ""]).encode("latin-1")
    answer: bytes = draw(st.binary(max_size=60) | st.just(head + draw(_BODIES)))
    return answer


@contextmanager
def _no_other_error() -> Iterator[None]:
    with suppress(AttachfsError):
        yield


@pytest.mark.usefixtures("quick_retries")
@settings(
    max_examples=EXAMPLES // 3,  # each is three requests, and their retries
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(answer=_answers())
@example(answer=b"HTTP/1.1 200 OK\r\nx: \x80\r\n\r\n")
@example(answer=b"HTTP/1.1 200 OK\r\nSet-Cookie: \x80\r\n\r\n")
async def test_no_answer_raises_anything_but_our_errors(answer: bytes) -> None:
    """Of a record, a small body and a large one, however it is framed; and none is waited for."""
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            canned = await start_canned(nursery, lambda _: answer)
            async with client(canned.url, timeout_s=_TIMEOUT_S) as archive:
                with _no_other_error():
                    await archive.ask(endpoints.record(HOLDER))
                download = endpoints.download(PATH, _POLICY)
                with _no_other_error():
                    body = await archive.take(
                        download, max_bytes=_MAX_BYTES, check_announced=lambda _: None
                    )
                    assert len(body) < _MAX_BYTES + len(answer)
                with _no_other_error():
                    _, body = await received(archive, download, 3)
                    assert len(body) < _MAX_BYTES
            nursery.cancel_scope.cancel()


_POLICY = endpoints.ScanPolicy.BLOCK_BAD


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


def _token_answer(token: object, lifetime_s: object) -> bytes:
    return json.dumps({"access_token": token, "expires_in": lifetime_s}).encode()


@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=60)
    | st.builds(
        lambda token, lifetime: json.dumps(
            {"access_token": token, "expires_in": lifetime}
        ).encode(),
        _JSON | st.just("eyJ.eyJ.sig"),
        _JSON | st.floats(),
    ),
)
@example(status=200, body=b'{"x": ' + b"[" * 100_000)
@example(status=200, body=b'{"access_token": "a.b.c", "expires_in": -1e300}')
@example(status=200, body=b'{"access_token": "a.b.c", "expires_in": 1e999}')
def test_no_token_answer_raises_anything_but_our_errors(status: int, body: bytes) -> None:
    """What it says of a token is a token that may go into a header, or an error."""
    credentials = ClientCredentials("https://archive.example", "id", Secret("secret"))
    with _no_other_error():
        credentials.accept(httpx.Response(status, content=body))
    token = credentials.current()
    if token is not None:
        httpx.Headers({"Authorization": f"Bearer {token.reveal()}"})


@given(name=_NAMES, value=_VALUES, body=st.binary(max_size=40), status=st.integers(300, 599))
def test_no_header_raises_anything_but_our_errors(
    name: str, value: str, body: bytes, status: int
) -> None:
    """Wherever a header is read: lengths, times to wait."""
    headers = {name.lower(): value}
    length = announced_length(headers)
    assert length is None or length >= 0
    error = faults.from_status(status, headers, body, subject="it")
    assert faults.may_retry(error) is not None
