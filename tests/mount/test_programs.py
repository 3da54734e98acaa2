"""The programs that users have, on a real mount of the sample estate."""

import filecmp
import hashlib
import json
import mmap
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attachfs.demo.estate import SAMPLE

pytestmark = pytest.mark.mount

Run = Callable[..., subprocess.CompletedProcess[str]]

BAD = SAMPLE["blob:bad-invoice"]


def regular_files(root: Path) -> list[Path]:
    """Return the files below a directory, relative to it."""
    return sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file())


def names(directory: Path) -> list[str]:
    """Return the names in a directory, in the order of its listing."""
    return [path.name for path in directory.iterdir()]


def test_ls_shows_the_tree(mounted: Any, run: Run) -> None:
    """`ls -l` shows modes, sizes, times and names as they were recorded."""
    event = mounted.event("container-loading", of="container")
    listed = run("ls", "-l", "--time-style=+%Y-%m-%dT%H:%M:%S", event, env={"TZ": "UTC"})
    assert listed.returncode == 0, listed.stderr
    rows = {line.split()[-1]: line.split() for line in listed.stdout.splitlines()[1:]}
    packing, empty = SAMPLE["blob:packing-list"], SAMPLE["blob:empty-remarks"]
    assert rows.keys() == {
        "event.json",
        "SHA256SUMS",
        *(uuid + suffix for uuid in (packing, empty) for suffix in ("", ".info.json")),
    }
    assert rows[packing][0] == "-r--r--r--"
    assert rows[packing][1] == "1"
    assert rows[empty][4] == "0"
    assert rows[packing][5] == "2024-05-02T06:12:00"
    assert rows["event.json"][5] == "2024-05-02T06:20:00"
    directory = event.stat()
    assert oct(directory.st_mode) == "0o40555"
    assert (directory.st_uid, directory.st_gid) == (os.getuid(), os.getgid())


def test_cp_copies_all_but_the_one_bad_file(mounted: Any, run: Run, tmp_path: Path) -> None:
    """`cp -r` of the mount gives byte-identical files and refuses only the SCANNED_BAD one."""
    copy = tmp_path / "copy"
    assets = mounted.path / "assets"
    copied = run("cp", "-r", assets, copy)
    assert copied.returncode == 1
    refused = copied.stderr.splitlines()
    assert len(refused) == 1, refused
    assert BAD in refused[0]
    assert "Permission denied" in refused[0]
    originals = regular_files(assets)
    assert len(originals) > 60
    bad = [path for path in originals if path.name == BAD]
    assert len(bad) == 1
    copies = regular_files(copy)
    assert set(originals) - set(copies) == set(bad)
    for path in copies:
        assert filecmp.cmp(assets / path, copy / path, shallow=False), path
    mounted.expected_warnings.add("SCANNED_BAD")


def test_attachments_are_the_uploaded_bytes(mounted: Any) -> None:
    """`cat` of every attachment gives bytes of the recorded digest."""
    digests = 0
    for path in (mounted.path / "assets").rglob("*.info.json"):
        attachment = path.parent / path.name.removesuffix(".info.json")
        if attachment.name == BAD:
            continue
        bytes_read = subprocess.run(["cat", attachment], capture_output=True, check=True).stdout
        recorded = os.getxattr(attachment, "user.archivist.hash_value").decode()
        assert hashlib.sha256(bytes_read).hexdigest() == recorded
        assert len(bytes_read) == attachment.stat().st_size
        digests += 1
    assert digests >= 15


def test_sha256sum_checks_every_directory(mounted: Any, run: Run) -> None:
    """`sha256sum -c SHA256SUMS` succeeds in the directories of assets and of events."""
    directories = [path.parent for path in mounted.path.rglob("SHA256SUMS")]
    assert mounted.asset("container") in directories
    assert mounted.event("coffee-delivery", of="coffee") in directories
    for directory in directories:
        checked = run("sha256sum", "-c", "SHA256SUMS", cwd=directory)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert checked.stdout.count(": OK") >= 1
    sums = mounted.event("coffee-delivery", of="coffee") / "SHA256SUMS"
    assert f"# {BAD}: SCANNED_BAD" in sums.read_text()


def test_sums_are_absent_where_there_is_nothing_to_check(mounted: Any) -> None:
    """A directory without attachments has no SHA256SUMS."""
    directory = mounted.event("coffee-contract", of="coffee")
    assert names(directory) == ["event.json"]
    assert not (directory / "SHA256SUMS").exists()


def test_tar_archives_the_estate(mounted: Any, run: Run, tmp_path: Path) -> None:
    """`tar` packs an asset and what comes out of it is what went in."""
    packed = tmp_path / "asset.tar"
    done = run("tar", "-cf", packed, "-C", mounted.asset("container"), ".")
    assert (done.returncode, done.stderr) == (0, "")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    for path in regular_files(mounted.asset("container")):
        assert filecmp.cmp(
            mounted.asset("container") / path, tmp_path / "out" / path, shallow=False
        )


