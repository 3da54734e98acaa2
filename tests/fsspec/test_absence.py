"""What is gone is left out, the rest is delivered, and what cannot be known is an error."""

import errno
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import trio

from attachfs.archive.identities import Holder
from attachfs.fsspec import ArchivistFileSystem
from tests.fsspec.conftest import options_of
from tests.support.archives import declared, uuid_in
from tests.support.estates import Estate
from tests.support.lazy import LazyModule

duckdb = LazyModule("duckdb")

_EARLY, _LATE = (datetime.fromisoformat(f"{year}-06-01T00:00:00Z") for year in (2020, 2022))
_THEN = "as-of/2021-12-31/assets"


def _walked(fs: ArchivistFileSystem, path: str, **options: Any) -> list[str]:
    return sorted(f"{root}/{name}" for root, _, names in fs.walk(path, **options) for name in names)


# Each returns the files below a path.
_FOUND: dict[str, Callable[[ArchivistFileSystem, str], list[str]]] = {
    "find": lambda fs, path: fs.find(path),
    "find with details": lambda fs, path: list(fs.find(path, detail=True)),
    "find with directories": lambda fs, path: [
        name
        for name, one in fs.find(path, withdirs=True, detail=True).items()
        if one["type"] == "file"
    ],
    "glob": lambda fs, path: [
        name for name, one in fs.glob(f"{path}/**", detail=True).items() if one["type"] == "file"
    ],
    "walk": _walked,
    "walk with details": lambda fs, path: _walked(fs, path, detail=True),
    "du": lambda fs, path: list(fs.du(path, total=False)),
    "cat": lambda fs, path: sorted(fs.cat(path, recursive=True)),
}


@pytest.fixture
def opened(empty: Estate, tmp_path: Path) -> Iterator[Callable[..., ArchivistFileSystem]]:
    """Open file systems on an archive that the test fills; absence is not cached."""
    made: list[ArchivistFileSystem] = []

    def start(**options: Any) -> ArchivistFileSystem:
        given = {"negative_ttl": 0, "timeout": "5s", "cache_dir": str(tmp_path / "own")}
        made.append(ArchivistFileSystem(**{**given, **options_of(empty.running), **options}))
        return made[-1]

    yield start
    for fs in made:
        fs.portal.close()


@pytest.fixture
def fs(opened: Callable[..., ArchivistFileSystem]) -> ArchivistFileSystem:
    """File system whose listings and records are cached for a minute."""
    return opened()


def _asset(estate: Estate, at: datetime, *contents: bytes) -> Holder:
    blobs = [estate.blob(content) for content in contents]
    attributes = {f"attachment {n}": declared(blob) for n, blob in enumerate(blobs)}
    return Holder(uuid_in(estate.demo.create_asset({"attributes": attributes}, at=at)))


def _forget(fs: ArchivistFileSystem, holder: Holder) -> None:
    """Drop a record from the cache: those of accepted events are otherwise kept for good."""

    async def forget() -> None:
        await trio.lowlevel.checkpoint()
        fs.portal.opened.catalog._records.forget(holder)

    fs.portal.call(forget)


def _copied(fs: ArchivistFileSystem, path: str, target: Path) -> list[str]:
    """Copy a directory, and return the files of the copy by their paths in the archive."""
    fs.get(f"{path}/", str(target), recursive=True)
    return sorted(f"{path}/{one.relative_to(target)}" for one in target.rglob("*") if one.is_file())


def test_assets_that_did_not_exist_yet_hide_no_others(
    empty: Estate, fs: ArchivistFileSystem, tmp_path: Path
) -> None:
    """As of a time, whatever the listing of today names."""
    early = [_asset(empty, _EARLY, b"one", b"two") for _ in range(3)]
    for _ in range(3):
        _asset(empty, _LATE, b"later")
    expected = sorted(name for asset in early for name in fs.find(f"{_THEN}/{asset.asset}"))
    assert len(expected) == 3 * (1 + 2 + 2 + 1 + 1 + 2 + 2 + 1)
    assert sorted(fs.ls(_THEN, detail=False)) == sorted(f"{_THEN}/{one.asset}" for one in early)
    for way, found in _FOUND.items():
        assert sorted(found(fs, _THEN)) == expected, way
    assert _copied(fs, _THEN, tmp_path / "copy") == expected


@pytest.mark.parametrize("way", _FOUND)
def test_a_deleted_asset_whose_record_is_cached_hides_no_others(
    empty: Estate, fs: ArchivistFileSystem, tmp_path: Path, way: str
) -> None:
    """It is left out with all that was in it, once the server says that it is gone."""
    gone, *kept = (_asset(empty, _EARLY, b"one", b"two") for _ in range(3))
    fs.ls("assets")
    expected = sorted(name for asset in kept for name in fs.find(asset.path))
    empty.demo.edit_asset(gone.asset, delete=True)
    assert gone.path in fs.ls("assets", detail=False)
    found = sorted(_FOUND[way](fs, "assets"))
    if way.startswith("walk"):  # it has yielded what a cached record names when it meets the rest
        found = [name for name in found if not name.startswith(gone.path)]
    assert found == expected
    assert _copied(fs, "assets", tmp_path / "copy") == expected
    assert gone.path not in fs.find("assets", withdirs=True)


