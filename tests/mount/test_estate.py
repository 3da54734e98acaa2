"""The views of an estate, and how it is listed, through the kernel by real programs."""

import filecmp
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attachfs.demo.estate import SAMPLE
from attachfs.tree.naming import directory_name
from tests.support.archives import declared, uuid_in
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import outcome, until

pytestmark = pytest.mark.mount

Run = Callable[..., subprocess.CompletedProcess[str]]
_HOSTILE = [
    "../x", "/etc/passwd", "a\nb", "nul\0byte", "", ".", "..", "x" * 4096, "SHA256SUMS", "events",
    "asset.json", "x.info.json", "-rf", ".hidden", "\x1b[31mred", "\u202egpj.exe", "~", "a~b",
]  # fmt: skip


def _create(archive: Steering, name: str, *files: str) -> str:
    """Create an asset with an attachment for each file name; return its UUID."""
    demo = archive.running.archive
    attributes: dict[str, Any] = {"arc_display_name": name}
    for number, file in enumerate(files):
        blob = demo.create_blob(f"content {number}".encode())
        attributes[f"a/b {number}"] = declared(blob, arc_file_name=file)
    return uuid_in(demo.create_asset({"attributes": attributes}))


def test_by_name_has_the_same_files_as_assets(mounted: Mount, run: Run, tmp_path: Path) -> None:
    """Each file equals its twin, and every directory checks out by its sums."""
    mounted.expected_warnings.add("SCANNED_BAD")
    by_name = mounted.path / "by-name"
    inodes = {
        path.stat().st_ino: path for path in (mounted.path / "assets").rglob("*") if path.is_file()
    }
    files = [path for path in by_name.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]
    assert len(files) > 60
    assert {path.stat().st_ino for path in files} <= set(inodes)
    sums = list(by_name.rglob("SHA256SUMS"))
    assert len(sums) > 8
    for path in sums:
        checked = run("sha256sum", "-c", "SHA256SUMS", cwd=path.parent)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    copied = run("cp", "-r", by_name, tmp_path / "copy")
    assert copied.returncode == 1
    assert len(copied.stderr.splitlines()) == 1
    assert "invoice.pdf.exe" in copied.stderr
    for path in files:
        copy = tmp_path / "copy" / path.relative_to(by_name)
        if path.name != "invoice.pdf.exe":
            assert filecmp.cmp(inodes[path.stat().st_ino], copy, shallow=False), path


def test_hostile_names_are_listed_and_read(archive: Steering, mount: Callable[..., Mount]) -> None:
    """Whatever a stranger called a file: each is there once, in its directory, and readable."""
    assets = [_create(archive, name) for name in _HOSTILE]
    asset = _create(archive, "all", *_HOSTILE, *_HOSTILE)
    mounted = mount()
    names = os.listdir(mounted.path / "by-name")  # noqa: PTH208 - as programs do
    assert len(set(names)) == len(names) >= len(assets)
    assert {directory_name(n, a) for n, a in zip(_HOSTILE, assets, strict=True)} <= set(names)
    directory = mounted.path / "by-name" / directory_name("all", asset)
    files = [
        path for path in directory.iterdir() if path.with_name(f"{path.name}.info.json").exists()
    ]
    contents = sorted(path.read_text() for path in files)
    assert contents == sorted(f"content {number}" for number in range(2 * len(_HOSTILE)))
    for path in directory.iterdir():
        assert path.name.isprintable()
        assert not path.name.startswith(("-", "."))


def test_a_public_mount_needs_no_credentials(
    archive: Steering, mount: Callable[..., Mount], run: Run
) -> None:
    """It has public assets alone: those named at the start are listed."""
    demo = archive.running.archive
    blob = demo.create_blob(b"open to all")
    body = {"public": True, "attributes": {"proof": declared(blob)}}
    asset = uuid_in(demo.create_asset(body))
    url = f"{archive.url}/archivist/v2/publicassets/{asset}"
    archive.reset()
    mounted = mount("--public", "--public-asset", url, credentials=False)
    assert os.listdir(mounted.path) == ["publicassets"]  # noqa: PTH208 - as programs do
    directory = mounted.path / "publicassets" / asset
    assert list(directory.parent.iterdir()) == [directory]
    assert (directory / uuid_in(blob)).read_bytes() == b"open to all"
    assert run("sha256sum", "-c", "SHA256SUMS", cwd=directory).returncode == 0
    assert outcome((directory.parent / SAMPLE["asset:container"]).stat) == "ENOENT"
    assert not any(request["has_authorization"] for request in archive.requests())


def test_the_past_is_copied_as_it_was(mounted: Mount, run: Run, tmp_path: Path) -> None:
    """An auditor takes the container as of a date; before it was there, it is not found."""
    name = SAMPLE["asset:container"]
    then = mounted.path / "as-of" / "2023-03-02" / "assets" / name
    now = mounted.path / "assets" / name
    assert run("cp", "-r", then, tmp_path / "then").returncode == 0
    photo = SAMPLE["blob:container-photo"]
    assert filecmp.cmp(tmp_path / "then" / photo, now / photo, shallow=False)
    assert len(list((tmp_path / "then" / "events").iterdir())) == 1
    assert len(list((now / "events").iterdir())) > 1
    before = mounted.path / "as-of" / "2020-01-01" / "assets"
    assert name in {path.name for path in before.iterdir()}
    assert outcome((before / name).stat) == "ENOENT"
    assert outcome((mounted.path / "as-of" / "tomorrow").stat) == "ENOENT"


