"""Bytes that are not those recorded are never seen, and it is told why."""

import ctypes
import errno
import hashlib
import mmap
import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random

import pytest

from tests.support.archives import declared, uuid_in
from tests.support.clocks import Clocks
from tests.support.mounts import Mount, Steering
from tests.support.programs import Done

pytestmark = pytest.mark.mount

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
SMALL_BYTES, LARGE_BYTES = 70_000, 5 * 1024 * 1024
NEGATIVE_TTL_S = 5.0  # the default
SIZES = pytest.mark.parametrize("size", [SMALL_BYTES, LARGE_BYTES], ids=["small", "large"])
_serial = count()

Evidence = Callable[[int], Path]


def _attach(archive: Steering, size: int) -> tuple[str, str]:
    """Attach bytes that nobody saw before to a new asset; return the UUIDs of both."""
    demo = archive.running.archive
    blob = demo.create_blob(Random(next(_serial)).randbytes(size))  # noqa: S311 - no secret
    attributes = {"proof": declared(blob)}
    return uuid_in(demo.create_asset({"attributes": attributes})), uuid_in(blob)


@pytest.fixture
def evidence(shared: Mount, shared_archive: Steering) -> Evidence:
    """Make a new attachment of some bytes; return it in the shared mount."""
    return lambda size: (shared.path / "assets").joinpath(*_attach(shared_archive, size))


def _errno_of_reading(path: Path) -> str:
    """Return the name of the errno that opening and reading all of a file ends with."""
    try:
        path.read_bytes()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "all is well"


