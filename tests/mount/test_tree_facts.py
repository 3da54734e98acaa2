"""What the tree says of itself stays true: inodes, times, sizes, records, listings."""

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import outcome, until
from tests.support.programs import Done

pytestmark = pytest.mark.mount

TRACKED = {
    uuid for name, uuid in SAMPLE.items() if name.startswith("asset:") and name != "asset:gateway"
}
CONTAINER_EVENTS = ("created", "inspection", "loading", "arrival")
# Of the container: longer than a page, as long as that, shorter, longer than that, as at first.
NAMES = ("x" * 4000, "y" * 4000, "short", "not so short", "Container CRXU 552210-7")


def _names(directory: Path) -> list[str]:
    """Return the names in a directory, in the order of its listing."""
    return [path.name for path in directory.iterdir()]


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _rename(archive: Steering, name: str) -> None:
    """Give the container another name in its record."""
    archive.edit("assets", SAMPLE["asset:container"], attributes={"arc_display_name": name})


def test_inode_numbers_are_the_same_in_every_mount(mount: Callable[..., Mount]) -> None:
    """Backups recognise a file by its number: in listings, in stat and in another mount."""
    first, second = mount(), mount()
    numbers = {}
    for mounted in (first, second):
        paths = sorted(mounted.path.rglob("*"))
        numbers[mounted.path] = {
            str(path.relative_to(mounted.path)): path.stat().st_ino for path in paths
        }
        for directory in {path.parent for path in paths}:
            with os.scandir(directory) as entries:
                assert all(entry.inode() == entry.stat().st_ino for entry in entries)
    assert numbers[first.path] == numbers[second.path]
    every = list(numbers[first.path].values())
    assert len(every) == len(set(every)) > 60


def test_assets_and_events_are_listed_in_inode_order(mounted: Mount) -> None:
    """Cp reads in inode order, tar in listing order: the two are one."""
    directories = [*(mounted.path / "assets").glob("*"), *mounted.path.glob("assets/*/events/*")]
    assert len(directories) > 15
    for directory in directories:
        with os.scandir(directory) as entries:
            inodes = [entry.inode() for entry in entries]
        assert inodes == sorted(inodes)


def test_every_file_and_directory_has_the_same_kind_of_mode(mounted: Mount) -> None:
    """Files 0444, directories 0555, one link each, owned by who mounted."""
    for path in (mounted.path, *mounted.path.rglob("*")):
        status = path.lstat()
        assert oct(status.st_mode) == ("0o40555" if path.is_dir() else "0o100444"), path
        assert (status.st_nlink, status.st_uid, status.st_gid) == (1, os.getuid(), os.getgid())
        assert status.st_atime_ns == status.st_mtime_ns == status.st_ctime_ns


def test_times_are_those_of_the_record(mount: Callable[..., Mount], archive: Steering) -> None:
    """An attachment's and an event's acceptance, an asset's newest event, else a constant."""
    mounted = mount("--metadata-ttl", "0s")
    asset, event = mounted.asset("container"), mounted.event("container-arrival", of="container")
    log = event / SAMPLE["blob:temperature-log"]
    info = json.loads(os.getxattr(log, "user.archivist.info"))
    assert log.stat().st_mtime == _seconds(info["timestamp_accepted"])
    record = archive.record(f"assets/{asset.name}/events/{event.name}")
    accepted = _seconds(record["timestamp_accepted"])
    assert (event.stat().st_mtime, (event / "event.json").stat().st_mtime) == (accepted, accepted)
    assert len(_names(asset / "events")) == 4
    # The arrival is the container's newest event.
    assert (asset.stat().st_mtime, (asset / "asset.json").stat().st_mtime) == (accepted, accepted)
    assert (mounted.path.stat().st_mtime, (mounted.path / "assets").stat().st_mtime) == (0, 0)
    paths = [asset, *asset.rglob("*")]
    times = [path.stat().st_mtime_ns for path in paths]
    assert [path.stat().st_mtime_ns for path in paths] == times


def test_records_are_the_records_served(mounted: Mount, archive: Steering) -> None:
    """asset.json and event.json of every asset and event equal what the API answers."""
    records = [*mounted.path.rglob("asset.json"), *mounted.path.rglob("event.json")]
    assert len(records) > 15
    for path in records:
        identity = str(path.parent.relative_to(mounted.path))
        text = path.read_text()
        assert json.loads(text) == archive.record(identity)
        assert len(text.encode()) == path.stat().st_size