def test_the_first_names_come_before_the_second_page(
    archive: Steering, mount: Callable[..., Mount]
) -> None:
    """A reader of a large directory does not wait for the whole of it; it is a stable snapshot."""
    archive.switch(max_page_limit=2)
    mounted = mount()
    archive.reset()
    archive.fail_next(path_regex="/assets$", skip=1, status=0, delay_s=600.0)
    with os.scandir(mounted.path / "assets") as entries:
        first = next(entries).name
    assert len(archive.paths("/assets$")) == 1
    assert (mounted.path / "assets" / first / "asset.json").read_text()


def test_a_listing_that_fails_half_way_is_no_short_one(
    archive: Steering, mount: Callable[..., Mount], run: Run
) -> None:
    """`ls` says so and fails; once the server is well again, everything is there."""
    archive.switch(max_page_limit=2)
    mounted = mount("--metadata-ttl", "0s")
    mounted.expected_warnings.add("stamina.retry_scheduled")
    mounted.expected_warnings.add("the server answered 400")
    archive.fail_next(path_regex="/assets$", skip=1, status=400, times=3)
    failed = run("ls", "-U", mounted.path / "assets")
    assert failed.returncode != 0
    assert "Input/output error" in failed.stderr
    whole = run("ls", "-U", mounted.path / "assets")
    assert (whole.returncode, whole.stderr) == (0, "")
    assert len(whole.stdout.splitlines()) == 5


def test_a_walk_costs_pages_and_a_long_listing_each_info_once(
    archive: Steering, mount: Callable[..., Mount], run: Run
) -> None:
    """No request for each of 60 assets, and no `/info` for who does not look at files."""
    assets = [_create(archive, f"asset {n}", "one", "two") for n in range(60)]
    mounted = mount()
    archive.reset()
    found = run("find", mounted.path / "assets")
    assert len(found.stdout.splitlines()) > 60 * 8
    assert len(archive.paths()) < 30
    assert archive.paths("/assets/-/events$")
    assert archive.paths("/info$") == []
    for _ in range(2):
        assert run("ls", "-l", mounted.path / "assets" / assets[7]).returncode == 0
    assert len(archive.paths("/info$")) == 2


def test_a_restart_asks_for_nothing_that_cannot_have_changed(
    archive: Steering, mount: Callable[..., Mount], run: Run
) -> None:
    """Sizes, digests and events are known; whoever else asks has an index of his own."""
    first = mount()
    what = ("-type", "f", "-printf", "%i %s %P\\n")
    walked = run("find", first.path / "assets", *what).stdout
    assert first.end() == 0
    archive.reset()
    second = mount("--metadata-ttl", "0s")
    assert run("find", second.path / "assets", *what).stdout == walked
    assert archive.paths("/info$") == []
    assert archive.paths("/events/[^/]*$") == []
    indexes = list((first.path.parent / "cache").rglob("*.sqlite3"))
    running = archive.running
    mount(
        *("--client-id", running.client_id, "--client-secret-file", running.client_secret_file),
        credentials=False,
    )
    assert len(list((first.path.parent / "cache").rglob("*.sqlite3"))) == len(indexes) + 1


def test_what_was_listed_stays_listed_while_the_server_is_away(
    archive: Steering, mount: Callable[..., Mount]
) -> None:
    """And what is not known is an error that says so, not something that does not exist."""
    mounted = mount("--metadata-ttl", "0s", "--negative-ttl", "0s")
    assets = mounted.path / "assets"
    before = sorted(path.name for path in assets.iterdir())
    known = sorted(path.name for path in (mounted.asset("container")).iterdir())
    mounted.expected_warnings |= {"stamina.retry_scheduled", "503", "the connection failed"}
    archive.fail_next(path_regex="^/archivist/", disconnect=True, times=10_000)
    assert sorted(path.name for path in assets.iterdir()) == before
    assert sorted(path.name for path in mounted.asset("container").iterdir()) == known
    unknown = assets / "01234567-89ab-4cde-8f01-23456789abcd"
    assert outcome(unknown.stat) in ("EHOSTUNREACH", "ETIMEDOUT")
    archive.reset()
    until(lambda: outcome(unknown.stat) == "ENOENT")


def test_a_change_that_is_learnt_ends_what_the_kernel_remembers(
    archive: Steering, mount: Callable[..., Mount]
) -> None:
    """However long the lifetime: here, another program has listed the assets meanwhile."""
    mounted = mount("--metadata-ttl", "3s")
    asset = mounted.asset("container")
    photo = asset / SAMPLE["blob:container-photo"]
    assert photo.stat().st_size
    attributes = archive.record(f"assets/{asset.name}")["attributes"]
    named = [name for name, value in attributes.items() if photo.name in str(value)]
    archive.edit("assets", asset.name, attributes=dict.fromkeys(named))
    working = os.open(asset, os.O_RDONLY)
    try:
        until(lambda: photo.name not in os.listdir(working))  # noqa: PTH208 - by descriptor
        until(lambda: outcome(photo.stat) == "ENOENT")
        assert "asset.json" in os.listdir(working)  # noqa: PTH208 - by descriptor
    finally:
        os.close(working)
