"""Everything odd at once, against a ground truth: each row, in every view, cold and warm."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from attachfs.demo.launch import ArchiveConfig, RunningArchive
from attachfs.fsspec import ArchivistFileSystem
from tests.conftest import serving
from tests.fsspec.conftest import options_of
from tests.support.odd_estates import AS_OF, ASSETS, VERIFIED, OddEstate, Row, odd_estate

Found = Mapping[str, int | None]
Opened = Callable[..., ArchivistFileSystem]


def _by_name(paths: Any) -> Found:
    return dict.fromkeys(paths)


def _sizes(details: Mapping[str, Mapping[str, Any]]) -> Found:
    return {path: one["size"] for path, one in details.items() if one["type"] == "file"}


def _walked(fs: ArchivistFileSystem, view: str) -> Found:
    return {
        one["name"]: one["size"]
        for _, _, files in fs.walk(view, detail=True)
        for one in files.values()
    }


# Each returns the files of a view, with their sizes where it asks for them.
_WAYS: dict[str, Callable[[ArchivistFileSystem, str], Found]] = {
    "find": lambda fs, view: _by_name(fs.find(view)),
    "du": lambda fs, view: fs.du(view, total=False),
    "glob": lambda fs, view: _by_name(
        path
        for path, one in fs.glob(f"{view}/**", detail=True, sizes=False).items()
        if one["type"] == "file"
    ),
    "walk": _walked,
}
_VIEWS = ["assets", "by-name", AS_OF, "publicassets"]


@pytest.fixture(scope="module")
def truth() -> OddEstate:
    """What is so."""
    return odd_estate()


@pytest.fixture(scope="module")
def served(truth: OddEstate) -> Iterator[RunningArchive]:
    """An archive that is filled with it."""
    with serving(ArchiveConfig(empty=True)) as running:
        running.archive.set_switches(max_page_limit=50)
        truth.fill(running.archive)
        yield running


@pytest.fixture
def opened(
    served: RunningArchive, truth: OddEstate, expected_warnings: set[str], tmp_path: Path
) -> Iterator[Opened]:
    """Open the archive, with a cache of the test's own."""
    expected_warnings.add("were recorded")
    public = [asset.uuid for asset in truth.of("public")]
    with ExitStack() as stack:

        def start(**options: Any) -> ArchivistFileSystem:
            cache = str(tmp_path / "own")
            given = {**options_of(served), "cache_dir": cache, "public_asset": public}
            fs = ArchivistFileSystem(**{**given, **options}, skip_instance_cache=True)
            stack.callback(fs.portal.close)
            return fs

        yield start


def _check(found: Found, rows: Mapping[str, Row], tolerated: set[str], way: str) -> None:
    """See that what was found is what there is, but for paths that are `tolerated`."""
    assert rows.keys() <= found.keys() <= rows.keys() | tolerated, way
    if None in found.values():
        return
    for path, row in rows.items():
        size = found[path]
        if row.kind == "attachment" and row.piece is not None:
            assert size == len(row.piece.content), (way, path)
        else:
            assert size, (way, path)


def _check_copy(
    fs: ArchivistFileSystem, path: str, target: Path, rows: Mapping[str, Row], sizes: Found
) -> None:
    """See that a copy has all that may be read, and that it fails where that is not all."""
    below = {name: row for name, row in rows.items() if name.startswith(f"{path}/")}
    refused = [name for name, row in below.items() if _is_refused(row)]
    with ExitStack() as stack:
        if refused:
            reasons = r"SCANNED_BAD|recorded|different digests"
            stack.enter_context(pytest.raises(OSError, match=reasons))
        fs.get(f"{path}/", str(target), recursive=True)
    copied = {
        f"{path}/{one.relative_to(target)}": one.read_bytes()
        for one in target.rglob("*")
        if one.is_file()
    }
    assert copied.keys() == below.keys() - set(refused), path
    for name, content in copied.items():
        assert sizes[name] == len(content), name
        row = below[name]
        if row.kind == "attachment" and row.piece is not None:
            assert content == row.piece.content, name


def _is_refused(row: Row) -> bool:
    """Return whether the bytes may not be read, or are wrong."""
    return row.kind == "attachment" and row.piece is not None and row.piece.verdict != VERIFIED


def test_the_estate_is_as_odd_as_it_says(truth: OddEstate) -> None:
    """Lest nothing be compared with nothing."""
    assert len(truth.assets) == ASSETS
    counts = {view: len(truth.assets_of(view)) for view in _VIEWS}
    assert counts["publicassets"] < counts[AS_OF] < counts["assets"] < ASSETS
    assert all(truth.named(view) for view in _VIEWS if view != "publicassets")


@pytest.mark.parametrize("number", range(len(_VIEWS)))
def test_each_view_is_whole(truth: OddEstate, opened: Opened, tmp_path: Path, number: int) -> None:
    """Whatever is asked first, when nothing is known yet; again; and by another process."""
    view = _VIEWS[number]
    rows, named = truth.rows(view), truth.named(view)
    ways = list(_WAYS.items())
    fs = opened()
    tolerated = truth.unsettled(view)
    for way, find in (*ways[number:], *ways[:number]):
        found = find(fs, view)
        if None in found.values():
            _check(found, rows, named, way)
        else:
            _check(found, rows, tolerated, way)
            tolerated = set()  # now all scans are known
    directories = {path.rpartition("/")[2] for path in truth.assets_of(view)}
    assert {path.rpartition("/")[2] for path in fs.ls(view, detail=False)} == directories
    fs.portal.close()
    sizes = fs.du(view, total=False)
    _check(sizes, rows, set(), "by an index")
    for path in truth.odd_ones(view) if view in ("by-name", "publicassets") else ():
        _check_copy(fs, path, tmp_path / "copy" / path, rows, sizes)


def test_what_is_withheld_or_deleted_meanwhile_hides_nothing_else(
    expected_warnings: set[str], tmp_path: Path
) -> None:
    """What cannot be known is an error of those who ask for all, and is told to those who walk."""
    expected_warnings.add("were recorded")
    truth = odd_estate(0)
    with serving(ArchiveConfig(empty=True)) as running:
        running.archive.set_switches(max_page_limit=5)
        truth.fill(running.archive)
        options = {**options_of(running), "cache_dir": str(tmp_path / "own"), "negative_ttl": 0}
        fs = ArchivistFileSystem(**options, metadata_ttl=0)
        fs.ls("assets")
        withheld, deleted = (truth.of(label)[0] for label in ("growing", "repeated"))
        running.archive.edit_asset(withheld.uuid, deny=True)
        running.archive.edit_asset(deleted.uuid, delete=True)
        directory = f"assets/{withheld.uuid}"
        assert {directory, f"assets/{deleted.uuid}"} <= set(fs.ls("assets", detail=False))
        assert fs.find(f"assets/{deleted.uuid}") == []
        for path, way in product((directory, "assets"), ("find", "du", "glob")):
            with pytest.raises(PermissionError):
                _WAYS[way](fs, path)
        told: list[OSError] = []
        found = {
            f"{root}/{name}"
            for root, _, names in fs.walk("assets", on_error=told.append)
            for name in names
        }
        rows = {
            path: row
            for path, row in truth.rows("assets").items()
            if row.asset not in (withheld, deleted)
        }
        _check(dict.fromkeys(found), rows, truth.named("assets"), "walk")
        refused = [error.filename for error in told if isinstance(error, PermissionError)]
        assert refused == [directory]
        fs.portal.close()