def _pages_in_cache(path: Path) -> int:
    """Count the pages of a file that the kernel holds (mincore(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        mapped = mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE)
        with mapped:
            anchor = ctypes.c_char.from_buffer(mapped)
            resident = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
            done = libc.mincore(ctypes.c_void_p(ctypes.addressof(anchor)), size, resident)
            del anchor
        assert done == 0, os.strerror(ctypes.get_errno())
    return sum(page & 1 for page in resident)


def _last_error(path: Path) -> str:
    return os.getxattr(path, "user.archivist.last_error").decode()


def _told(path: Path) -> dict[str, str]:
    """Return the digests that the last error names, by where they were found."""
    parts = (part.partition("=") for part in _last_error(path).split())
    return {source: digest for source, equals, digest in parts if equals}


def test_pages_in_the_cache_are_counted(evidence: Evidence) -> None:
    """A good file is in the page cache once it was read: the other tests can tell."""
    path = evidence(SMALL_BYTES)
    assert _pages_in_cache(path) == 0
    assert _errno_of_reading(path) == "all is well"
    assert _pages_in_cache(path) == -(-path.stat().st_size // mmap.PAGESIZE)


@SIZES
def test_a_flipped_byte_in_the_body_is_never_read(
    shared: Mount, shared_archive: Steering, evidence: Evidence, size: int
) -> None:
    """EIO twice at the price of one download, every digest named, no bad byte in the page cache."""
    shared.expected_warnings.add("the bytes are not those that were recorded")
    path = evidence(size)
    recorded = os.getxattr(path, "user.archivist.hash_value").decode()
    shared_archive.edit("blobs", path.name, flip_body_byte=size - 1)
    shared_archive.reset()
    assert _errno_of_reading(path) == "EIO"
    assert _errno_of_reading(path) == "EIO"
    assert len(shared_archive.paths(f"{path.name}$")) == 1
    assert _pages_in_cache(path) == 0
    told = _told(path)
    assert (told["record"], told["info"]) == (recorded, recorded)
    assert told["body"] != recorded


@SIZES
def test_a_flipped_byte_in_the_hash_of_info_is_never_read(
    shared: Mount, shared_archive: Steering, evidence: Evidence, size: int
) -> None:
    """Record and `/info` disagree: nothing is downloaded, and both digests are named."""
    shared.expected_warnings.add("record and /info declare different digests")
    path = evidence(size)
    shared_archive.edit("blobs", path.name, flip_info_hash=True)
    shared_archive.reset()
    assert _errno_of_reading(path) == "EIO"
    assert _errno_of_reading(path) == "EIO"
    assert shared_archive.paths(f"{path.name}$") == []
    told = _told(path)
    assert told["record"] != told["info"]
    assert told["info"] == os.getxattr(path, "user.archivist.hash_value").decode()


@SIZES
def test_a_flipped_byte_in_the_hash_of_the_record_is_never_read(
    shared: Mount, shared_archive: Steering, evidence: Evidence, size: int
) -> None:
    """The same the other way round; the sidecar stays readable."""
    shared.expected_warnings.add("record and /info declare different digests")
    path = evidence(size)
    asset = path.parent.name
    attribute = shared_archive.record(f"assets/{asset}")["attributes"]["proof"]
    good = attribute["arc_blob_hash_value"]
    bad = f"{int(good[0], 16) ^ 1:x}{good[1:]}"
    changed = {**attribute, "arc_blob_hash_value": bad}
    shared_archive.edit("assets", asset, attributes={"proof": changed})
    shared_archive.reset()
    assert _errno_of_reading(path) == "EIO"
    assert _errno_of_reading(path) == "EIO"
    assert shared_archive.paths(f"{path.name}$") == []
    assert _told(path) == {"record": bad, "info": good}
    assert good in path.with_name(f"{path.name}.info.json").read_text()


def test_a_body_that_breaks_off_is_never_read(
    shared_mount: Callable[..., Mount], shared_archive: Steering, clocks: Clocks
) -> None:
    """Not even its good beginning, after all retries: a short read would be a short copy."""
    mounted = shared_mount(program=clocks.program())
    mounted.expected_warnings.add("the connection failed")
    for size in (SMALL_BYTES, LARGE_BYTES):
        path = (mounted.path / "assets").joinpath(*_attach(shared_archive, size))
        shared_archive.edit("blobs", path.name, truncate_body=size - 100)
        shared_archive.reset()
        with clocks.passing():
            assert _errno_of_reading(path) == "EHOSTUNREACH"
        assert len(shared_archive.paths(f"{path.name}$")) > 2
        assert _pages_in_cache(path) == 0


@SIZES
@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
@pytest.mark.parametrize("more", [-100, 100], ids=["too long", "too short"])
def test_a_body_of_another_length_is_never_read(
    shared: Mount,
    shared_archive: Steering,
    evidence: Evidence,
    size: int,
    more: int,
    *,
    chunked: bool,
) -> None:
    """Announced or counted: EIO at the price of one download, nothing is in the page cache."""
    shared.expected_warnings.add("recorded")
    path = evidence(size)
    shared_archive.switch(content_length=not chunked)
    shared_archive.edit("blobs", path.name, info_overrides={"size": size + more})
    assert path.stat().st_size == size + more
    shared_archive.reset()
    assert _errno_of_reading(path) == "EIO"
    assert _errno_of_reading(path) == "EIO"
    shared_archive.switch(content_length=True)
    assert len(shared_archive.paths(f"{path.name}$")) == 1
    assert "recorded" in _last_error(path)
    assert _pages_in_cache(path) == 0


def test_an_empty_file_with_a_digest_of_something_is_not_empty(
    shared: Mount, shared_archive: Steering, evidence: Evidence
) -> None:
    """No byte of it is ever read, so opening it must fail; the digest of nothing is fine."""
    shared.expected_warnings.add("its digest says it is not")
    empty, other = evidence(0), evidence(SMALL_BYTES)
    assert empty.read_bytes() == b""
    assert os.getxattr(empty, "user.archivist.hash_value").decode() == EMPTY_SHA256
    shared_archive.edit("blobs", other.name, info_overrides={"size": 0})
    assert other.stat().st_size == 0
    assert _errno_of_reading(other) == "EIO"


@SIZES
def test_a_mapping_of_damaged_bytes_shows_none(
    shared: Mount,
    shared_archive: Steering,
    evidence: Evidence,
    run: Callable[..., Done],
    size: int,
) -> None:
    """A program that maps the file and looks is ended by SIGBUS: a mapping has no errno.

    Of a large one, which is read while it comes, that is told of its end at the latest.
    """
    shared.expected_warnings.add("the bytes are not those that were recorded")
    path = evidence(size)
    shared_archive.edit("blobs", path.name, flip_body_byte=size - 1)
    script = "import mmap, sys; f = open(sys.argv[1], 'rb'); mmap.mmap(f.fileno(), 0, prot=1)[-1]"
    assert run(sys.executable, "-c", script, path).returncode == -signal.SIGBUS
    assert _pages_in_cache(path) == 0


def test_what_is_damaged_is_still_there(
    shared: Mount, shared_archive: Steering, evidence: Evidence
) -> None:
    """Digests that disagree fail the open: looking up, listing and attributes work, and say why."""
    shared.expected_warnings.add("record and /info declare different digests")
    path = evidence(SMALL_BYTES)
    shared_archive.edit("blobs", path.name, flip_info_hash=True)
    for _ in range(2):
        assert path.stat().st_size == SMALL_BYTES
        assert path in path.parent.iterdir()
        assert os.getxattr(path, "user.archivist.verified_by") == b"record+info"
        with pytest.raises(OSError, match="Input/output error"):
            os.open(path, os.O_RDONLY)
        assert "different digests" in _last_error(path)


def test_a_verdict_ends(
    shared_mount: Callable[..., Mount], shared_archive: Steering, clocks: Clocks
) -> None:
    """Until its lifetime is over nothing is downloaded again; then repaired bytes are good."""
    mounted = shared_mount(program=clocks.program())
    mounted.expected_warnings.add("the bytes are not those that were recorded")
    path = (mounted.path / "assets").joinpath(*_attach(shared_archive, LARGE_BYTES))
    shared_archive.edit("blobs", path.name, flip_body_byte=3)
    shared_archive.reset()
    assert _errno_of_reading(path) == "EIO"
    shared_archive.edit("blobs", path.name, flip_body_byte=None)
    clocks.advance(NEGATIVE_TTL_S - 1)
    assert _errno_of_reading(path) == "EIO"
    assert len(shared_archive.paths(f"{path.name}$")) == 1
    clocks.advance(1)
    assert _errno_of_reading(path) == "all is well"
    assert len(shared_archive.paths(f"{path.name}$")) == 2
    assert "user.archivist.last_error" not in os.listxattr(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest().encode() == os.getxattr(
        path, "user.archivist.hash_value"
    )
