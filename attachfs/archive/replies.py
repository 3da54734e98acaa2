"""Judge an answer by its headers alone: what both clients, waiting and blocking, have in common."""

import re
from collections.abc import Mapping
from typing import Final

import httpx

from attachfs.errors import BadReply

MAX_REDIRECTS: Final = 5
MAX_ERROR_BYTES: Final = 64 * 1024  # of an error's body; the service's have some hundred bytes
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.ASCII)


class EndlessHeaders(httpx.RemoteProtocolError):
    """Say that an answer has more headers than anyone needs: no accident of the connection."""


def redirected(response: httpx.Response, *, subject: str) -> httpx.URL:
    """Return where a redirect leads; raises `BadReply` where that is another origin.

    The token stays with its origin.
    """
    here = response.request.url
    try:
        target = here.join(response.headers["location"])
    except httpx.InvalidURL as error:
        raise BadReply(f"{subject}: a redirect to nowhere") from error
    if (target.scheme, target.host, target.port) != (here.scheme, here.host, here.port):
        raise BadReply(f"{subject}: a redirect to another server is not followed")
    return target


def check_encoding(headers: Mapping[str, str], *, subject: str) -> None:
    """Raise `BadReply` where the body is compressed: its bytes would not be the evidence."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise BadReply(f"{subject}: the answer is encoded, which was not asked for")


def announced_length(headers: Mapping[str, str]) -> int | None:
    """Return the length of a whole body in bytes, None where it is not told."""
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def begins_at(response: httpx.Response, offset: int) -> bool:
    """Tell whether an answer is the rest of a body from `offset` bytes on (RFC 9110, 14.4)."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    partial = response.status_code == httpx.codes.PARTIAL_CONTENT
    return partial and match is not None and int(match[1]) == offset
