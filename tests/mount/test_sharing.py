"""Bytes are downloaded once, kept within their bound, and believed only when verified."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from tests.support.archives import declared, uuid_in
from tests.support.evidence import attach
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import until

pytestmark = pytest.mark.mount

MIB = 1024 * 1024
DOWNLOADS = "^/archivist/v2/attachments/.*[0-9a-f]$"
_random = Random(3)  # noqa: S311 - no secret


def _attach(archive: Steering, *contents: bytes) -> tuple[str, list[str]]:
    """Create an asset with attachments of these bytes; return the UUIDs of all."""
    demo = archive.running.archive
    blobs = [demo.create_blob(content) for content in contents]
    attributes = {f"proof {number}": declared(blob) for number, blob in enumerate(blobs)}
    return uuid_in(demo.create_asset({"attributes": attributes})), [uuid_in(b) for b in blobs]


def _digest(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _objects(cache: Path) -> list[Path]:
    return [path for path in (cache / "objects" / "sha256").rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [70_000, 6 * MIB], ids=["small", "large"])
def test_64_readers_of_one_file_cause_one_download(
    mount: Callable[..., Mount], archive: Steering, size: int
) -> None:
    """All at once, each with a handle of its own, each with the right bytes."""
    content = _random.randbytes(size)
    asset, (blob,) = _attach(archive, content)
    path = mount().path / "assets" / asset / blob
    archive.reset()
    with ThreadPoolExecutor(64) as readers:
        digests = set(readers.map(_digest, [path] * 64))
    assert digests == {hashlib.sha256(content).hexdigest()}
    assert len(archive.paths(DOWNLOADS)) == 1


@pytest.mark.parametrize("size", [70_000, 6 * MIB], ids=["small", "large"])
def test_equal_bytes_are_downloaded_once_and_a_restart_downloads_nothing(
    mount: Callable[..., Mount], archive: Steering, tmp_path: Path, size: int
) -> None:
    """Whatever asset and name they hang under."""
    content = _random.randbytes(size)
    places = [_attach(archive, content) for _ in range(2)]
    archive.reset()
    for _ in range(2):
        mounted = mount("--cache-dir", tmp_path / "cache")
        for asset, (blob,) in places:
            assert (mounted.path / "assets" / asset / blob).read_bytes() == content
        assert mounted.end() == 0
    assert len(archive.paths(DOWNLOADS)) == 1


@pytest.mark.parametrize("size", [70_000, 6 * MIB], ids=["small", "large"])
def test_a_byte_flipped_in_the_store_is_never_served(
    mount: Callable[..., Mount], archive: Steering, tmp_path: Path, size: int
) -> None:
    """Wherever it is: the object is a miss, fetched again, and good from then on."""
    content = _random.randbytes(size)
    asset, (blob,) = _attach(archive, content)
    cache = tmp_path / "cache"
    for offset in (None, 0, size // 2, size - 1):
        mounted = mount("--cache-dir", cache)
        mounted.expected_warnings.add("an object of the store is damaged")
        assert (mounted.path / "assets" / asset / blob).read_bytes() == content
        assert mounted.end() == 0
        (stored,) = _objects(cache)
        with stored.open("r+b") as file:
            file.seek(offset or 0)
            flipped = bytes([file.read(1)[0] ^ 1])
            file.seek(offset or 0)
            file.write(flipped)
    assert len(archive.paths(DOWNLOADS)) == 4


def test_a_store_of_16_mib_under_64_mib_of_reads_keeps_its_bound(
    mount: Callable[..., Mount], archive: Steering, tmp_path: Path
) -> None:
    """At no time is more than one object above it, and every byte is right."""
    evidence = attach(archive.running, *[2 * MIB] * 32)
    cache = tmp_path / "cache"
    mounted = mount("--cache-dir", cache, "--cache-size", "16MiB", "--read-ahead", "0")
    for blob, sha256 in zip(evidence.attachments * 2, evidence.sha256s * 2, strict=True):
        assert _digest(mounted.path / evidence.directory / blob) == sha256
        used = sum(path.stat().st_size for path in _objects(cache))
        assert used <= 16 * MIB + 2 * MIB + 64


def test_two_mounts_that_share_a_store_lose_nothing(
    mount: Callable[..., Mount], archive: Steering, tmp_path: Path
) -> None:
    """While both fill it and evict one another's objects, every byte is right."""
    contents = [_random.randbytes(70_000 if n % 2 else 1_500_000) for n in range(40)]
    asset, blobs = _attach(archive, *contents)
    cache = tmp_path / "cache"
    options = ("--cache-dir", cache, "--cache-size", "8MiB", "--memory-cache", "1MiB")
    roots = [mount(*options).path, mount(*options).path]
    work = [
        (root / "assets" / asset / blob, hashlib.sha256(content).hexdigest())
        for root in roots
        for content, blob in zip(contents * 2, blobs * 2, strict=True)
    ]
    _random.shuffle(work)
    with ThreadPoolExecutor(8) as readers:
        digests = list(readers.map(_digest, [path for path, _ in work]))
    assert digests == [digest for _, digest in work]
    assert sum(path.stat().st_size for path in _objects(cache)) <= 8 * MIB + 2 * MIB
    until(lambda: not any((cache / "objects" / "drafts").iterdir()))
    modes = {path.stat().st_mode & 0o777 for path in (cache, *cache.rglob("*"))}
    assert modes <= {0o700, 0o600}


def test_a_cache_on_a_read_only_disk_is_done_without(
    mount: Callable[..., Mount], archive: Steering
) -> None:
    """The mount says so once and goes on in memory; here the disk is another mount of ours."""
    contents = [_random.randbytes(70_000), _random.randbytes(6 * MIB)]
    asset, blobs = _attach(archive, *contents)
    read_only = mount().path
    mounted = mount("--cache-dir", read_only / "assets" / asset / "cache")
    mounted.expected_warnings.add("the cache directory is of no use, going on in memory")
    mounted.expected_warnings.add("the index lives in memory")
    for content, blob in zip(contents, blobs, strict=True):
        assert (mounted.path / "assets" / asset / blob).read_bytes() == content
    until(lambda: sum("the cache directory is of no use" in line for line in mounted.log) == 1)
