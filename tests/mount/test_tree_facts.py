"""What the tree says of itself stays true: inodes, times, sizes, records, listings."""

import errno
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
PAGING_STYLES = ("token-only", "token+page_size", "token+query")
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


@pytest.fixture(scope="module")
def forgetful(shared_mount: Callable[..., Mount]) -> Mount:
    """The shared archive in a mount that believes nothing for longer than a moment."""
    return shared_mount("--metadata-ttl", "0s")


def test_assets_and_events_are_listed_in_inode_order(shared: Mount) -> None:
    """Cp reads in inode order, tar in listing order: the two are one."""
    directories = [*(shared.path / "assets").glob("*"), *shared.path.glob("assets/*/events/*")]
    assert len(directories) > 15
    for directory in directories:
        with os.scandir(directory) as entries:
            inodes = [(entry.inode(), entry.stat().st_ino) for entry in entries]
        assert inodes == sorted(inodes)
        assert all(listed == told for listed, told in inodes)


def test_every_file_and_directory_has_the_same_kind_of_mode(shared: Mount) -> None:
    """Files 0444, directories 0555, one link each, owned by who shared."""
    for path in (shared.path, *shared.path.rglob("*")):
        status = path.lstat()
        assert oct(status.st_mode) == ("0o40555" if path.is_dir() else "0o100444"), path
        assert (status.st_nlink, status.st_uid, status.st_gid) == (1, os.getuid(), os.getgid())
        assert status.st_atime_ns == status.st_mtime_ns == status.st_ctime_ns


def test_times_are_those_of_the_record(forgetful: Mount, shared_archive: Steering) -> None:
    """An attachment's and an event's acceptance, an asset's newest event, else a constant."""
    asset, event = (
        forgetful.asset("container"),
        forgetful.event("container-arrival", of="container"),
    )
    log = event / SAMPLE["blob:temperature-log"]
    info = json.loads(os.getxattr(log, "user.archivist.info"))
    assert log.stat().st_mtime == _seconds(info["timestamp_accepted"])
    record = shared_archive.record(f"assets/{asset.name}/events/{event.name}")
    accepted = _seconds(record["timestamp_accepted"])
    assert (event.stat().st_mtime, (event / "event.json").stat().st_mtime) == (accepted, accepted)
    assert len(_names(asset / "events")) == 4
    # The arrival is the container's newest event.
    assert (asset.stat().st_mtime, (asset / "asset.json").stat().st_mtime) == (accepted, accepted)
    assert (forgetful.path.stat().st_mtime, (forgetful.path / "assets").stat().st_mtime) == (0, 0)
    paths = [asset, *asset.iterdir(), *event.iterdir()]
    times = [path.stat().st_mtime_ns for path in paths]
    assert [path.stat().st_mtime_ns for path in paths] == times


def test_records_are_the_records_served(shared: Mount, shared_archive: Steering) -> None:
    """asset.json and event.json of every asset and event equal what the API answers."""
    assets = shared.path / "assets"
    records = [path for name in ("asset", "event") for path in assets.rglob(f"{name}.json")]
    assert len(records) > 15
    for path in records:
        identity = str(path.parent.relative_to(shared.path))
        text = path.read_text()
        assert json.loads(text) == shared_archive.record(identity)
        assert len(text.encode()) == path.stat().st_size


def test_an_edited_record_is_read_whole(
    mount: Callable[..., Mount], archive: Steering, run: Callable[..., Done]
) -> None:
    """Longer, as long or shorter: after the lifetime, every program reads all of the new record."""
    mounted = mount("--metadata-ttl", "100ms")
    mounted.expected_warnings.add("the file has changed since it was opened")
    asset = mounted.asset("container")
    path, sidecar = asset / "asset.json", asset / f"{SAMPLE['blob:container-photo']}.info.json"
    beside = sidecar.stat().st_mtime_ns, sidecar.read_bytes()
    for name in NAMES:
        before = path.read_bytes()
        _rename(archive, name)
        until(lambda before=before: _read_or_stale(path) not in (before, None))  # type: ignore[misc]
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


