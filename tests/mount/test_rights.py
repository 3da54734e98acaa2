"""Who may read what: by path and token, whether it is listed or not."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from attachfs.demo.estate import SAMPLE
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
