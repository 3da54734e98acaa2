"""Uploads are sniffed, hashed and bounded (contract §4)."""

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from attachfs.demo import Archive, estate_files, estate_paintings, sniff

BLOBS = "/archivist/v1/blobs"


def _office() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<w/>")
    return buffer.getvalue()


async def test_the_answer_describes_the_bytes(client: httpx.AsyncClient) -> None:
    """Hash, size and type are those of the content, whatever the part claims."""
    content = b"%PDF-1.4 and so on"
    answer = await client.post(BLOBS, files={"any": ("filename", content, "image/jpg")})
    info = answer.json()
    assert answer.status_code == 200
    assert info["identity"].startswith("blobs/")
    assert info["hash"] == {"alg": "SHA256", "value": hashlib.sha256(content).hexdigest()}
    assert (info["mime_type"], info["size"]) == ("application/pdf", len(content))
    assert (info["scanned_status"], info["scanned_timestamp"]) == ("NOT_SCANNED", "")
    body = await client.get(f"/archivist/v1/{info['identity']}")
    assert (body.content, body.headers["content-type"]) == (content, "application/pdf")


async def test_the_same_bytes_twice_are_two_blobs(client: httpx.AsyncClient) -> None:
    """Uploads are not idempotent; only the digest tells equal bytes."""
    first, second = [
        (await client.post(BLOBS, files={"file": ("f", b"same")})).json() for _ in range(2)
    ]
    assert first["identity"] != second["identity"]
    assert first["hash"] == second["hash"]


async def test_an_empty_file_is_accepted(client: httpx.AsyncClient) -> None:
    """Only the request's body must not be empty."""
    info = (await client.post(BLOBS, files={"file": ("f", b"")})).json()
    assert info["size"] == 0
    assert (await client.get(f"/archivist/v1/{info['identity']}")).content == b""


@pytest.mark.parametrize(
    ("request_args", "message"),
    [
        ({}, "no content to be uploaded"),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, "failed to get multipart"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, "failed to get"),
        ({"files": [("a", ("a", b"1")), ("b", ("b", b"2"))]}, "only one file expected"),
        ({"files": {"a": (None, b"1")}}, "no content to be uploaded"),
    ],
)
async def test_malformed_uploads_are_refused(
    client: httpx.AsyncClient, request_args: dict[str, Any], message: str
) -> None:
    """No body, no multipart, no file and two files are each answered with 400."""
    answer = await client.post(BLOBS, **request_args)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)


async def test_a_body_of_unknown_length_is_refused(client: httpx.AsyncClient) -> None:
    """Chunked uploads announce no content."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"--x--"

    answer = await client.post(
        BLOBS, content=chunks(), headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert (answer.status_code, answer.json()["message"]) == (400, "no content to be uploaded")


async def test_parts_without_a_file_name_are_skipped(client: httpx.AsyncClient) -> None:
    """A form's other fields do not count as files."""
    answer = await client.post(BLOBS, data={"note": "x"}, files={"file": ("f", b"body")})
    assert answer.json()["size"] == 4


async def test_a_file_that_reaches_the_limit_is_refused(
    client: httpx.AsyncClient, archive: Archive
) -> None:
    """The limit itself is too much already, and nothing is left behind."""
    archive.set_switches(upload_limit_bytes=4)
    assert (await client.post(BLOBS, files={"file": ("f", b"123")})).status_code == 200
    answer = await client.post(BLOBS, files={"file": ("f", b"1234")})
    assert (answer.status_code, answer.json()["message"]) == (402, "filesize exceeds maximum")
    assert len(list(archive.storage.blob_dir.iterdir())) == 1


async def test_caps_count_in_strings(client: httpx.AsyncClient) -> None:
    """What remains is a number in a string, at the new and the old path."""
    for path in ("/archivist/v1/caps?service=blobs", "/archivist/v1/blobs:caps"):
        caps = (await client.get(path)).json()["caps"]
        assert caps == [{"resource_type": "Blobs", "resource_remaining": "-1"}]


@pytest.mark.parametrize(
    ("content", "mime_type"),
    [
        (b"", "text/plain; charset=utf-8"),
        ("größe\n".encode(), "text/plain; charset=utf-8"),
        (("x" * 3071 + "ü").encode(), "text/plain; charset=utf-8"),
        (b'{"a": [1]}', "application/json"),
        (b'{"a": ', "text/plain; charset=utf-8"),
        (b"<?xml version='1.0'?><svg/>", "image/svg+xml"),
        (b"<?xml version='1.0'?><bom/>", "text/xml; charset=utf-8"),
        (b"<!DOCTYPE html><p>", "text/html; charset=utf-8"),
        (b"GIF89a\0", "image/gif"),
        (b"\x1f\x8b\x08\0", "application/gzip"),
        (b"PK\x03\x04broken", "application/zip"),
        (_office(), next(iter(sniff._OFFICE.values()))),
        (estate_files.png(2, 2, estate_paintings.harbour), "image/png"),
        (estate_files.jpeg(2, 2, estate_paintings.harbour), "image/jpeg"),
        (bytes(range(256)), "application/octet-stream"),
        (b"\x00\x01\x02\xff no text", "application/octet-stream"),
    ],
)
def test_types_are_told_by_content(tmp_path: Path, content: bytes, mime_type: str) -> None:
    """The type follows from the bytes alone."""
    path = tmp_path / "file"
    path.write_bytes(content)
    assert sniff.mime_type_of(path) == mime_type
