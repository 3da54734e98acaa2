"""Small pictures of images, and of what only looks like one."""

import io
import os
import signal
import struct
import zlib

import pytest
from PIL import Image

from attachfs.audit.thumbnails import Thumbnails

pytestmark = pytest.mark.process


def _image(form: str, size: tuple[int, int] = (400, 200), mode: str = "RGB") -> bytes:
    made = io.BytesIO()
    Image.new(mode, size, 128 if mode in ("L", "P") else (200, 30, 30, 0)[: len(mode)]).save(
        made, form
    )
    return made.getvalue()


def _bomb() -> bytes:
    """Return a small PNG that says it has 400 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack("!I", len(data)) + checked + struct.pack("!I", zlib.crc32(checked))

    head = struct.pack("!IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_an_image_becomes_a_small_jpeg(form: str) -> None:
    """In its proportions."""
    with Thumbnails() as thumbnails:
        made = thumbnails.of(_image(form))
    assert made is not None
    with Image.open(io.BytesIO(made)) as image:
        assert (image.format, image.size) == ("JPEG", (160, 80))


def test_what_is_transparent_becomes_white() -> None:
    """As on paper."""
    with Thumbnails() as thumbnails:
        made = thumbnails.of(_image("PNG", mode="RGBA"))
    assert made is not None
    with Image.open(io.BytesIO(made)) as image:
        assert image.getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no image",
        _image("PNG")[:60],
        _image("JPEG")[:200],
        _bomb(),
        _image("PPM"),
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    ],
    ids=["empty", "text", "cut", "cut-jpeg", "bomb", "other", "svg"],
)
def test_what_is_none_that_it_knows_has_no_picture(data: bytes) -> None:
    """The next one has."""
    with Thumbnails() as thumbnails:
        assert thumbnails.of(data) is None
        assert thumbnails.of(_image("PNG")) is not None


def test_a_process_that_dies_is_replaced() -> None:
    """None is left in the end."""
    with Thumbnails() as thumbnails:
        assert thumbnails.of(_image("PNG")) is not None
        child = thumbnails._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert thumbnails.of(_image("PNG")) is None
        assert thumbnails.of(_image("PNG")) is not None
        last = thumbnails._child
    assert last is not None
    assert last.returncode == -signal.SIGKILL


def test_it_has_no_secrets_and_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it decodes may do as it likes: there is not much to do."""
    monkeypatch.setenv("ATTACHFS_TOKEN", "secret")
    with Thumbnails() as thumbnails:
        thumbnails.of(b"")
        assert thumbnails._child is not None
        process = f"/proc/{thumbnails._child.pid}"
        with open(f"{process}/environ", "rb") as file:  # noqa: PTH123 - a path of the kernel's
            assert b"secret" not in file.read()
        with open(f"{process}/limits") as file:  # noqa: PTH123
            limits = {line[:26].strip(): line[26:].split()[0] for line in file}
    assert limits["Max address space"] == str(1024**3)
    assert [limits[f"Max {of}"] for of in ("file size", "processes", "core file size")] == ["0"] * 3
