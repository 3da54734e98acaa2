"""Files of the sample estate, made by code: the same bytes every time."""

import functools
import hashlib
import struct
import zlib
from collections.abc import Iterator

import msgspec

from attachfs.demo.estate_paintings import Painter, Pixel

_EOB_SYMBOL = 0
_ZIGZAG_VALUES = 64


def text(*lines: str) -> bytes:
    """Return lines as UTF-8, each ended by a newline."""
    return "".join(f"{line}\n" for line in lines).encode()


@functools.cache
def sensor_log(readings: int) -> bytes:
    """Return a CSV table of that many temperature readings, 41 bytes each."""
    rows = ["reading,temperature_c,humidity_pct,door,checksum"]
    for index in range(readings):
        mark = hashlib.sha256(str(index).encode()).hexdigest()[:16]
        rows.append(
            f"{index:07d},{4 + (index * 7 % 23) / 10:.1f},{60 + index % 17:02d}.0,closed,{mark}"
        )
    return "\n".join(rows).encode() + b"\n"


def png(width: int, height: int, paint: Painter) -> bytes:
    """Return a true-colour PNG of that many pixels."""
    rows = b"".join(
        b"".join((b"\0", *(bytes(paint(x / width, y / height)) for x in range(width))))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _png_chunk(b"IHDR", header),
            _png_chunk(b"IDAT", zlib.compress(rows, 9)),
            _png_chunk(b"IEND", b""),
        )
    )


def jpeg(blocks_wide: int, blocks_high: int, paint: Painter) -> bytes:
    """Return a baseline JPEG, a mosaic of one colour per block of 8 by 8 pixels.

    Only the mean of each block is coded, so a dozen lines are a complete encoder.
    """
    frame = struct.pack(">BHHB", 8, blocks_high * 8, blocks_wide * 8, 3)
    frame += b"".join(bytes((component, 0x11, 0)) for component in (1, 2, 3))
    # Mean differences have 0 to 11 bits; twelve codes of four bits name how many.
    dc_table = b"\x00" + bytes((0, 0, 0, 12)) + bytes(12) + bytes(range(12))
    ac_table = b"\x10" + bytes((1,)) + bytes(15) + bytes((_EOB_SYMBOL,))
    scan = bytes((3, 1, 0, 2, 0, 3, 0, 0, 63, 0))
    return b"".join(
        (
            b"\xff\xd8",
            _jpeg_segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
            _jpeg_segment(0xDB, b"\0" + bytes([8] + [1] * (_ZIGZAG_VALUES - 1))),
            _jpeg_segment(0xC0, frame),
            _jpeg_segment(0xC4, dc_table),
            _jpeg_segment(0xC4, ac_table),
            _jpeg_segment(0xDA, scan),
            _packed(_mosaic_bits(blocks_wide, blocks_high, paint)),
            b"\xff\xd9",
        )
    )


def pdf(title: str, *lines: str) -> bytes:
    """Return a PDF of one page with a title and lines of ASCII text."""
    moves = [f"BT /F1 20 Tf 72 760 Td ({_pdf_text(title)}) Tj ET"]
    for index, line in enumerate(lines):
        moves.append(f"BT /F1 11 Tf 72 {724 - 18 * index} Td ({_pdf_text(line)}) Tj ET")
    content = "\n".join(moves)
    page = "/MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >>"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R {page} >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out = "%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    out += "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    return out.encode("ascii")


def sbom(name: str, version: str, serial: str, *components: tuple[str, str]) -> bytes:
    """Return a CycloneDX document in JSON; components are pairs of name and version."""
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": {"type": "firmware", "name": name, "version": version}},
        "components": [
            {
                "type": "library",
                "name": part,
                "version": number,
                "purl": f"pkg:generic/{part}@{number}",
            }
            for part, number in components
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _mosaic_bits(wide: int, high: int, paint: Painter) -> Iterator[str]:
    previous = [0, 0, 0]
    for y in range(high):
        for x in range(wide):
            for component, mean in enumerate(_ycc(paint((x + 0.5) / wide, (y + 0.5) / high))):
                # Eight times the mean is the block's DC term; its quantiser is eight as well.
                difference, previous[component] = mean - previous[component], mean
                bits = abs(difference).bit_length()
                yield f"{bits:04b}"
                if bits:
                    code = difference if difference > 0 else difference + (1 << bits) - 1
                    yield f"{code:0{bits}b}"
                yield "0"


def _ycc(pixel: Pixel) -> tuple[int, int, int]:
    red, green, blue = pixel
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return (
        round(luma) - 128,
        round(0.564 * (blue - luma)),
        round(0.713 * (red - luma)),
    )


def _packed(codes: Iterator[str]) -> bytes:
    bits = "".join(codes)
    bits += "1" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return packed.replace(b"\xff", b"\xff\x00")


def _pdf_text(line: str) -> str:
    return line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
