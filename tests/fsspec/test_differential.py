"""Whatever is asked of the archive is answered as fsspec's own file systems answer of a copy."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.tests.abstract.common import GLOB_EDGE_CASES_TESTS

from attachfs.demo.launch import ArchiveConfig
from attachfs.fsspec import ArchivistFileSystem
from attachfs.tree.naming import short_id
from tests.conftest import serving
from tests.fsspec.conftest import options_of
from tests.support.archives import declared, uuid_in
from tests.support.estates import Estate
from tests.support.twins import Twin, copy, files

_ASSET_UUID = "0a1b2c3d-0000-4000-8000-000000000001"
_EVENT_UUID = "0e1b2c3d-0000-4000-8000-000000000001"
_ASSET = f"by-name/Differ [1]~{short_id(_ASSET_UUID)}"
_EVENT = f"{_ASSET}/events/2024-06-01T12:00:00Z subdir~{short_id(_EVENT_UUID)}"
_LARGE = "assets/0a1b2c3d-0000-4000-8000-000000000002/0b1b2c3d-0000-4000-8000-000000000001"
_LARGE_BYTES = Random(1).randbytes(1_200_000)  # noqa: S311 - no secret
_LINES = "".join(f"zeile {number} für alle\n" for number in range(5000)).encode()
_CONTENTS = {
    "file1": b"one",
    "file2": _LINES,
    "subfile1.txt": "Süd\r\nNord\rOst\n".encode("latin-1"),
    "a*b?.txt": b"stars",
    "[draft] report.csv": b"a,b\n1,2\n",
    "empty": b"",
}
_ON_EVENT = {"file1": b"another one", "nested.txt": b"nested\n"}
_FILE = f"{_ASSET}/file1"
_PATHS = ("", "by-name", "assets", _ASSET, f"{_ASSET}/", f"{_ASSET}/events", _EVENT, _FILE)
_ABSENT = ("nothing", "assets/nothing", f"{_ASSET}/nothing", f"{_EVENT}/no/no")
_ALL_PATHS = (*_PATHS, *_ABSENT)
_ESCAPED = _ASSET.replace("[", "[[]")
_PATTERNS = (
    *("*", "*/", "*/*", "by-name/*", "by-name/*/", "by-name/**", "by-name/**/"),
    *("by-name/*/*1", "by-name/*/file[1-2]", "by-name/*/file[!1]", "by-name/**/file1"),
    *("**/file1", "**/*.txt", "**/events", "**/events/*", "**/events/*/f*", "*/*/events/**"),
    *("by-name/*/events/????-06-*/*.txt", "assets/*/*.info.json", "b*/D*/e*"),
    *("nothing/*", "by-name/nothing*", "nothing*", "by-name/Differ*/[[]draft*", _FILE),
    *("by-name/*/a[*]b[?].txt", "by-name/*/[!a-z]*", "by-name/*/*.{csv,txt}", "by-name/*/**/f*1"),
)
# Those of fsspec's own suite, in an asset's directory.
_SUITE = tuple(
    dict.fromkeys(f"{_ESCAPED}/{case[0]}" for case in GLOB_EDGE_CASES_TESTS["argvalues"])
)
_DEPTHS = (None, 1, 2)


class _Memory(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """One that shares nothing with others of its class."""

    store: dict[str, Any] = {}  # noqa: RUF012 - as its class has it
    pseudo_dirs: list[str] = [""]  # noqa: RUF012


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Twin]]:
    """An archive with two assets, of which one has an event, and copies on disk and in memory."""
    tmp_path = tmp_path_factory.mktemp("archive")
    with serving(ArchiveConfig(empty=True)) as running:
        _fill(Estate(running, tmp_path))
        options = options_of(running) | {"cache_dir": str(tmp_path / "cache")}
        archive = Twin(ArchivistFileSystem(**options), "")
        copies = {
            "disk": Twin(LocalFileSystem(auto_mkdir=True), str(tmp_path / "copy")),
            "memory": Twin(_Memory(), "/copy"),
        }
        for twin in copies.values():
            copy(archive, twin)
        yield {"archive": archive, **copies}


def _fill(estate: Estate) -> None:
    def attributes(contents: dict[str, bytes]) -> dict[str, Any]:
        return {
            f"attachment {number}": declared(estate.blob(content), arc_file_name=name)
            for number, (name, content) in enumerate(contents.items())
        }

    body = {"attributes": {"arc_display_name": "Differ [1]", **attributes(_CONTENTS)}}
    asset = uuid_in(estate.demo.create_asset(body, uuid=_ASSET_UUID))
    event = {
        "operation": "Record",
        "behaviour": "RecordEvidence",
        "event_attributes": {"arc_display_type": "subdir", **attributes(_ON_EVENT)},
        "asset_attributes": {},
    }
    at = estate.demo.now().replace(2024, 6, 1, 12, 0, 0, 0)
    estate.demo.create_event(asset, event, uuid=_EVENT_UUID, at=at)
    large = declared(estate.demo.create_blob(_LARGE_BYTES, uuid=_LARGE.rpartition("/")[2]))
    estate.demo.create_asset({"attributes": {"large": large}}, uuid=_LARGE.split("/")[1])


def _same(
    twins: dict[str, Twin],
    method: str,
    path: Any,
    *args: Any,
    then: Callable[[Any], Any] = lambda result: result,
    by: Sequence[str] = ("disk", "memory"),
    **options: Any,
) -> None:
    """See that a method comes to the same as with the copies, by what `then` makes of it."""

    def ask(twin: Twin) -> Any:
        return then(getattr(twin.fs, method)(twin.at(path), *args, **options))

    outcome = twins["archive"].outcome(ask)
    assert outcome not in (TypeError, AttributeError), "the test asks wrongly"
    for name in by:
        assert outcome == twins[name].outcome(ask), name


def _seen(details: Any) -> tuple[Any, ...]:
    """Return what can be compared of details; what size a directory has, each says differently."""
    is_file = details["type"] == "file"
    return details["name"], details["type"], details["size"] if is_file else None


def _all_seen(found: Any) -> list[tuple[Any, ...]]:
    """Return what can be compared of a listing."""
    return sorted(map(_seen, found.values() if isinstance(found, dict) else found))


def _steps(walk: Any) -> list[Any]:
    """Return what can be compared of a walk: in a directory, each has another order."""
    return sorted((root, sorted(dirs), sorted(names)) for root, dirs, names in walk)


def _pruned(walk: Any) -> list[Any]:
    """Return the steps of a walk that goes by events."""
    found = []
    for root, dirs, names in walk:
        found.append((root, sorted(dirs), sorted(names)))
        dirs[:] = [name for name in dirs if name != "events"]
    return sorted(found)


def test_the_copy_is_of_what_was_attached(twins: dict[str, Twin]) -> None:
    """Lest nothing be compared with nothing."""
    for twin in twins.values():
        for directory, contents in ((_ASSET, _CONTENTS), (_EVENT, _ON_EVENT)):
            for name, content in contents.items():
                assert twin.fs.cat_file(twin.at(f"{directory}/{name}")) == content


@pytest.mark.parametrize("path", _ALL_PATHS)
def test_what_a_path_is(twins: dict[str, Twin], path: str) -> None:
    """File, directory or nothing, and how large."""
    for method in ("exists", "lexists", "isfile", "isdir"):
        _same(twins, method, path)
    _same(twins, "info", path, then=_seen)
    _same(twins, "stat", path, then=_seen)
    _same(twins, "size", path, by=["memory"])
    _same(twins, "sizes", [path], by=["memory"])


@pytest.mark.parametrize("path", _ALL_PATHS)
def test_what_is_in_it(twins: dict[str, Twin], path: str) -> None:
    """By name and with details."""
    _same(twins, "ls", path, detail=False, then=sorted)
    _same(twins, "ls", path, detail=True, then=_all_seen)
    _same(twins, "listdir", path, then=_all_seen)


@pytest.mark.parametrize("path", _ALL_PATHS)
def test_what_is_below_it(twins: dict[str, Twin], path: str) -> None:
    """Files, and directories where they are wanted, in order, down to a depth."""
    # The root has no name, and so is not among what is found below it.
    for depth, withdirs in product((*_DEPTHS, 0), (False, True) if path else (False,)):
        _same(twins, "find", path, depth, withdirs)
        if path != _FILE:  # of a file itself, fsspec's own find has no details
            _same(twins, "find", path, depth, withdirs, detail=True, then=list)
            _same(twins, "find", path, depth, withdirs, detail=True, then=_all_seen)


@pytest.mark.parametrize("path", _ALL_PATHS)
def test_what_is_walked(twins: dict[str, Twin], path: str) -> None:
    """Each directory once, before or after those in it; those taken out are left out."""
    for depth, topdown, detail in product((*_DEPTHS, 0), (True, False), (False, True)):
        _same(twins, "walk", path, depth, topdown, detail=detail, then=_steps)
    _same(twins, "walk", path, then=_pruned)
    _same(twins, "walk", path, on_error="raise", then=_steps)
    for topdown in (True, False):
        roots = [root for root, _, _ in twins["archive"].fs.walk(path, topdown=topdown)]
        places = {root: place for place, root in enumerate(roots)}
        for root, place in places.items():
            above = places.get(root.rpartition("/")[0], place)
            assert above <= place if topdown else above >= place


@pytest.mark.parametrize("pattern", [*_PATTERNS, *_SUITE])
def test_what_matches(twins: dict[str, Twin], pattern: str) -> None:
    """A pattern, down to a depth."""
    for depth in _DEPTHS:
        _same(twins, "glob", pattern, depth)
    _same(twins, "glob", pattern, detail=True, then=_all_seen)
    _same(twins, "glob", pattern, withdirs=False)


@pytest.mark.parametrize("path", [*_ALL_PATHS, *_PATTERNS, *_SUITE, [_FILE, f"{_EVENT}/*"]])
def test_what_it_stands_for(twins: dict[str, Twin], path: Any) -> None:
    """A path, a pattern or several, with and without what is below."""
    for depth, recursive in product(_DEPTHS, (False, True)):
        _same(twins, "expand_path", path, recursive, depth)


@pytest.mark.parametrize("path", _ALL_PATHS)
def test_how_much_it_is(twins: dict[str, Twin], path: str) -> None:
    """In bytes, together and each."""
    for depth, total in product(_DEPTHS, (True, False)):
        _same(twins, "du", path, total, depth)
    _same(twins, "du", path, total=False, withdirs=True, by=["memory"])


_SLICES = ((None, None), (0, 5), (5, None), (-5, None), (None, -5), (1, 1), (3, 10**9), (-3, -1))


@pytest.mark.parametrize("path", [*(f"{_ASSET}/{name}" for name in _CONTENTS), _LARGE, *_ABSENT])
def test_bytes_by_parts(twins: dict[str, Twin], path: str) -> None:
    """Slices, heads, tails, and blocks that end where a line does."""
    for start, end in _SLICES:
        _same(twins, "cat_file", path, start, end, by=["memory"])
        _same(twins, "cat_ranges", [path, path], start, [end, end], by=["memory"])
    for size in (0, 1, 1000, 10**7):
        _same(twins, "head", path, size)
        _same(twins, "tail", path, size)
    for offset, length in product((0, 1, 70_000, 10**8), (0, 10, 3000, None)):
        for delimiter in (None, b"\n", b"zeile"):
            _same(twins, "read_block", path, offset, length, delimiter, by=["memory"])
    _same(twins, "read_bytes", path)
    _same(twins, "read_text", path, encoding="latin-1")


@pytest.mark.parametrize(
    "path", [_FILE, [_FILE], [_FILE, f"{_EVENT}/file1"], f"{_ESCAPED}/f*", f"{_ESCAPED}/file1"]
)
def test_bytes_of_many(twins: dict[str, Twin], path: Any) -> None:
    """Whole and in slices, of one as bytes, of several by path."""
    _same(twins, "cat", path)
    for start, end in ((0, 5), (1, None), (None, 2), (-2, None)):
        _same(twins, "cat", path, start=start, end=end)


@pytest.mark.parametrize("on_error", ["raise", "omit", "return"])
def test_what_is_not_there_among_many(twins: dict[str, Twin], on_error: str) -> None:
    """Raised, left out, or in the place of the bytes."""
    paths = [_FILE, f"{_ASSET}/nothing"]
    _same(twins, "cat", paths, on_error=on_error)
    _same(twins, "cat_ranges", paths, 0, 2, on_error=on_error)


def test_bytes_by_key(twins: dict[str, Twin]) -> None:
    """A directory as a mapping."""
    keys = ["file1", "nothing"]
    _same(twins, "get_mapper", _ASSET, then=dict)
    _same(twins, "get_mapper", _ASSET, then=lambda mapper: mapper["nothing"])
    _same(twins, "get_mapper", _ASSET, then=lambda mapper: mapper.getitems(keys, on_error="omit"))


_SOURCES: tuple[Any, ...] = (
    *(_FILE, f"{_ASSET}/[draft] report.csv", f"{_ASSET}/a*b?.txt", _ASSET, f"{_ASSET}/"),
    *(_EVENT, f"{_EVENT}/", f"{_ASSET}/events", "by-name", "nothing", f"{_ASSET}/nothing"),
    *(
        f"{_ESCAPED}/file1",
        f"{_ESCAPED}/f*",
        f"{_ESCAPED}/e*",
        f"{_ESCAPED}/events/**",
        "**/nested.txt",
    ),
    [_FILE, f"{_ASSET}/file2", f"{_EVENT}/nested.txt"],
    [_FILE, f"{_ASSET}/events"],
    [f"{_ESCAPED}/file*", f"{_EVENT}/nested.txt"],
)


_TARGETS = ("there", "there/", "new", "new/")
_WAYS = ((False, None), (True, None), (True, 1))


@pytest.mark.parametrize("source", _SOURCES)
def test_what_is_copied(twins: dict[str, Twin], tmp_path: Path, source: Any) -> None:
    """To a directory that is there or not, with and without what is below, and whereto."""

    def copied(twin: Twin, directory: Path, target: str, options: dict[str, Any]) -> Any:
        (directory / "there").mkdir(parents=True)
        to = f"{directory}/{target}"
        outcome = twin.outcome(lambda twin: twin.fs.get(twin.at(source), to, **options))
        return outcome, files(directory)

    for number, (target, way) in enumerate(product(_TARGETS, _WAYS)):
        options = {"recursive": way[0], "maxdepth": way[1]}
        copies = [
            copied(twin, tmp_path / f"{number} {side}", target, options)
            for side, twin in twins.items()
            if side != "memory"
        ]
        assert copies[0] == copies[1]
