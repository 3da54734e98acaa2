"""MIME types by content: the service ignores what the uploader claims (contract §4)."""

import codecs
import re
import zipfile
from pathlib import Path

import msgspec
import puremagic

_HEAD_BYTES = 3072
_JSON_MAX_BYTES = 1 << 20
_DEFAULT = "application/octet-stream"
_TEXT = "text/plain; charset=utf-8"

_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
)
_MARKUP = (
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<svg\b", re.DOTALL), "image/svg+xml"),
    (re.compile(rb"\s*(<!doctype html|<html\b)", re.IGNORECASE), "text/html; charset=utf-8"),
    (re.compile(rb"\s*<\?xml\b"), "text/xml; charset=utf-8"),
)
_OFFICE = {
    "word/": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xl/": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ppt/": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
_BINARY_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def mime_type_of(path: Path) -> str:
    """Return the MIME type that the content of a file has.

    Text is `text/plain; charset=utf-8`, as are empty files; what is not recognised is
    `application/octet-stream` (contract §4).
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    for magic, mime_type in _MAGIC:
        if head.startswith(magic):
            return mime_type
    if head.startswith(b"PK\x03\x04"):
        return _zip_type(path)
    if _is_text(head):
        return _text_type(head, path)
    try:
        return puremagic.from_string(head, mime=True) or _DEFAULT
    except (puremagic.PureError, ValueError):
        return _DEFAULT


def _is_text(head: bytes) -> bool:
    if _BINARY_CONTROL.search(head):
        return False
    # The head may end in the middle of a character, which an incremental decoder forgives.
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _text_type(head: bytes, path: Path) -> str:
    for pattern, mime_type in _MARKUP:
        if pattern.match(head):
            return mime_type
    if head.lstrip()[:1] in (b"{", b"[") and path.stat().st_size <= _JSON_MAX_BYTES:
        try:
            msgspec.json.decode(path.read_bytes(), type=msgspec.Raw)
        except msgspec.DecodeError:
            return _TEXT
        return "application/json"
    return _TEXT


def _zip_type(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return "application/zip"
    if "[Content_Types].xml" in names:
        for folder, mime_type in _OFFICE.items():
            if any(name.startswith(folder) for name in names):
                return mime_type
    return "application/zip"
