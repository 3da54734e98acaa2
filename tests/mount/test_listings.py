"""Directories that come page by page: the first names at once, the whole of it or an error."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from attachfs.demo.estate import SAMPLE
from attachfs.tree.naming import short_id
from tests.support.archives import declared, uuid_in
from tests.support.mounts import PATIENCE_S, Mount, Steering
from tests.support.outcomes import until
from tests.support.programs import Done

pytestmark = pytest.mark.mount

Run = Callable[..., Done]

_MANY = 60
_LOOKS = 8
_LISTDIR = "import os, sys; os.listdir(sys.argv[1])"


def _create(archive: Steering, name: str, files: int = 0) -> str:
    demo = archive.running.archive
    attributes: dict[str, Any] = {"arc_display_name": name}
    for number in range(files):
        blob = demo.create_blob(f"{name}, file {number}".encode())
        attributes[f"file {number}"] = declared(blob, arc_file_name=f"{number}.txt")
    return uuid_in(demo.create_asset({"attributes": attributes}))


@pytest.fixture
def paged(mount: Callable[..., Mount], archive: Steering) -> Mount:
    """A mount that believes nothing for long, of a server whose pages hold two entries."""
    archive.switch(max_page_limit=2)
    mounted = mount("--metadata-ttl", "0s", "--negative-ttl", "0s")
    archive.reset()
    return mounted


def test_a_reader_gets_names_before_the_second_page_has_come(
    paged: Mount, archive: Steering
) -> None:
    """`ls -U` prints the first one and waits for more; the end of the mount is an error to it."""
    archive.fail_next(path_regex="/assets$", skip=1, status=0, delay_s=600.0)
    ls = ("stdbuf", "-oL", "ls", "-U", str(paged.path / "assets"))
    with subprocess.Popen(ls, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline().rstrip("\n")
        assert len(archive.paths("/assets$")) == 1
        assert (paged.path / "assets" / first / "asset.json").read_text()
        assert process.poll() is None
        assert paged.end() == 0
        assert process.wait(PATIENCE_S) != 0


_COLLECTIONS = {
    "assets": "assets",
    "by-name": "assets",
    "as-of/2024-06-30/assets": "assets",
    f"assets/{SAMPLE['asset:container']}/events": "events",
    f"by-name/Container CRXU 552210-7~{short_id(SAMPLE['asset:container'])}/events": "events",
    f"as-of/2024-06-30/assets/{SAMPLE['asset:container']}/events": "events",
    f"publicassets/{SAMPLE['asset:conformity']}/events": "events",
}


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_listing_that_fails_half_way_is_an_error(
    archive: Steering, mount: Callable[..., Mount], run: Run, status: int
) -> None:
    """Of `ls`, `find` and Python, in every view; never a short one that went well."""
    mounted = mount("--metadata-ttl", "0s", "--negative-ttl", "0s")
    mounted.expected_warnings.add(f"the server answered {status}")
    archive.switch(max_page_limit=1)
    directories = {mounted.path / path: name for path, name in _COLLECTIONS.items()}
    for directory, collection in directories.items():
        if directory.parent.parent.name == "by-name":
            continue  # its name is found by a listing
        for lister in (("ls", "-U"), ("find",), (sys.executable, "-c", _LISTDIR)):
            archive.reset()
            archive.fail_next(path_regex=f"/{collection}$", skip=1, status=status, times=9999)
            failed = run(*lister, directory)
            assert failed.returncode != 0, (directory, lister, failed.stdout)
            assert failed.stderr
    archive.reset()
    for directory in directories:
        whole = run("ls", "-U", directory)
        assert (whole.returncode, whole.stderr) == (0, ""), directory
        assert len(whole.stdout.splitlines()) >= 2


def test_an_open_directory_is_a_snapshot(paged: Mount, archive: Steering) -> None:
    """What is created or deleted while it is read changes nothing; the next reader sees it."""
    assets = paged.path / "assets"
    before = [archive.record("assets?page_size=2")]
    while token := before[-1]["next_page_token"]:
        before.append(archive.record(f"assets?page_token={token}"))
    listed = [uuid_in(asset) for page in before for asset in page["assets"]]
    assert len(listed) == 5
    with os.scandir(assets) as entries:
        read = [next(entries).name]
        created = _create(archive, "newcomer")
        archive.edit("assets", read[0], delete=True)
        read += [entry.name for entry in entries]
    assert read == listed
    assert [path.name for path in assets.iterdir()] == [created, *listed[1:]]


def test_readers_at_once_share_their_pages(paged: Mount, archive: Steering) -> None:
    """While one waits for a page, the other does for the same; both get everything."""
    archive.fail_next(path_regex="/assets$", skip=1, status=0, delay_s=0.3)
    with ThreadPoolExecutor(8) as readers:
        listings = list(readers.map(os.listdir, [paged.path / "assets"] * 8))
    assert len({tuple(names) for names in listings}) == 1
    assert len(listings[0]) == 5


def test_names_cost_no_info_and_sizes_cost_each_once(
    mount: Callable[..., Mount], archive: Steering, run: Run
) -> None:
    """`ls`, globs and `find` ask for none, `ls -l` for each, and once however often it runs."""
    mounted = mount()
    assets, by_name = mounted.path / "assets", mounted.path / "by-name"
    archive.reset()
    for program in (
        ("ls", "-R", assets),
        ("ls", "-U", mounted.asset("container")),
        ("sh", "-c", f"echo {assets}/*/events/*/*.info.json"),
        ("find", assets, "-name", "*.pdf"),
        ("find", assets, "-type", "f"),
        ("find", by_name, "-type", "f"),
    ):
        assert run(*program).returncode == 0
    assert archive.paths("/info$") == []
    for root in (assets, by_name, assets):
        listed = run("ls", "-lR", root)
        assert (listed.returncode, listed.stderr) == (0, "")
    asked = Counter(path for path in archive.paths("/info$"))
    assert len(asked) > 15
    assert set(asked.values()) == {1}
    assert archive.paths("/attachments/.*[0-9a-f]$") == []


@pytest.mark.parametrize("view", ["assets", "by-name"])
def test_a_walk_over_many_assets_costs_pages(
    mount: Callable[..., Mount], archive: Steering, run: Run, view: str
) -> None:
    """Not a request for each asset and its events: `find` sees all of them nevertheless."""
    uuids = [_create(archive, f"asset {number}", files=2) for number in range(_MANY)]
    mounted = mount()
    archive.reset()
    found = run("find", mounted.path / view)
    assert (found.returncode, found.stderr) == (0, "")
    for uuid in uuids:
        asset = uuid if view == "assets" else f"~{short_id(uuid)}"
        below = re.findall(rf"{asset}/.+", found.stdout)
        # Record, events/, sums, two attachments with sidecars; the same below its one event.
        assert len(below) == 7 + 1 + 6, below
    singly = [path for path in archive.paths("/events$") if "/-/" not in path]
    assert len(singly) < 20
    assert len(archive.paths()) < _MANY
    assert archive.paths("/info$") == []


@pytest.mark.parametrize("view", ["assets", "by-name"])
def test_names_that_were_just_listed_are_looked_at_all_at_once(
    mount: Callable[..., Mount], archive: Steering, view: str
) -> None:
    """The kernel looks names of one directory up one after the other: it need not look these up."""
    asset = _create(archive, "many", files=_LOOKS)
    mounted = mount("--read-ahead", "0")
    name = asset if view == "assets" else f"many~{short_id(asset)}"
    directory = mounted.path / view / name
    others = (".json", "SHA256SUMS", "events")
    files = [path for path in directory.iterdir() if not path.name.endswith(others)]
    assert len(files) == _LOOKS
    archive.reset()
    archive.fail_next(path_regex="/info$", times=_LOOKS, status=0, delay_s=3.0)
    with ThreadPoolExecutor(_LOOKS) as pool:
        looks = [pool.submit(file.stat) for file in files]
        until(lambda: not archive.failures_left())
        assert not any(look.done() for look in looks)
        assert {look.result(PATIENCE_S).st_size for look in looks} == {len("many, file 0")}


_READ_UNSEEN = """
import mmap, os, sys
names = [name for name in os.listdir(sys.argv[1]) if not name.endswith((".json", "events", "SUMS"))]
for number, name in enumerate(names):
    descriptor = os.open(os.path.join(sys.argv[1], name), os.O_RDONLY)
    if number % 2:
        print(os.read(descriptor, 100).decode())
    else:
        size_bytes = os.lseek(descriptor, 0, os.SEEK_END)
        print(mmap.mmap(descriptor, size_bytes, prot=mmap.PROT_READ)[:].decode())
"""


def test_a_file_whose_size_is_not_known_is_read_whole(
    mount: Callable[..., Mount], archive: Steering
) -> None:
    """Its name was listed, and nobody asked for its size before it was opened, or mapped."""
    asset = _create(archive, "many", files=_LOOKS)
    mounted = mount("--read-ahead", "0")
    done = subprocess.run(
        [sys.executable, "-c", _READ_UNSEEN, mounted.path / "assets" / asset],
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    expected = [f"many, file {number}" for number in range(_LOOKS)]
    assert sorted(done.stdout.splitlines()) == expected
