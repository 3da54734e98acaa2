"""Who may read what: by path and token, whether it is listed or not."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.clocks import Clocks
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import until

pytestmark = pytest.mark.mount

BAD = SAMPLE["blob:bad-invoice"]
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
NEW_UUID = "0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"


def _attachments(mounted: Mount) -> dict[Path, str]:
    """Return every listed attachment but the bad one, relative to the mount, with its SHA-256."""
    return {
        path.with_name(path.name.removesuffix(".info.json")).relative_to(mounted.path): os.getxattr(
            path.with_name(path.name.removesuffix(".info.json")), "user.archivist.hash_value"
        ).decode()
        for path in (mounted.path / "assets").rglob("*.info.json")
        if not path.name.startswith(BAD)
    }


def _errno_of(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "all is well"


@pytest.mark.parametrize("denied", ["deny_listing", "deny_records"])
def test_three_endpoints_are_enough_for_every_direct_path(
    mounted: Mount, mount: Callable[..., Mount], archive: Steering, denied: str
) -> None:
    """Where listing or every record is refused (403), the Attachments API serves all paths."""
    attachments = _attachments(mounted)
    assert len(attachments) > 20
    archive.switch(**{denied: True})
    narrow = mount("--cache-dir", mounted.path.parent / "other")
    until(lambda: any("may not list assets" in line for line in narrow.log))
    narrow.expected_warnings.add("the server answered 403")
    narrow.expected_warnings.add("this token may not list assets")
    assert _errno_of(lambda: list((narrow.path / "assets").iterdir())) == "EACCES"
    archive.reset()
    for path, digest in attachments.items():
        whole = narrow.path / path
        data = whole.read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        assert len(data) == whole.stat().st_size
        sidecar = whole.with_name(f"{whole.name}.info.json").read_text()
        assert digest in sidecar
        verified_by = os.getxattr(whole, "user.archivist.verified_by").decode()
        assert verified_by == ("info" if denied == "deny_records" else "record+info")
    served = [request["path"] for request in archive.requests() if request["status"] < 400]
    attached = [path for path in served if path.startswith("/archivist/v2/attachments/")]
    assert sum(path.endswith("/info") for path in attached) == len(attachments)
    assert sum(not path.endswith("/info") for path in attached) == len(
        set(attachments.values()) - {EMPTY_SHA256}
    )
    if denied == "deny_records":
        assert served == attached


def test_what_does_not_exist_is_not_there(shared: Mount, shared_archive: Steering) -> None:
    """A UUID of nothing is ENOENT wherever it stands, asked once within its lifetime."""
    asset = shared.asset("container")
    for path in (
        shared.path / "assets" / NEW_UUID,
        asset / NEW_UUID,
        asset / f"{NEW_UUID}.info.json",
        asset / "events" / NEW_UUID,
        shared.event("container-loading", of="container") / NEW_UUID,
    ):
        assert _errno_of(path.stat) == "ENOENT"
        shared_archive.reset()
        assert _errno_of(path.stat) == "ENOENT"
        assert shared_archive.paths() == []


def test_what_is_real_and_not_listed_is_readable_by_name(
    mounted: Mount, mount: Callable[..., Mount], archive: Steering
) -> None:
    """An attachment that the record no longer names is no longer listed, and still there."""
    directory, photo = mounted.asset("container"), SAMPLE["blob:container-photo"]
    before = (directory / photo).read_bytes()
    attributes = archive.record(f"assets/{directory.name}")["attributes"]
    named = [name for name, value in attributes.items() if photo in str(value)]
    archive.edit("assets", directory.name, attributes=dict.fromkeys(named))
    archive.switch(asset_url_serves_superseded=True)
    fresh = mount("--cache-dir", mounted.path.parent / "other").asset("container")
    assert photo not in {path.name for path in fresh.iterdir()}
    assert (fresh / photo).read_bytes() == before
    assert os.getxattr(fresh / photo, "user.archivist.verified_by") == b"info"


def test_a_right_that_was_withdrawn_ends(mount: Callable[..., Mount], archive: Steering) -> None:
    """With a lifetime of nothing, the next open is refused; so it is with what is deleted."""
    mounted = mount("--metadata-ttl", "0s")
    mounted.expected_warnings.add("the server answered 403")
    asset = mounted.asset("container")
    path = asset / SAMPLE["blob:container-photo"]
    assert path.read_bytes()
    archive.edit("assets", asset.name, deny=True)
    assert _errno_of(path.read_bytes) == "EACCES"
    assert _errno_of(path.read_bytes) == "EACCES"
    other = mounted.asset("sensor") / SAMPLE["blob:sensor-photo"]
    assert other.read_bytes()
    archive.edit("assets", other.parent.name, delete=True)
    assert _errno_of(other.read_bytes) == "ENOENT"


# Between the changes of the sample estate, so that what was superseded is among what is there.
_MOMENTS = ["2023-04-30", "2024-06-15T12:00:00Z"]
_TOPS = ["assets", "by-name", "publicassets", *(f"as-of/{time}/assets" for time in _MOMENTS)]
_KINDS = ("asset.json", "event.json", "SHA256SUMS", ".info.json", "")
_PASSED_S = 61
_EVERYTHING = 10**6


@dataclass(frozen=True)
class _Said:
    """What a file tells: its bytes, or the errno of opening it, and its extended attributes."""

    content: bytes | str
    xattrs: dict[str, bytes]


def _files(mounted: Mount) -> Iterator[Path]:
    """Return every file of every view, relative to the mount."""
    for top in _TOPS:
        for directory, _, names in os.walk(mounted.path / top, onerror=_not_yet_there):
            for name in names:
                yield Path(directory, name).relative_to(mounted.path)


def _not_yet_there(error: OSError) -> None:
    if error.errno != errno.ENOENT or "/as-of/" not in error.filename:
        raise error


def _said(path: Path) -> _Said:
    try:
        content: bytes | str = path.read_bytes()
    except OSError as error:
        content = errno.errorcode[error.errno or 0]
    return _Said(content, {name: os.getxattr(path, name) for name in os.listxattr(path)})


def _kind(path: Path) -> str:
    return next(kind for kind in _KINDS if path.name.endswith(kind))


@contextmanager
def _looked_up(paths: Iterator[Path] | list[Path]) -> Iterator[dict[Path, Path]]:
    """Offer names by which files are opened without a lookup: the kernel knows them already."""
    descriptors = {path: os.open(path, os.O_PATH) for path in paths}
    try:
        yield {path: Path(f"/proc/self/fd/{number}") for path, number in descriptors.items()}
    finally:
        for number in descriptors.values():
            os.close(number)


def _told(path: Path, names: dict[str, bytes]) -> set[str]:
    """Return by what a path, which may not be read, tells something all the same."""
    told = set()
    if isinstance(_outcome(path.read_bytes), bytes):
        told.add("open")
    told |= {name for name in names if isinstance(_outcome(lambda: os.getxattr(path, name)), bytes)}  # noqa: B023
    if names and isinstance(_outcome(lambda: os.listxattr(path)), list):
        told.add("listxattr")
    return told


def _outcome(action: Callable[[], object]) -> object:
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


@pytest.mark.parametrize(
    ("when", "status"),
    [
        *(("running", status) for status in (401, 403, 404)),
        *(("mounted anew", status) for status in (401, 403, 404)),
        ("mounted anew, looked up", 403),
    ],
)
def test_a_right_that_was_withdrawn_ends_for_every_file_and_xattr_of_every_view(
    mount: Callable[..., Mount], archive: Steering, clocks: Clocks, when: str, status: int
) -> None:
    """Within the lifetime of 60 s, cached or not, in the mount that has read them and in the next.

    Files are opened by inodes that the kernel knows, and by name. A server that answers again is
    believed again.
    """
    archive.switch(asset_url_serves_superseded=True)
    public = f"{archive.url}/archivist/publicassets/{SAMPLE['asset:conformity']}"
    options = ("--public-asset", public, "--negative-ttl", "0.1s")  # the kernel's clock goes on
    mounted = mount(*options, program=clocks.program())
    mounted.expected_warnings.add("SCANNED_BAD")
    known = {path: _said(mounted.path / path) for path in _files(mounted)}
    _check_that_the_table_is_whole(known)
    if when != "running":
        mounted.end()
        clocks.advance(_PASSED_S)
        mounted = mount(*options, program=clocks.program())
    mounted.expected_warnings |= {f"the server answered {status}", "SCANNED_BAD"}
    root = mounted.path
    with _looked_up([] if when == "mounted anew" else [root / path for path in known]) as opened:
        archive.fail_next(path_regex="^/archivist/", status=status, times=_EVERYTHING)
        if when == "running":
            for path, said in known.items():
                assert _said(opened[root / path]) == said, path
        clocks.advance(_PASSED_S)
        told = {
            (path, name)
            for path, said in known.items()
            for name in _told(opened.get(root / path, root / path), said.xattrs)
            | _told(root / path, {})
        }
    assert not told
    archive.reset()
    clocks.advance(1)
    for path, said in known.items():
        assert _said(root / path) == said, path


def _check_that_the_table_is_whole(known: dict[Path, _Said]) -> None:
    """Every kind of file is there in every view, of assets and of events, with what it tells."""
    met = {(top, "events" in path.parts, _kind(path)) for path in known for top in _TOPS
           if path.is_relative_to(top)}  # fmt: skip
    for top in _TOPS:
        for of_event in (False, True):
            record = "event.json" if of_event else "asset.json"
            wanted = {record, "SHA256SUMS", ".info.json", ""}
            assert {kind for where, event, kind in met if (where, event) == (top, of_event)} == (
                wanted
            ), (top, of_event)
    for path, said in known.items():
        if _kind(path) == "":
            assert {"user.archivist.info", "user.archivist.verified_by"} <= set(said.xattrs), path
    refused = {said.content for said in known.values() if isinstance(said.content, str)}
    assert refused == {"EACCES"}  # the bad one


def test_impossible_names_cost_no_request(shared: Mount, shared_archive: Steering) -> None:
    """1,000 probes of names that cannot exist, in every kind of directory."""
    asset = shared.asset("container")
    event = shared.event("container-loading", of="container")
    directories = (
        shared.path,
        shared.path / "assets",
        asset,
        asset / "events",
        event,
    )
    photo = SAMPLE["blob:container-photo"]
    names = [
        ".Trash", ".Trash-0", ".git", ".hidden", "autorun.inf", "desktop.ini", "Thumbs.db",
        "BDMV", ".xdg-volume-info", "é", "\udcff\udcfe", "x" * 255, "assets.json", "*",
        photo.upper(), f"{photo} ", f"{photo}.", f"{photo}.json", f"{photo}.INFO.JSON",
        f"{photo}.info.json~", photo.replace("-", ""), f"{{{photo}}}", photo[:-1], f"{photo}0",
        "sha256sums", "SHA256SUMS~", "Event.json", "00000000-0000-0000-0000-00000000000g",
    ]  # fmt: skip
    names += [f"probe-{number}" for number in range(200 - len(names))]
    for directory in directories:
        assert directory.stat()
    shared_archive.reset()
    probes = 0
    for directory in directories:
        for name in names:
            assert _errno_of((directory / name).lstat) == "ENOENT", name
            probes += 1
    assert probes == 1000
    assert shared_archive.paths() == []
