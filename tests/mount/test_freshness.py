"""What changes on the server shows within its lifetime, and at once where it is learnt before."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from attachfs.demo.estate import SAMPLE
from attachfs.tree.naming import directory_name, short_id
from tests.support.archives import declared, uuid_in
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import WELL, outcome, until

pytestmark = pytest.mark.mount

_CONTAINER = SAMPLE["asset:container"]
_PHOTO = SAMPLE["blob:container-photo"]
_NAME = "Container CRXU 552210-7"
_HOUR = ("--metadata-ttl", "1h", "--negative-ttl", "1h")


@pytest.fixture
def brief(mount: Callable[..., Mount]) -> Mount:
    """A mount that believes for 100 ms what can change."""
    return mount("--metadata-ttl", "100ms", "--negative-ttl", "100ms")


def _happen(archive: Steering, **attributes: dict[str, Any]) -> str:
    """Record an event on the container; return its UUID."""
    body = {"operation": "Record", "behaviour": "RecordEvidence", **attributes}
    return uuid_in(archive.running.archive.create_event(_CONTAINER, body))


def _names(directory: Path | int) -> set[str]:
    return set(os.listdir(directory))  # noqa: PTH208 - also by descriptor


def _record(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text())
    return record


@pytest.mark.parametrize("view", ["assets", "by-name"])
def test_what_is_new_appears(brief: Mount, archive: Steering, view: str) -> None:
    """An asset, an event and an attachment of it, in listings and by name, with their bytes."""
    demo = archive.running.archive
    root = brief.path / view
    container = root / (_CONTAINER if view == "assets" else directory_name(_NAME, _CONTAINER))
    before = _names(root), _names(container / "events"), _names(container)
    blob = demo.create_blob(b"just taken")
    photo = declared(blob, arc_file_name="new.txt")
    name = uuid_in(blob) if view == "assets" else "new.txt"
    assert outcome((container / name).stat) == "ENOENT"
    asset = uuid_in(
        demo.create_asset({"attributes": {"arc_display_name": "Crate", "photo": photo}})
    )
    event = _happen(archive, event_attributes={"at sea": photo}, asset_attributes={"last": photo})
    crate = asset if view == "assets" else directory_name("Crate", asset)
    until(lambda: _names(root) == before[0] | {crate})
    until(lambda: len(_names(container / "events")) == len(before[1]) + 1)
    until(lambda: _names(container) == before[2] | {name, f"{name}.info.json"})
    (added,) = _names(container / "events") - before[1]
    assert added == event or added.endswith(f"~{short_id(event)}")
    for directory in (root / crate, container, container / "events" / added):
        assert (directory / name).read_bytes() == b"just taken"
        assert f"  {name}\n" in (directory / "SHA256SUMS").read_text()


def test_a_right_that_was_removed_ends_within_the_lifetime(brief: Mount, archive: Steering) -> None:
    """To a record, an attachment and a listing; it comes back as it went."""
    brief.expected_warnings.add("403")
    container = brief.asset("container")
    readers = {
        "record": (container / "asset.json").read_bytes,
        "attachment": (container / _PHOTO).read_bytes,
        "sidecar": (container / f"{_PHOTO}.info.json").read_bytes,
        "sums": (container / "SHA256SUMS").read_bytes,
        "events": lambda: _names(container / "events"),
        "event": (brief.event("container-loading", of="container") / "event.json").read_bytes,
    }
    before = {name: reader() for name, reader in readers.items()}
    archive.edit("assets", _CONTAINER, deny=True)
    for name, reader in readers.items():
        refusals = ("EACCES", "ENOENT") if name == "sums" else ("EACCES",)
        until(lambda reader=reader, refusals=refusals: outcome(reader) in refusals)  # type: ignore[misc]
    archive.edit("assets", _CONTAINER, deny=False)
    for name, reader in readers.items():
        until(lambda reader=reader: outcome(reader) == WELL)  # type: ignore[misc]
        assert reader() == before[name]


def test_what_was_deleted_disappears(brief: Mount, archive: Steering) -> None:
    """From its directory and by its name, whoever has looked at it before."""
    sensor, assets = brief.asset("sensor"), brief.path / "assets"
    photo = sensor / SAMPLE["blob:sensor-photo"]
    assert photo.read_bytes()
    assert sensor.name in _names(assets)
    assert sensor.name in _names(brief.path / "as-of" / "2024-06-30" / "assets")
    archive.edit("assets", sensor.name, delete=True)
    until(lambda: outcome(sensor.stat) == "ENOENT")
    until(lambda: outcome(photo.read_bytes) == "ENOENT")
    brief.process.send_signal(
        signal.SIGHUP
    )  # refreshed: what has gone from listings is looked for hourly
    until(lambda: sensor.name not in _names(assets))


def test_the_kernel_forgets_what_is_learnt_to_be_otherwise(
    mount: Callable[..., Mount], archive: Steering
) -> None:
    """Within an hour's belief: here a first listing brings a newer record than was read before."""
    mounted = mount(*_HOUR)
    container = mounted.asset("container")
    record = container / "asset.json"
    blob = archive.running.archive.create_blob(b"later")
    later, sums = container / uuid_in(blob), container / "SHA256SUMS"
    sizes = record.stat().st_size, sums.stat().st_size
    before = record.read_bytes(), sums.read_bytes()
    assert _PHOTO in _names(container)
    assert outcome(later.stat) == "ENOENT"
    changes = {"arc_display_name": "renamed " * 9, "later": declared(blob)}
    archive.edit("assets", _CONTAINER, attributes=changes)
    assert (record.read_bytes(), sums.read_bytes()) == before
    assert (record.stat().st_size, sums.stat().st_size) == sizes
    assert outcome(later.stat) == "ENOENT"
    assert container.name in _names(mounted.path / "assets")
    until(lambda: record.stat().st_size != sizes[0])
    assert _record(record) == archive.record(f"assets/{_CONTAINER}")
    until(lambda: outcome(later.stat) != "ENOENT")
    assert later.read_bytes() == b"later"
    assert {later.name, f"{later.name}.info.json"} <= _names(container)
    until(lambda: sums.stat().st_size != sizes[1])
    assert later.name in sums.read_text()