def test_an_edited_record_is_read_whole(
    mount: Callable[..., Mount], archive: Steering, run: Callable[..., Done]
) -> None:
    """Longer, as long or shorter: after the lifetime, every program reads all of the new record."""
    mounted = mount("--metadata-ttl", "100ms")
    asset = mounted.asset("container")
    path, sidecar = asset / "asset.json", asset / f"{SAMPLE['blob:container-photo']}.info.json"
    beside = sidecar.stat().st_mtime_ns, sidecar.read_bytes()
    for name in NAMES:
        before = path.read_bytes()
        _rename(archive, name)
        until(lambda before=before: path.read_bytes() != before)  # type: ignore[misc]
        record = archive.record(f"assets/{asset.name}")
        for program in (
            ("cat", path),
            ("dd", "bs=100", f"if={path}"),
            ("tail", "-c+1", path),
            ("head", "-c-0", path),
        ):
            assert json.loads(run(*program).stdout) == record, (name, program)
        assert len(path.read_bytes()) == path.stat().st_size
    assert (sidecar.stat().st_mtime_ns, sidecar.read_bytes()) == beside


@pytest.mark.parametrize("look", [os.stat, Path.read_bytes])
def test_an_open_record_is_never_mixed_with_its_successor(
    mount: Callable[..., Mount], archive: Steering, look: Callable[[Path], object]
) -> None:
    """Who had it open reads one record whole or ESTALE, whoever looked at the new one since."""
    mounted = mount("--metadata-ttl", "0s")
    mounted.expected_warnings.add("the file has changed since it was opened")
    path = mounted.asset("container") / "asset.json"
    for name in NAMES:
        before = archive.record(f"assets/{path.parent.name}")
        with path.open("rb", buffering=0) as file:
            _rename(archive, name)
            look(path)
            after = archive.record(f"assets/{path.parent.name}")
            read: list[bytes] = []
            if outcome(lambda file=file, read=read: read.append(file.read())) != "ESTALE":  # type: ignore[misc]
                assert json.loads(read[0]) in (before, after)
        assert json.loads(path.read_bytes()) == after


def test_shuffled_records_keep_their_bytes(mount: Callable[..., Mount], archive: Steering) -> None:
    """The server's key order and `at_time` are random: rsync and backups must not see a change."""
    archive.switch(key_order_shuffle=True, at_time_is_now=True)
    mounted = mount("--metadata-ttl", "0s")
    for directory in (mounted.asset("sensor"), mounted.event("container-arrival", of="container")):
        files = [path for path in directory.iterdir() if path.suffix == ".json"]
        assert len(files) > 2
        before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
        archive.reset()
        for _ in range(3):
            assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files} == before
        assert len(archive.paths(f"/{directory.name}$")) > 3


@pytest.mark.parametrize("pages", [False, True], ids=["200", "206"])
def test_every_way_of_paging_gives_everything(
    mount: Callable[..., Mount], archive: Steering, *, pages: bool
) -> None:
    """Whatever accompanies a page token, and where pages are answered 206, nothing is missing."""
    mounted = mount("--untracked", "--metadata-ttl", "0s")
    archive.switch(max_page_limit=2, list_mode_206=pages)
    happened = {SAMPLE[f"event:container-{what}"] for what in CONTAINER_EVENTS}
    for style in ("token-only", "token+page_size", "token+query", "token-only"):
        archive.switch(page_token_styles=[style])
        archive.reset()
        assert set(_names(mounted.path / "assets")) == TRACKED | {SAMPLE["asset:gateway"]}
        assert set(_names(mounted.asset("container") / "events")) == happened
        statuses = {request["status"] for request in archive.requests("/(assets|events)$")}
        assert statuses - {400} == ({200, 206} if pages else {200})  # 400: another style is tried


def test_untracked_assets_are_listed_where_asked_for(
    mounted: Mount, mount: Callable[..., Mount], archive: Steering
) -> None:
    """Only --untracked asks for them; their events and attachments are like any other's."""
    assert set(_names(mounted.path / "assets")) == TRACKED
    archive.reset()
    full = mount("--untracked")
    assert set(_names(full.path / "assets")) == TRACKED | {SAMPLE["asset:gateway"]}
    assert "tracked=ANY" in {
        part for request in archive.requests("/assets$") for part in request["query"].split("&")
    }
    retired = full.event("gateway-retired", of="gateway")
    assert retired.name in _names(full.asset("gateway") / "events")
    assert json.loads((retired / "event.json").read_text())["operation"] == "StopTracking"
