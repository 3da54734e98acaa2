"""The process that decodes images: reads them from standard input, writes small ones.

Each is preceded by its length, both ways; of what is no image it can read, that is 0.
"""

import io
import resource
import struct
import sys
from typing import Final

LENGTH: Final = struct.Struct("!I")

_PIXELS: Final = 160
_QUALITY: Final = 75
_FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
# An image of a hundred million pixels, decoded, and copied once.
_MAX_PIXELS: Final = 100_000_000
_MEMORY_BYTES: Final = 1024 * 1024 * 1024


def main() -> None:
    """Make thumbnails until standard input ends."""
    from PIL import Image  # noqa: PLC0415 - the limits are for what comes after it

    Image.MAX_IMAGE_PIXELS = _MAX_PIXELS // 2  # it refuses twice as many
    Image.init()  # the decoders are files
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NPROC):
        resource.setrlimit(limit, (0, 0))
    while head := sys.stdin.buffer.read(LENGTH.size):
        (size_bytes,) = LENGTH.unpack(head)
        image = sys.stdin.buffer.read(size_bytes)
        try:
            thumbnail = _thumbnail(image)
        except Exception:  # noqa: BLE001 - decoders raise whatever they like
            thumbnail = b""
        sys.stdout.buffer.write(LENGTH.pack(len(thumbnail)) + thumbnail)
        sys.stdout.buffer.flush()


def _thumbnail(data: bytes) -> bytes:
    from PIL import Image, ImageOps  # noqa: PLC0415 - as above

    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        image.draft("RGB", (2 * _PIXELS, 2 * _PIXELS))  # a JPEG is decoded smaller at once
        image.thumbnail((_PIXELS, _PIXELS))
        upright = ImageOps.exif_transpose(image).convert("RGBA")
    page = Image.new("RGB", upright.size, "white")
    page.paste(upright, mask=upright.getchannel("A"))
    made = io.BytesIO()
    page.save(made, "JPEG", quality=_QUALITY)
    return made.getvalue()


if __name__ == "__main__":
    main()
