"""Where processes are, and what they hold open, stays what it was while names change."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from attachfs.demo.estate import SAMPLE
from attachfs.tree.naming import directory_name
from tests.support.archives import declared, uuid_in
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import outcome, until

pytestmark = pytest.mark.mount

_CONTAINER = SAMPLE["asset:container"]
_NAME = "Container CRXU 552210-7"
_PHOTO = "reefer at quay.jpg"


@pytest.fixture
def believing(mount: Callable[..., Mount]) -> Mount:
    """A mount that believes for an hour what it has not learnt to be otherwise."""
    return mount("--metadata-ttl", "1h", "--negative-ttl", "1h")


@contextmanager
def _process_in(directory: Path) -> Iterator[Callable[[], str]]:
    """Have a process whose working directory that is; what getcwd(2) tells it is returned."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd=directory) as process:
        yield lambda: str(Path(f"/proc/{process.pid}/cwd").readlink())


def _rename(mounted: Mount, archive: Steering, name: str) -> None:
    """Give the container another name, and let the mount learn it from its first listing."""
    record = mounted.asset("container") / "asset.json"
    assert record.read_text()
    archive.edit("assets", _CONTAINER, attributes={"arc_display_name": name})
    assert name not in record.read_text()
    assert len(list((mounted.path / "assets").iterdir())) > 1
    until(lambda: name in record.read_text())


def test_an_asset_that_is_renamed_moves_by_name_alone(believing: Mount, archive: Steering) -> None:
    """Whoever is in assets/ stays there; whoever is in by-name/ is in its new name."""
    old, new = (
        believing.path / "by-name" / directory_name(name, _CONTAINER) for name in (_NAME, "Reefer")
    )
    under_uuid = believing.asset("container")
    with _process_in(under_uuid) as where, _process_in(old) as where_named:
        assert (where(), where_named()) == (str(under_uuid), str(old))
        _rename(believing, archive, "Reefer")
        until(lambda: outcome(new.stat) != "ENOENT")
        assert outcome(old.stat) == "ENOENT"
        assert (where(), where_named()) == (str(under_uuid), str(new))


def test_what_is_open_is_read_on_under_any_name(believing: Mount, archive: Steering) -> None:
    """A file by its descriptor, a directory by its own: names are nothing to them."""
    old = believing.path / "by-name" / directory_name(_NAME, _CONTAINER)
    content = (believing.asset("container") / SAMPLE["blob:container-photo"]).read_bytes()
    directory = os.open(old, os.O_RDONLY)
    try:
        with (old / _PHOTO).open("rb", buffering=0) as photo:
            begin = photo.read(10)
            _rename(believing, archive, "Reefer")
            until(lambda: outcome(old.stat) == "ENOENT")
            assert begin + photo.read() == content
            assert _PHOTO in os.listdir(directory)  # noqa: PTH208 - by descriptor
            again = os.open(_PHOTO, os.O_RDONLY, dir_fd=directory)
            with open(again, "rb") as file:  # noqa: PTH123 - by descriptor
                assert file.read() == content
    finally:
        os.close(directory)


def test_a_listing_prolongs_no_size_that_has_changed(believing: Mount, archive: Steering) -> None:
    """A size once told is told again by listings, which ask for none: `ls -l` asks anew."""
    container = believing.asset("container")
    sums = container / "SHA256SUMS"
    before = sums.stat().st_size
    record = container / "asset.json"
    assert record.read_text()
    blob = archive.running.archive.create_blob(b"later")
    archive.edit("assets", _CONTAINER, attributes={"later": declared(blob)})
    assert len(list((believing.path / "assets").iterdir())) > 1
    until(lambda: uuid_in(blob) in record.read_text())
    until(lambda: uuid_in(blob) in {path.name for path in container.iterdir()})
    assert sums.stat().st_size > before
    assert len(sums.read_bytes()) == sums.stat().st_size