def _read_or_stale(path: Path) -> bytes | None:
    """Return a file's bytes, or None if it changed while it was read."""
    try:
        return path.read_bytes()
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        return None


@pytest.mark.parametrize("look", [os.stat, Path.read_bytes])
def test_an_open_record_is_never_mixed_with_its_successor(
    forgetful: Mount, shared_archive: Steering, look: Callable[[Path], object]
) -> None:
    """Who had it open reads one record whole or ESTALE, whoever looked at the new one since."""
    forgetful.expected_warnings.add("the file has changed since it was opened")
    path = forgetful.asset("container") / "asset.json"
    for name in NAMES:
        before = shared_archive.record(f"assets/{path.parent.name}")
        with path.open("rb", buffering=0) as file:
            _rename(shared_archive, name)
            look(path)
            after = shared_archive.record(f"assets/{path.parent.name}")
            read: list[bytes] = []
            if outcome(lambda file=file, read=read: read.append(file.read())) != "ESTALE":  # type: ignore[misc]
                assert json.loads(read[0]) in (before, after)
        assert json.loads(path.read_bytes()) == after


def test_shuffled_records_keep_their_bytes(forgetful: Mount, shared_archive: Steering) -> None:
    """The server's key order and `at_time` are random: rsync and backups must not see a change."""
    shared_archive.switch(key_order_shuffle=True, at_time_is_now=True)
    for directory in (
        forgetful.asset("sensor"),
        forgetful.event("container-arrival", of="container"),
    ):
        files = [path for path in directory.iterdir() if path.suffix == ".json"]
        assert len(files) > 2
        before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
        shared_archive.reset()
        for _ in range(3):
            assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files} == before
        assert len(shared_archive.paths(f"/{directory.name}$")) > 3


def test_every_way_of_paging_gives_everything(
    shared_mount: Callable[..., Mount], shared_archive: Steering, tmp_path: Path
) -> None:
    """Whatever accompanies a page token, and where pages are answered 206, nothing is missing."""
    happened = {SAMPLE[f"event:container-{what}"] for what in CONTAINER_EVENTS}
    shared_archive.switch(max_page_limit=2)
    for partial in (False, True):
        for style in PAGING_STYLES:
            shared_archive.switch(page_token_styles=[style], list_mode_206=partial)
            shared_archive.reset()
            mounted = shared_mount("--untracked", "--cache-dir", tmp_path / f"{style} {partial}")
            assert set(_names(mounted.path / "assets")) == TRACKED | {SAMPLE["asset:gateway"]}
            assert set(_names(mounted.asset("container") / "events")) == happened
            statuses = {r["status"] for r in shared_archive.requests("/(assets|events)$")}
            # 400 where another style has to be tried.
            assert statuses - {400} == ({200, 206} if partial else {200})
    shared_archive.switch(max_page_limit=500, page_token_styles=PAGING_STYLES, list_mode_206=False)


def test_untracked_assets_are_listed_where_asked_for(
    shared: Mount, shared_mount: Callable[..., Mount], shared_archive: Steering, tmp_path: Path
) -> None:
    """Only --untracked asks for them; their events and attachments are like any other's."""
    assert set(_names(shared.path / "assets")) == TRACKED
    shared_archive.reset()
    full = shared_mount("--untracked", "--cache-dir", tmp_path / "cache")
    assert set(_names(full.path / "assets")) == TRACKED | {SAMPLE["asset:gateway"]}
    assert "tracked=ANY" in {
        part
        for request in shared_archive.requests("/assets$")
        for part in request["query"].split("&")
    }
    retired = full.event("gateway-retired", of="gateway")
    assert retired.name in _names(full.asset("gateway") / "events")
    assert json.loads((retired / "event.json").read_text())["operation"] == "StopTracking"