def test_names_that_are_learnt_to_be_others_are_forgotten(
    mount: Callable[..., Mount], archive: Steering
) -> None:
    """In by-name/: the asset's, and its attachment's, which keeps its inode."""
    mounted = mount(*_HOUR)
    by_name = mounted.path / "by-name"
    old, new = (by_name / directory_name(name, _CONTAINER) for name in (_NAME, "Reefer"))
    inode = (old / "reefer at quay.jpg").stat().st_ino
    photo = archive.record(f"assets/{_CONTAINER}")["attributes"]["arc_primary_image"]
    changes = {"arc_display_name": "Reefer", "arc_primary_image": {**photo, "arc_file_name": "n"}}
    archive.edit("assets", _CONTAINER, attributes=changes)
    assert outcome((old / "reefer at quay.jpg").stat) != "ENOENT"
    mounted.process.send_signal(signal.SIGHUP)  # as `attachfs refresh`
    until(lambda: new.name in _names(by_name))
    until(lambda: outcome(old.stat) == "ENOENT")
    until(lambda: outcome((new / "n").stat) != "ENOENT")
    assert (new / "n").stat().st_ino == inode
    assert outcome((new / "reefer at quay.jpg").stat) == "ENOENT"


@contextmanager
def _shell(directory: Path) -> Iterator[Callable[[str], str]]:
    """Offer a shell whose working directory that is; each command's output is returned."""
    pipe = subprocess.PIPE
    with subprocess.Popen(["sh"], stdin=pipe, stdout=pipe, text=True, cwd=directory) as shell:
        stdin, stdout = shell.stdin, shell.stdout
        assert stdin is not None
        assert stdout is not None

        def say(command: str) -> str:
            stdin.write(f"{{ {command}; }} 2>&1; echo; echo ---\n")
            stdin.flush()
            return "".join(iter(stdout.readline, "---\n"))

        yield say


@pytest.mark.parametrize("view", ["assets", "by-name"])
def test_a_process_stays_where_it_works(brief: Mount, archive: Steering, view: str) -> None:
    """While its directory's content, and its name, change, and others go there by other views."""
    name = _CONTAINER if view == "assets" else directory_name(_NAME, _CONTAINER)
    with _shell(brief.path / view / name) as say, _shell(brief.path / view / name / "events") as at:
        assert "asset.json" in say("ls")
        inode = say("stat -c %i .")
        blob = archive.running.archive.create_blob(b"while you were here")
        new = declared(blob, arc_file_name="new.txt")
        event = _happen(archive, event_attributes={"n": new}, asset_attributes={"n": new})
        archive.edit("assets", _CONTAINER, attributes={"arc_display_name": "Reefer"})
        file = uuid_in(blob) if view == "assets" else "new.txt"
        for other in ("assets", "by-name", "as-of/2030-01-01/assets"):
            for path in (brief.path / other).iterdir():
                assert _names(path)
        until(lambda: file in say("ls"))
        assert say(f"cat {file}").strip() == "while you were here"
        until(lambda: json.loads(say("cat asset.json"))["attributes"]["arc_display_name"] != _NAME)
        assert f"{file}: OK" in say("sha256sum -c SHA256SUMS")
        until(lambda: short_id(event)[:8] in at("ls"))
        assert "asset.json" in at("ls ..")
        assert say("stat -c %i .") == inode
        assert len(say("ls events").split()) > 4