def test_a_deleted_asset_that_is_still_listed_hides_no_others(
    empty: Estate, opened: Callable[..., ArchivistFileSystem], tmp_path: Path
) -> None:
    """What is on later pages of a listing is renewed hourly, whatever the lifetimes."""
    empty.demo.set_switches(max_page_limit=1)
    fs = opened(metadata_ttl=0)
    gone, *kept = (_asset(empty, _EARLY, b"one", b"two") for _ in range(3))
    fs.ls("assets")
    expected = sorted(name for asset in kept for name in fs.find(asset.path))
    empty.demo.edit_asset(gone.asset, delete=True)
    for way, found in _FOUND.items():
        assert gone.path in fs.ls("assets", detail=False)
        assert sorted(found(fs, "assets")) == expected, way
    assert _copied(fs, "assets", tmp_path / "copy") == expected


def test_an_event_deleted_since_it_was_listed_hides_no_others(
    empty: Estate, fs: ArchivistFileSystem, tmp_path: Path
) -> None:
    """Its directory is left out, and its asset is not."""
    asset = _asset(empty, _EARLY, b"one")
    gone, kept = (empty.event(asset, content)[0] for content in (b"two", b"three"))
    expected = [name for name in fs.find(asset.path) if str(gone.event) not in name]
    empty.demo.edit_event(str(gone.event), delete=True)
    assert any(str(kept.event) in name for name in expected)
    _forget(fs, gone)
    for way, found in _FOUND.items():
        assert f"{asset.path}/events/{gone.event}" in fs.ls(f"{asset.path}/events", detail=False)
        assert sorted(found(fs, asset.path)) == expected, way
    assert _copied(fs, asset.path, tmp_path / "copy") == expected


def test_an_attachment_that_is_gone_hides_no_others(
    empty: Estate, fs: ArchivistFileSystem, tmp_path: Path
) -> None:
    """A record that names it does not make it exist; nor is a copy kept from being made."""
    holder, (gone, _) = empty.asset(b"gone", b"kept")
    (creation,) = fs.ls(f"{holder.path}/events", detail=False)
    empty.demo.edit_blob(gone, delete=True)
    expected = [name for name in fs.find(holder.path) if gone not in name]
    assert len(expected) == 1 + 2 + 1 + 1 + 2 + 1
    for way in ("find with details", "walk with details", "du", "cat"):
        assert _FOUND[way](fs, holder.path) == expected, way
    assert _copied(fs, holder.path, tmp_path / "copy") == expected
    assert f"{holder.path}/{gone}" not in [one["name"] for one in fs.ls(holder.path)]
    fs.get(f"{creation}/*", str(tmp_path / "matched"))
    assert not (tmp_path / "matched" / gone).exists()
    assert len(list((tmp_path / "matched").iterdir())) == 4
    with pytest.raises(FileNotFoundError):
        fs.get([f"{creation}/{gone}"], str(tmp_path / "named"))
    with pytest.raises(FileNotFoundError):
        fs.cat([f"{creation}/{gone}"])


@pytest.mark.own_process
def test_duckdb_reads_what_is_left(
    empty: Estate, opened: Callable[..., ArchivistFileSystem]
) -> None:
    """By a pattern that goes through an asset that is gone, or did not exist yet."""
    fs = opened(metadata_ttl=0)
    gone, _, later = (_asset(empty, at, b"n\n1\n2\n") for at in (_EARLY, _EARLY, _LATE))
    assert later.path in fs.ls("assets", detail=False)
    empty.demo.edit_asset(gone.asset, delete=True)
    name = "-".join("?" * length for length in (8, 4, 4, 4, 12))
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        for directory, count in ((_THEN, 2), ("assets", 4)):
            pattern = f"archivist://{directory}/*/{name}"
            query = f"SELECT count(*) FROM read_csv('{pattern}')"  # noqa: S608
            assert connection.sql(query).fetchall() == [(count,)]


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("path", ["assets", "by-name", _THEN])
def test_an_answer_that_fails_on_the_way_is_an_error(
    empty: Estate, fs: ArchivistFileSystem, path: str, expected_warnings: set[str]
) -> None:
    """One request of many: for a page, for the events of an asset."""
    expected_warnings.update(("listed for all", "failed"))
    empty.demo.set_switches(max_page_limit=2)
    events = f"{_asset(empty, _EARLY, b'one').path}/events$"
    for _ in range(4):
        _asset(empty, _EARLY, b"one")
    failures = [
        ("/assets$", 500, 1),
        ("/assets$", 404, 1),  # a list cannot be gone: nothing is known of what is on it
        (events, 500, 0),
        (events, 404, 0),
    ]
    for way, (regex, status, skip) in product(("find", "glob", "walk", "du"), failures):
        fs.invalidate_cache()
        empty.demo.reset_requests()
        empty.demo.fail_next(path_regex=regex, status=status, skip=skip, times=1000)
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno tells
            _FOUND[way](fs, path)
        assert caught.value.errno == errno.EIO, (way, regex, status)
        if regex != events:
            with pytest.raises(OSError, match="/assets"):
                fs.ls(path)


