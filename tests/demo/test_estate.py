"""The sample estate is small, real, complete and the same every time."""

import json
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from attachfs.demo import SAMPLE, Archive, RunningArchive
from attachfs.demo.attributes import blob_uuids
from attachfs.demo.estate import seed
from attachfs.demo.estate_files import jpeg
from attachfs.demo.estate_paintings import Pixel

ASSETS = "/archivist/v2/assets"


async def everything(client: httpx.AsyncClient) -> tuple[list[Any], list[Any]]:
    """Return all assets and all events."""
    assets = (await client.get(ASSETS, params={"tracked": "ANY"})).json()["assets"]
    events = (await client.get(f"{ASSETS}/-/events")).json()["events"]
    return assets, events


async def test_every_attachment_can_be_read_but_the_bad_one(
    estate_client: httpx.AsyncClient,
) -> None:
    """Walking it as `cp -r` does meets exactly one refusal, beside a file that can be read."""
    assets, events = await everything(estate_client)
    refused = []
    beside = 0
    for record in [*assets, *events]:
        maps = [record[name] for name in ("attributes", "event_attributes") if name in record]
        if "events" in record["identity"]:
            maps.append(record["asset_attributes"])
        for uuid in {uuid for attributes in maps for uuid in blob_uuids(attributes)}:
            path = f"/archivist/v2/attachments/{record['identity']}/{uuid}"
            if (await estate_client.get(path)).status_code != 200:
                refused.append((record["identity"], uuid))
            elif record["identity"].endswith(SAMPLE["event:coffee-delivery"]):
                beside += 1
    bad_event = f"assets/{SAMPLE['asset:coffee']}/events/{SAMPLE['event:coffee-delivery']}"
    assert refused == [(bad_event, SAMPLE["blob:bad-invoice"])]
    assert beside == 1


async def test_it_has_one_of_everything(estate_client: httpx.AsyncClient) -> None:
    """Public, untracked, superseded, shared, empty, large, scanned and oddly named: all there."""
    assets, events = await everything(estate_client)
    listed = (await estate_client.get(ASSETS)).json()["assets"]
    assert (len(assets), len(listed)) == (6, 5)
    assert [asset["public"] for asset in assets].count(True) == 1
    references = Counter(
        uuid
        for record in [*assets, *events]
        for name in ("attributes", "event_attributes")
        for uuid in blob_uuids(record.get(name, {}))
    )
    assert references[SAMPLE["blob:certificate"]] >= 2
    assert references[SAMPLE["blob:bad-invoice"]] == 1
    keys = {key for event in events for key in event["event_attributes"]}
    assert {"documents/loading/packing_list_txt", "arc_append_attachments", "sheets"} <= keys
    by_name = {name: uuid for name, uuid in SAMPLE.items() if name.startswith("blob:")}
    infos = {
        name: (await estate_client.get(f"/archivist/v1/blobs/{uuid}/info")).json()
        for name, uuid in by_name.items()
    }
    assert infos["blob:empty-remarks"]["size"] == 0
    assert abs(infos["blob:temperature-log"]["size"] - 5 * 2**20) < 10_000
    assert Counter(info["scanned_status"] for info in infos.values()) == {
        "NOT_SCANNED": len(infos) - 2,
        "SCANNED_OK": 1,
        "SCANNED_BAD": 1,
    }
    types = {info["mime_type"] for info in infos.values()}
    assert {"image/jpeg", "image/png", "application/pdf", "application/json"} <= types


async def test_history_is_in_order(estate_client: httpx.AsyncClient) -> None:
    """Lists descend by time, all of it in 2023 and 2024."""
    _, events = await everything(estate_client)
    times = [event["timestamp_accepted"] for event in events]
    assert times == sorted(times, reverse=True)
    assert {time[:4] for time in times} == {"2023", "2024"}


async def test_a_superseded_attachment_is_found_as_of_then(
    estate: RunningArchive, estate_client: httpx.AsyncClient
) -> None:
    """The sensor's first bill of materials belongs to its past."""
    path = f"{ASSETS}/{SAMPLE['asset:sensor']}"
    now = (await estate_client.get(path)).json()
    then = (await estate_client.get(path, params={"at_time": "2023-06-01T00:00:00Z"})).json()
    assert set(blob_uuids(now["attributes"])) ^ set(blob_uuids(then["attributes"])) == {
        SAMPLE["blob:firmware-1"],
        SAMPLE["blob:firmware-2"],
    }
    sbom = json.loads(estate.archive.blobs.path(SAMPLE["blob:firmware-1"]).read_bytes())
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["version"]) == ("CycloneDX", "1.2.0")


