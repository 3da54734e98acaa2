"""Open attachments' bodies from worker threads: the blocking side of the client."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from attachfs.archive import faults
from attachfs.archive.auth import REMEDY
from attachfs.archive.bulk import BulkClient
from attachfs.archive.endpoints import Download, is_public
from attachfs.archive.replies import (
    MAX_ERROR_BYTES,
    MAX_REDIRECTS,
    announced_length,
    begins_at,
    check_encoding,
    redirected,
)
from attachfs.archive.traffic import Traffic
from attachfs.errors import AttachfsError, BadReply


@dataclass(frozen=True, slots=True)
class Stream:
    """Hold an open body: chunks from `offset` on, `length_bytes` in all, None if not told."""

    offset: int
    length_bytes: int | None
    chunks: Iterator[bytes]


class Streams:
    """Open bodies with a blocking httpx client; may be used by several threads at once.

    Raises errors of `attachfs.errors` alone. Nothing is retried here.
    """

    def __init__(self, http: BulkClient, traffic: Traffic | None = None) -> None:
        self._http = http
        self._traffic = traffic or Traffic()

    def connect(self) -> None:
        """Have a connection ready for the next body; blocks, and raises nothing."""
        self._http.connect()

    @contextmanager
    def open(
        self, download: Download, *, offset: int = 0, patience_s: float | None = None
    ) -> Iterator[Stream]:
        """Open a body from `offset` bytes on where the server can, else from its start.

        Blocks until the headers are there, and for each chunk; `patience_s` bounds each wait for
        bytes, where it is given.
        """
        response = self._send(download, offset, patience_s)
        try:
            if offset and not begins_at(response, offset):
                if response.status_code != httpx.codes.OK:
                    response.close()
                    response = self._send(download, 0, patience_s)
                offset = 0
            if response.status_code != httpx.codes.OK and not offset:
                raise _refusal(response, subject=download.path)
            check_encoding(response.headers, subject=download.path)
            length_bytes = announced_length(response.headers)
            yield Stream(
                offset=offset,
                length_bytes=None if length_bytes is None else offset + length_bytes,
                chunks=_chunks(response, self._traffic, subject=download.path),
            )
        finally:
            response.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _send(self, download: Download, offset: int, patience_s: float | None) -> httpx.Response:
        """Send the request and return the open response, redirects within the origin followed."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        timeouts = self._http.timeout.as_dict()
        if patience_s is not None:
            timeouts["read"] = patience_s
        extensions = {"timeout": timeouts}
        request = self._http.build_request(
            "GET", download.path, params=download.query, headers=headers, extensions=extensions
        )
        auth = None if is_public(download.path) else httpx.USE_CLIENT_DEFAULT
        for _ in range(MAX_REDIRECTS + 1):
            trace = self._traffic.begin(download.path, offset=offset)
            try:
                response = self._http.send(request, auth=auth, stream=True)
            except httpx.HTTPError as error:
                failure = faults.from_transport(error, subject=download.path)
                trace.failed(failure)
                raise failure from error
            except httpx.InvalidURL as error:  # httpx looks at where a redirect points, too
                raise BadReply(f"{download.path}: a redirect to nowhere") from error
            trace.answered(response.status_code, response.headers)
            if not response.has_redirect_location:
                return response
            try:
                target = redirected(response, subject=download.path)
            finally:
                response.close()
            request = self._http.build_request(
                "GET", target, headers=headers, extensions=extensions
            )
        raise BadReply(f"{download.path}: more than {MAX_REDIRECTS} redirects")


def _refusal(response: httpx.Response, *, subject: str) -> AttachfsError:
    body = bytearray()
    try:
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > MAX_ERROR_BYTES:
                break
    except httpx.HTTPError:
        body.clear()  # the status says enough
    return faults.from_status(
        response.status_code,
        response.headers,
        bytes(body),
        subject=subject,
        remedy=response.extensions.get(REMEDY, ""),
    )


def _chunks(response: httpx.Response, traffic: Traffic, *, subject: str) -> Iterator[bytes]:
    try:
        for chunk in response.iter_raw():
            traffic.received(len(chunk))
            yield chunk
    except httpx.HTTPError as error:
        raise faults.from_transport(error, subject=subject) from error