def test_rsync_copies_once(mounted: Any, run: Run, tmp_path: Path) -> None:
    """A second `rsync -a` finds nothing to do: sizes and times stay as they were."""
    source, target = f"{mounted.asset('container')}/", tmp_path / "mirror"
    assert run("rsync", "-a", source, target).returncode == 0
    # The asset's time is that of its newest event, known once the events were listed.
    assert run("rsync", "-a", source, target).returncode == 0
    again = run("rsync", "-a", "--itemize-changes", source, target)
    assert (again.returncode, again.stdout) == (0, "")


def test_grep_finds_text_in_evidence(mounted: Any, run: Run) -> None:
    """`grep -r` finds a phrase in an attachment and in no other file."""
    found = run("grep", "-rl", "pallets vaccines", mounted.path / "assets")
    mounted.expected_warnings.add("SCANNED_BAD")
    assert [Path(line).name for line in found.stdout.splitlines()] == [SAMPLE["blob:packing-list"]]


def test_find_walks_without_reading(mounted: Any, archive: Any, run: Run) -> None:
    """`find` over everything downloads nothing."""
    archive.reset()
    found = run("find", mounted.path, "-name", "*.info.json")
    assert found.returncode == 0
    assert len(found.stdout.splitlines()) >= 20
    downloads = [p for p in archive.paths("/attachments/") if not p.endswith("/info")]
    assert downloads == []


def test_plain_ls_asks_for_no_info(mounted: Any, archive: Any, run: Run) -> None:
    """Plain `ls` of a directory costs the record and no `/info`."""
    archive.reset()
    assert run("ls", mounted.event("container-loading", of="container")).returncode == 0
    assert archive.paths("/info$") == []


def test_file_recognises_what_was_uploaded(mounted: Any, run: Run) -> None:
    """`file` sees a JPEG, a PNG and a PDF."""
    for asset, blob, kind in (
        ("container", "container-photo", "JPEG image data"),
        ("sensor", "sensor-photo", "PNG image data"),
        ("container", "certificate", "PDF document"),
    ):
        path = mounted.asset(asset) / SAMPLE[f"blob:{blob}"]
        assert kind in run("file", "--brief", path).stdout


def test_getfattr_shows_what_info_says(mounted: Any, run: Run) -> None:
    """`getfattr -d` shows every field of `/info`, what verifies it, and the desktop's names."""
    path = mounted.asset("container") / SAMPLE["blob:container-photo"]
    shown = run("getfattr", "-d", "--absolute-names", path)
    assert shown.returncode == 0, shown.stderr
    for expected in (
        'user.archivist.hash_alg="SHA256"',
        'user.archivist.mime_type="image/jpeg"',
        'user.archivist.scanned_status="NOT_SCANNED"',
        'user.archivist.verified_by="record+info"',
        'user.mime_type="image/jpeg"',
        f'user.archivist.size="{path.stat().st_size}"',
        f'user.archivist.identity="attachments/{path.name}"',
    ):
        assert expected in shown.stdout
    sidecar = path.with_name(path.name + ".info.json").read_bytes()
    assert os.getxattr(path, "user.archivist.info") == sidecar
    assert (
        os.getxattr(path, "user.xdg.origin.url")
        .decode()
        .endswith(f"/archivist/v2/attachments/assets/{path.parent.name}/{path.name}")
    )
    assert os.listxattr(path.parent) == []


def test_records_are_served_as_they_came(mounted: Any, archive: Any) -> None:
    """asset.json and event.json are the API's own answers."""
    path = mounted.event("container-loading", of="container")
    served = archive.record(f"assets/{path.parent.parent.name}/events/{path.name}")
    assert json.loads((path / "event.json").read_text()) == served
    asset = json.loads((mounted.asset("container") / "asset.json").read_text())
    assert asset["identity"] == f"assets/{mounted.asset('container').name}"


def test_mmap_reads_a_file(mounted: Any) -> None:
    """A program may map a file of some MiB and find its last byte."""
    path = mounted.event("container-arrival", of="container") / SAMPLE["blob:temperature-log"]
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert len(mapped) > 4 * 1024 * 1024
        recorded = os.getxattr(path, "user.archivist.hash_value").decode()
        assert hashlib.sha256(mapped).hexdigest() == recorded


def test_untracked_assets_are_listed_on_request(mount: Any) -> None:
    """An untracked asset is listed with --untracked alone, and readable by name without."""
    gateway = SAMPLE["asset:gateway"]
    plain, full = mount(), mount("--untracked")
    assert gateway not in names(plain.path / "assets")
    assert gateway in names(full.path / "assets")
    manual = plain.asset("gateway") / SAMPLE["blob:gateway-manual"]
    assert "Hold the button" in manual.read_text()