def test_what_may_not_be_seen_is_not_taken_for_absent(
    empty: Estate, fs: ArchivistFileSystem, tmp_path: Path
) -> None:
    """A directory that is denied is an error; of a file, only what is denied is not known."""
    holder, (denied, kept) = empty.asset(b"denied", b"kept")
    empty.demo.fail_next(path_regex=f"{denied}(/info)?$", status=403, times=10_000)
    sizes = {one["name"]: one["size"] for one in fs.ls(holder.path)}
    assert sizes[f"{holder.path}/{denied}"] is None
    assert sizes[f"{holder.path}/{kept}"] == 4
    assert list(fs.find(holder.path, detail=True)) == fs.find(holder.path)
    assert _walked(fs, holder.path, detail=True) == fs.find(holder.path)
    with pytest.raises(PermissionError) as caught:
        fs.du(holder.path)
    assert denied in str(caught.value.filename)
    with pytest.raises(PermissionError):
        fs.get(f"{holder.path}/", str(tmp_path / "copy"), recursive=True)
    assert (tmp_path / "copy" / kept).read_bytes() == b"kept"
    assert not (tmp_path / "copy" / denied).exists()


def test_a_token_that_is_refused_leaves_nothing_out(
    empty: Estate, fs: ArchivistFileSystem, expected_warnings: set[str]
) -> None:
    """Nothing is known then, of whatever there is: not even a walk omits it."""
    expected_warnings.add("refuse")
    assets = [_asset(empty, _EARLY, b"one") for _ in range(2)]
    assert len(fs.ls("assets", detail=False)) == len(assets)
    empty.demo.fail_next(status=401, times=1000)
    for way in ("find", "glob", "walk", "walk with details", "du"):
        with pytest.raises(PermissionError):
            _FOUND[way](fs, "assets")


def test_an_event_that_is_withheld_is_not_taken_for_later(
    empty: Estate, fs: ArchivistFileSystem
) -> None:
    """As of a time, nobody can say whether it had been recorded; a walk goes on with the others."""
    asset = _asset(empty, _EARLY, b"one")
    event, _ = empty.event(asset, at="2021-01-01T00:00:00Z")
    assert len(fs.ls(f"{asset.path}/events")) == 2
    expected = [name for name in fs.find(f"{_THEN}/{asset.asset}") if str(event.event) not in name]
    empty.demo.edit_event(str(event.event), deny="record")
    _forget(fs, event)
    for path in (asset.path, f"{_THEN}/{asset.asset}"):
        for way in ("find", "find with details", "glob", "du", "cat"):
            with pytest.raises(PermissionError):
                _FOUND[way](fs, path)
    told: list[OSError] = []
    assert _walked(fs, f"{_THEN}/{asset.asset}", on_error=told.append) == expected
    assert _walked(fs, f"{_THEN}/{asset.asset}", detail=True) == expected
    assert [error.filename for error in told] == [f"{_THEN}/{asset.asset}/events"]
    with pytest.raises(PermissionError):
        fs.ls(f"{_THEN}/{asset.asset}/events")


def test_wrong_bytes_do_not_keep_others_from_being_copied(
    empty: Estate, fs: ArchivistFileSystem, tmp_path: Path, expected_warnings: set[str]
) -> None:
    """They are an error once all others are there; what concerns all files ends it at once."""
    expected_warnings.add("were recorded")
    holder, uuids = empty.asset(*(b"evidence %d" % number for number in range(12)))
    empty.demo.edit_blob(uuids[7], flip_body_byte=0)
    with pytest.raises(OSError, match="were recorded") as caught:
        fs.get(f"{holder.path}/", str(tmp_path / "copy"), recursive=True)
    assert caught.value.errno == errno.EIO
    copied = {path.name for path in (tmp_path / "copy").iterdir()}
    assert set(uuids) - copied == {uuids[7]}


@pytest.mark.parametrize("token", ["refused", "missing"])
@pytest.mark.parametrize("find", _FOUND)
def test_without_a_good_token_nothing_is_a_shorter_answer(
    empty: Estate, tmp_path: Path, find: str, token: str
) -> None:
    """Also where that is found out when the archive is opened."""
    _asset(empty, _EARLY, b"one")
    options = options_of(empty.running) | {"cache_dir": str(tmp_path / "own")}
    if token == "missing":
        options["token_file"] = str(tmp_path / "missing")
    empty.demo.fail_next(status=401, times=1000)
    with pytest.raises(PermissionError):
        _FOUND[find](ArchivistFileSystem(**options), "assets")