async def test_it_is_the_same_every_time(tmp_path: Path) -> None:
    """Identities, times and bytes do not depend on when or where it is made."""

    def contents(root: Path) -> tuple[list[Any], list[Any]]:
        archive = Archive(root)
        seed(archive)
        seed(archive)
        blobs = archive.storage.load_all("blobs")
        records = archive.storage._db.execute("SELECT kind, uuid, record FROM records").fetchall()
        archive.close()
        return blobs, records

    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_pdf_points_at_its_objects(tmp_path: Path) -> None:
    """Every offset of the cross-reference table is where the object begins."""
    archive = Archive(tmp_path / "estate")
    seed(archive)
    content = archive.blobs.path(SAMPLE["blob:certificate"]).read_bytes()
    archive.close()
    table = int(content.split(b"startxref\n")[1].split()[0])
    assert content[table:].startswith(b"xref\n0 6\n")
    offsets = [int(line[:10]) for line in content[table:].split(b"\n")[3:8]]
    for number, offset in enumerate(offsets, 1):
        assert content[offset:].startswith(b"%d 0 obj" % number)


def test_the_png_can_be_decoded(tmp_path: Path) -> None:
    """Its checksums hold and its pixels are all there."""
    archive = Archive(tmp_path / "estate")
    seed(archive)
    content = archive.blobs.path(SAMPLE["blob:sensor-photo"]).read_bytes()
    archive.close()
    chunks = dict(_png_chunks(content))
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + 3 * width)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position < len(content):
        (length,) = struct.unpack_from(">I", content, position)
        kind, body = content[position + 4 : position + 8], content[position + 8 :][:length]
        (checksum,) = struct.unpack_from(">I", content, position + 8 + length)
        assert checksum == zlib.crc32(kind + body)
        yield kind, body
        position += 12 + length


def test_the_jpeg_decodes_to_what_was_painted() -> None:
    """A decoder written from the standard, for images of flat blocks, gets the colours back."""

    def paint(x: float, y: float) -> Pixel:
        return (int(x * 255), int(y * 255), int((1 - x) * 255))

    blocks = _decoded_jpeg(jpeg(9, 7, paint))
    assert len(blocks) == 9 * 7
    for index, found in enumerate(blocks):
        wanted = paint((index % 9 + 0.5) / 9, (index // 9 + 0.5) / 7)
        assert all(abs(a - b) <= 3 for a, b in zip(found, wanted, strict=True))


def _decoded_jpeg(content: bytes) -> list[tuple[float, float, float]]:
    assert content[:2] == b"\xff\xd8"
    assert content[-2:] == b"\xff\xd9"
    tables: dict[int, dict[str, int]] = {}
    quantiser = wide = high = 0
    position = 2
    while True:
        marker, length = struct.unpack_from(">HH", content, position)
        body = content[position + 4 : position + 2 + length]
        position += 2 + length
        if marker == 0xFFDB:
            quantiser = body[1]
        elif marker == 0xFFC0:
            high, wide = struct.unpack(">HH", body[1:5])
        elif marker == 0xFFC4:
            tables[body[0]] = _huffman(body[1:17], body[17:])
        elif marker == 0xFFDA:
            break
    coded = content[position:-2].replace(b"\xff\x00", b"\xff")
    bits = iter("".join(f"{byte:08b}" for byte in coded))
    mean = [0.0, 0.0, 0.0]
    blocks = []
    for _ in range((wide // 8) * (high // 8)):
        for component in range(3):
            size = _symbol(bits, tables[0x00])
            value = int("".join(next(bits) for _ in range(size)) or "0", 2)
            if size and value < 1 << (size - 1):
                value -= (1 << size) - 1
            mean[component] += value * quantiser / 8
            assert _symbol(bits, tables[0x10]) == 0
        luma, blue, red = mean[0] + 128, mean[1], mean[2]
        green = luma - 0.344136 * blue - 0.714136 * red
        blocks.append((luma + 1.402 * red, green, luma + 1.772 * blue))
    return blocks


def _huffman(counts: bytes, symbols: bytes) -> dict[str, int]:
    table, code, index = {}, 0, 0
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            table[f"{code:0{length}b}"] = symbols[index]
            code, index = code + 1, index + 1
        code <<= 1
    return table


def _symbol(bits: Iterator[str], table: dict[str, int]) -> int:
    code = ""
    while code not in table:
        code += next(bits)
    return table[code]
