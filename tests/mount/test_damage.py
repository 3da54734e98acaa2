"""Bytes that are not those recorded are never seen, and it is told why."""

import ctypes
import errno
import hashlib
import mmap
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.impatient import impatient
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import until
from tests.support.programs import Done

pytestmark = pytest.mark.mount

SMALL, LARGE = "container-photo", "temperature-log"
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _file(mounted: Mount, blob: str) -> Path:
    if blob == SMALL:
        return mounted.asset("container") / SAMPLE[f"blob:{blob}"]
    event = {LARGE: "container-arrival", "empty-remarks": "container-loading"}[blob]
    return mounted.event(event, of="container") / SAMPLE[f"blob:{blob}"]


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


def test_pages_in_the_cache_are_counted(mounted: Mount) -> None:
    """A good file is in the page cache once it was read: the other tests can tell."""
    path = _file(mounted, SMALL)
    assert _pages_in_cache(path) == 0
    assert _errno_of_reading(path) == "all is well"
    assert _pages_in_cache(path) == -(-path.stat().st_size // mmap.PAGESIZE)


@pytest.mark.parametrize("blob", [SMALL, LARGE])
def test_a_flipped_byte_in_the_body_is_never_read(
    mounted: Mount, archive: Steering, blob: str
) -> None:
    """EIO twice at the price of one download, every digest named, no bad byte in the page cache."""
    mounted.expected_warnings.add("the bytes are not those that were recorded")
    path = _file(mounted, blob)
    recorded = os.getxattr(path, "user.archivist.hash_value").decode()
    archive.edit("blobs", path.name, flip_body_byte=path.stat().st_size - 1)
    archive.reset()
    assert _errno_of_reading(path) == "EIO"
    assert _errno_of_reading(path) == "EIO"
    assert len(archive.paths(f"{path.name}$")) == 1
    assert _pages_in_cache(path) == 0
    told = _last_error(path)
    assert f"record={recorded}" in told
    assert f"info={recorded}" in told
    assert "body=" in told


def test_a_flipped_byte_in_the_hash_of_info_is_never_read(
    mounted: Mount, archive: Steering
) -> None:
    """Record and `/info` disagree: nothing is downloaded, and both digests are named."""
    mounted.expected_warnings.add("record and /info declare different digests")
    path = _file(mounted, SMALL)
    archive.edit("blobs", path.name, flip_info_hash=True)
    archive.reset()
    assert _errno_of_reading(path) == "EIO"
    assert _errno_of_reading(path) == "EIO"
    assert archive.paths(f"{path.name}$") == []
    told = dict(part.split("=") for part in _last_error(path).split() if "=" in part)
    assert told["record"] != told["info"]
    assert told["info"] == os.getxattr(path, "user.archivist.hash_value").decode()


def test_a_flipped_byte_in_the_hash_of_the_record_is_never_read(
    mounted: Mount, archive: Steering
) -> None:
    """The same the other way round; the sidecar stays readable."""
    mounted.expected_warnings.add("record and /info declare different digests")
    asset = SAMPLE["asset:container"]
    attributes = archive.record(f"assets/{asset}")["attributes"]
    name, attachment = next(
        (name, value)
        for name, value in attributes.items()
        if isinstance(value, dict)
        and value.get("arc_blob_identity", "").endswith(SAMPLE[f"blob:{SMALL}"])
    )
    good = attachment["arc_blob_hash_value"]
    bad = f"{int(good[0], 16) ^ 1:x}{good[1:]}"
    archive.edit("assets", asset, attributes={name: {**attachment, "arc_blob_hash_value": bad}})
    path = _file(mounted, SMALL)
    assert _errno_of_reading(path) == "EIO"
    assert _errno_of_reading(path) == "EIO"
    assert f"record={bad}" in _last_error(path)
    assert f"info={good}" in _last_error(path)
    assert good in path.with_name(f"{path.name}.info.json").read_text()


@pytest.mark.parametrize("blob", [SMALL, LARGE])
def test_a_body_that_ends_early_is_never_read(mounted: Mount, archive: Steering, blob: str) -> None:
    """Not even its good beginning: a short read would be a short copy."""
    mounted.expected_warnings.update(("the connection failed", "bytes", "asking again"))
    path = _file(mounted, blob)
    archive.edit("blobs", path.name, truncate_body=100)
    assert _errno_of_reading(path) in ("EIO", "EHOSTUNREACH")
    assert _pages_in_cache(path) == 0


@pytest.mark.parametrize("size", [7, 10_000_000])
def test_a_wrong_size_in_info_is_never_read(mounted: Mount, archive: Steering, size: int) -> None:
    """Shorter or longer than the bytes: EIO, as the length is part of the record."""
    mounted.expected_warnings.add("were recorded")
    path = _file(mounted, SMALL)
    archive.edit("blobs", path.name, info_overrides={"size": size})
    assert path.stat().st_size == size
    assert _errno_of_reading(path) == "EIO"
    assert "were recorded" in _last_error(path)


def test_an_empty_file_with_a_digest_of_something_is_not_empty(
    mounted: Mount, archive: Steering
) -> None:
    """No byte of it is ever read, so opening it must fail."""
    mounted.expected_warnings.add("its digest says it is not")
    empty, photo = _file(mounted, "empty-remarks"), _file(mounted, SMALL)
    assert empty.read_bytes() == b""
    assert os.getxattr(empty, "user.archivist.hash_value").decode() == EMPTY_SHA256
    archive.edit("blobs", photo.name, info_overrides={"size": 0})
    assert photo.stat().st_size == 0
    assert _errno_of_reading(photo) == "EIO"


@pytest.mark.parametrize("blob", [SMALL, LARGE])
@pytest.mark.parametrize("declared", [-100, 100], ids=["too long", "too short"])
def test_a_chunked_body_of_another_length_is_never_read(
    mounted: Mount, archive: Steering, blob: str, declared: int
) -> None:
    """Where no Content-Length warns, bytes are counted: EIO, and none is left in the page cache."""
    mounted.expected_warnings.add("recorded")
    path = _file(mounted, blob)
    info = f"attachments/{path.relative_to(mounted.path)}/info"
    size = archive.record(info)["size"] + declared
    archive.switch(content_length=False)
    archive.edit("blobs", path.name, info_overrides={"size": size})
    archive.reset()
    assert _errno_of_reading(path) == "EIO"
    assert _errno_of_reading(path) == "EIO"
    assert len(archive.paths(f"{path.name}$")) == 1
    assert _pages_in_cache(path) == 0


@pytest.mark.parametrize("blob", [SMALL, LARGE])
def test_a_mapping_of_damaged_bytes_shows_none(
    mounted: Mount, archive: Steering, run: Callable[..., Done], blob: str
) -> None:
    """A program that maps the file and looks is ended by SIGBUS: a mapping has no errno."""
    mounted.expected_warnings.add("the bytes are not those that were recorded")
    path = _file(mounted, blob)
    archive.edit("blobs", path.name, flip_body_byte=path.stat().st_size - 1)
    script = "import mmap, sys; f = open(sys.argv[1], 'rb'); mmap.mmap(f.fileno(), 0, prot=1)[0]"
    assert run(sys.executable, "-c", script, path).returncode == -signal.SIGBUS
    assert _pages_in_cache(path) == 0


def test_what_is_damaged_is_still_there(mounted: Mount, archive: Steering) -> None:
    """Digests that disagree fail the open: looking up, listing and attributes work, and say why."""
    mounted.expected_warnings.add("record and /info declare different digests")
    path = _file(mounted, SMALL)
    archive.edit("blobs", path.name, flip_info_hash=True)
    for _ in range(2):
        assert path.stat().st_size > 0
        assert path in path.parent.iterdir()
        assert os.getxattr(path, "user.archivist.verified_by") == b"record+info"
        with pytest.raises(OSError, match="Input/output error"):
            os.open(path, os.O_RDONLY)
        assert "different digests" in _last_error(path)


def test_a_verdict_ends(mount: Callable[..., Mount], archive: Steering) -> None:
    """Until its lifetime is over nothing is downloaded again; then repaired bytes are good."""
    mounted = mount(program=impatient(negative_ttl_s=1.0))
    mounted.expected_warnings.add("the bytes are not those that were recorded")
    path = _file(mounted, LARGE)
    archive.edit("blobs", path.name, flip_body_byte=3)
    archive.reset()
    assert _errno_of_reading(path) == "EIO"
    archive.edit("blobs", path.name, flip_body_byte=None)
    until(lambda: _errno_of_reading(path) == "all is well")
    assert len(archive.paths(f"{path.name}$")) == 2
    assert "user.archivist.last_error" not in os.listxattr(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest().encode() == os.getxattr(
        path, "user.archivist.hash_value"
    )
