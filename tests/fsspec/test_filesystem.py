"""The archive through fsspec: what is there, its bytes, and what cannot be."""

import errno
import io
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.callbacks import Callback

from attachfs.demo.estate import SAMPLE
from attachfs.demo.launch import ArchiveConfig
from attachfs.fsspec import ArchivistFileSystem
from tests.conftest import serving
from tests.fsspec.conftest import options_of
from tests.support.archives import sha256
from tests.support.estates import BLOB_PATHS, INFO_PATHS, Estate
from tests.support.mounts import Steering

_CONTAINER = f"assets/{SAMPLE['asset:container']}"
_CERTIFICATE = f"{_CONTAINER}/{SAMPLE['blob:certificate']}"
_SHA256 = "84ad0257bde9c18d0df3ff89a2596d96247dada162a816cce5a828cddb0704ea"
_BAD = (
    f"assets/{SAMPLE['asset:coffee']}/events/{SAMPLE['event:coffee-delivery']}"
    f"/{SAMPLE['blob:bad-invoice']}"
)
_BY_NAME = "by-name/Container CRXU 552210-7~b21c019d9ff2"


def test_it_is_found_by_its_protocol(options: dict[str, Any]) -> None:
    """By what an installation registers, as users write it."""
    url = f"archivist://{_CERTIFICATE}"
    with fsspec.open(url, "rb", **options) as file:
        assert sha256(file.read()) == _SHA256
    fs, path = fsspec.url_to_fs(url, **options)
    assert (type(fs), path) == (ArchivistFileSystem, _CERTIFICATE)
    assert fs.unstrip_protocol(path) == url


def test_directories_are_listed(fs: ArchivistFileSystem) -> None:
    """Every view of the mount, by name or with details; a file is its own listing."""
    assert fs.ls("", detail=False) == ["as-of", "assets", "by-name", "publicassets"]
    assert _BY_NAME in fs.ls("/by-name/".strip("/"), detail=False)
    names = {Path(path).name for path in fs.ls(f"archivist://{_BY_NAME}", detail=False)}
    assert {"certificate.pdf", "certificate.pdf.info.json", "asset.json", "events"} <= names
    kinds = {one["kind"]: one["type"] for one in fs.ls(_CONTAINER)}
    assert kinds == {
        "attachment": "file",
        "sidecar": "file",
        "record": "file",
        "checksums": "file",
        "events": "directory",
    }
    assert fs.ls(_CERTIFICATE, detail=False) == [_CERTIFICATE]
    assert all(one["size"] is not None for one in fs.ls(_CONTAINER))


def test_what_is_in_files_needs_a_right_that_holds_now(
    archive: Steering, options: dict[str, Any]
) -> None:
    """Bytes, and what `/info` says, of every file of every view, cached or not."""
    fs = ArchivistFileSystem(**options, metadata_ttl="0s")
    tops = ["assets", "by-name", "as-of/2023-04-30/assets"]
    paths = [path for top in tops for path in fs.find(top)]
    known = {
        path: (fs.info(path), fs.cat(path))
        for path in paths
        if "SCANNED_BAD" not in str(fs.info(path))
    }
    assert len(known) > 100
    archive.fail_next(path_regex="^/archivist/", status=403, times=10**6)
    for path, (info, _) in known.items():
        with pytest.raises(PermissionError):
            fs.cat_file(path)
        if "info" in info:
            with pytest.raises(PermissionError):
                fs.info(path)


def test_a_path_may_begin_with_a_slash(fs: ArchivistFileSystem) -> None:
    """It is the same path, by the same name, also in patterns and URLs."""
    assert fs.glob("/*") == fs.glob("*") == fs.ls("/", detail=False) == fs.ls("", detail=False)
    assert fs.glob(f"/{_BY_NAME}/*.pdf") == fs.glob(f"archivist:///{_BY_NAME}/*.pdf")
    assert fs.glob(f"/{_BY_NAME}/*.pdf") == [f"{_BY_NAME}/certificate.pdf"]
    assert fs.info(f"//{_CERTIFICATE}")["name"] == _CERTIFICATE
    assert fs.find(f"/{_CONTAINER}/") == fs.find(_CONTAINER)
    assert list(fs.cat([f"/{_CERTIFICATE}", _CERTIFICATE])) == [_CERTIFICATE]


def test_info_is_what_the_archive_says(fs: ArchivistFileSystem) -> None:
    """Of an attachment, all of /info; of anything else, what stat has."""
    info = fs.info(_CERTIFICATE)
    assert (info["name"], info["size"], info["type"]) == (_CERTIFICATE, 812, "file")
    assert info["sha256"] == info["info"]["hash"]["value"] == _SHA256
    assert (info["mime_type"], info["scanned_status"]) == ("application/pdf", "NOT_SCANNED")
    assert info["identity"] == _CERTIFICATE
    assert fs.modified(_CERTIFICATE) == datetime(2023, 3, 14, 15, 40, tzinfo=UTC)
    assert fs.checksum(_CERTIFICATE) == int(_SHA256, 16)
    assert fs.checksum(_CONTAINER) == fs.checksum(_CONTAINER)
    assert fs.size(_CERTIFICATE) == 812
    assert fs.info("assets")["type"] == "directory"
    assert fs.ukey(_CERTIFICATE) == fs.ukey(_CERTIFICATE)


@pytest.mark.parametrize("path", ["assets/nothing", f"{_CONTAINER}/no", "no", f"{_CERTIFICATE}/x"])
def test_what_is_not_there_is_not_found(fs: ArchivistFileSystem, path: str) -> None:
    """However it is asked for, and with the path in the error."""
    assert not fs.exists(path)
    assert not fs.isfile(path)
    assert not fs.isdir(path)
    for ask in (fs.info, fs.cat_file, fs.open, fs.ls, fs.size):
        with pytest.raises(FileNotFoundError) as caught:
            ask(path)
        assert caught.value.filename == path
    with pytest.raises(FileNotFoundError):
        fs.cat(path)
    assert fs.find(path) == []
    assert fs.glob(f"{path}/*") == []


def test_everything_below_is_found(fs: ArchivistFileSystem) -> None:
    """By find, walk and glob alike; directories where they are wanted."""
    files = fs.find(_CONTAINER)
    assert _CERTIFICATE in files
    assert len(files) > 20
    walked = [f"{root}/{name}" for root, _, names in fs.walk(_CONTAINER) for name in names]
    assert sorted(walked) == files
    assert fs.glob(f"{_CONTAINER}/**") == [_CONTAINER, *fs.find(_CONTAINER, withdirs=True)[1:]]
    assert fs.find(_CONTAINER, maxdepth=1) == [
        path for path in files if path.count("/") == _CONTAINER.count("/") + 1
    ]
    assert fs.find(_CERTIFICATE) == [_CERTIFICATE]
    assert fs.glob("by-name/*/*.pdf") == [
        "by-name/Cold chain conformity statement~9651e83fa063/certificate.pdf",
        f"{_BY_NAME}/certificate.pdf",
    ]
    assert fs.glob(f"{_BY_NAME}/*.pdf", detail=True)[f"{_BY_NAME}/certificate.pdf"]["size"] == 812
    assert fs.du(f"{_BY_NAME}/certificate.pdf") == 812


def test_names_cost_no_info(empty: Estate) -> None:
    """Sizes are asked for by whoever wants them, many at a time."""
    holder, uuids = empty.asset(*(b"evidence %d" % number for number in range(50)))
    fs = ArchivistFileSystem(**options_of(empty.running))
    assert len(fs.glob("assets/*/*.info.json")) == 50
    assert len(fs.find(holder.path, maxdepth=1)) == 102
    assert len(next(iter(fs.walk(holder.path)))[2]) == 102
    assert empty.demo.requests(INFO_PATHS) == []
    assert {one["size"] for one in fs.ls(holder.path) if one["kind"] == "attachment"} == {10, 11}
    assert len(empty.demo.requests(INFO_PATHS)) == len(uuids)
    assert empty.demo.requests(BLOB_PATHS) == []


def test_bytes_are_read_by_parts(empty: Estate) -> None:
    """As slices, through an open file in any order, by lines."""
    content = b"".join(b"line %d\n" % number for number in range(400_000))
    path = empty.one(content).path
    fs = ArchivistFileSystem(**options_of(empty.running))
    assert fs.cat_file(path) == content
    for start, end in ((0, 5), (5, None), (-5, None), (None, -5), (10, 10), (20, 10), (9, 10**9)):
        assert fs.cat_file(path, start, end) == content[start:end]
    with fs.open(path) as file:
        assert (file.size, file.read(6)) == (len(content), b"line 0")
        file.seek(3_000_000)
        assert file.read(100) == content[3_000_000:3_000_100]
        file.seek(-7, os.SEEK_END)
        assert file.readline() == content[-7:]
        file.seek(0)
        assert file.read() == content
    assert fs.head(path, 4) == b"line"
    assert fs.tail(path, 4) == content[-4:]
    with fs.open(path, "rt") as text:
        assert next(iter(text)) == "line 0\n"
    with fs.open(path, cache_type="none", block_size=100) as file:
        assert file.read(250) == content[:250]


def test_many_are_fetched_at_a_time(empty: Estate) -> None:
    """In one call, each once; equal bytes once for all."""
    contents = [b"evidence %d" % (number % 30) for number in range(40)]
    holder, uuids = empty.asset(*contents)
    fs = ArchivistFileSystem(**options_of(empty.running))
    paths = [f"{holder.path}/{uuid}" for uuid in uuids]
    assert fs.cat(paths) == dict(zip(paths, contents, strict=True))
    assert len(empty.demo.requests(BLOB_PATHS)) <= 30
    assert fs.cat(holder.path, recursive=True)[paths[0]] == contents[0]
    assert fs.cat_ranges(paths[:3], [0, 1, -1], [2, 3, None]) == [b"ev", b"vi", b"2"]


def test_slices_of_many_are_fetched(fs: ArchivistFileSystem) -> None:
    """By `cat` as well, of one file and of several."""
    pattern = "by-name/*/certificate.pdf"
    assert fs.cat(_CERTIFICATE, start=1, end=4) == b"PDF"
    assert set(fs.cat([_CERTIFICATE], start=0, end=4).values()) == {b"%PDF"}
    assert set(fs.cat(pattern, start=0, end=4).values()) == {b"%PDF"}
    assert fs.cat(_CERTIFICATE, end=-800) == fs.cat_file(_CERTIFICATE)[:-800]


def test_an_error_is_in_the_place_of_bytes_only_where_that_is_wanted(
    fs: ArchivistFileSystem,
) -> None:
    """Whoever asks for ranges and wants errors left out would take it for bytes."""
    with pytest.raises(PermissionError):
        fs.cat_ranges([_BAD], 0, 5, on_error="omit")


def test_no_depth_is_no_depth(fs: ArchivistFileSystem) -> None:
    """It is refused, as fsspec has it, and not taken for all depths."""
    for ask in (
        fs.find,
        fs.glob,
        fs.expand_path,
        fs.du,
        lambda path, **how: [*fs.walk(path, **how)],
    ):
        with pytest.raises(ValueError, match="at least 1"):
            ask(f"{_CONTAINER}", maxdepth=0)


def test_what_fails_is_told_as_it_is_wanted(fs: ArchivistFileSystem) -> None:
    """Raised, left out, or in the place of the bytes."""
    paths = [_CERTIFICATE, _BAD]
    with pytest.raises(PermissionError, match="SCANNED_BAD"):
        fs.cat(paths)
    assert list(fs.cat(paths, on_error="omit")) == [_CERTIFICATE]
    told = fs.cat(paths, on_error="return")
    assert len(told[_CERTIFICATE]) == 812
    assert isinstance(told[_BAD], PermissionError)
    (error,) = fs.cat_ranges([_BAD], 0, 5)
    assert isinstance(error, PermissionError)
    with pytest.raises(PermissionError):
        fs.cat_ranges([_BAD], 0, 5, on_error="raise")
    with pytest.raises(IsADirectoryError):
        fs.cat_file("assets")
    with pytest.raises(IsADirectoryError):
        fs.open(_CONTAINER)


def test_files_are_copied_whole_or_not_at_all(fs: ArchivistFileSystem, tmp_path: Path) -> None:
    """Single ones and whole trees; one that fails leaves nothing in its place."""
    fs.get(_CERTIFICATE, str(tmp_path / "certificate.pdf"))
    assert sha256((tmp_path / "certificate.pdf").read_bytes()) == _SHA256
    fs.get(f"{_CONTAINER}/", str(tmp_path / "container"), recursive=True)
    copied = [path for path in (tmp_path / "container").rglob("*") if path.is_file()]
    assert len(copied) == len(fs.find(_CONTAINER))
    with pytest.raises(PermissionError):
        fs.get(_BAD, str(tmp_path / "bad"))
    assert not (tmp_path / "bad").exists()
    (tmp_path / "mine").write_bytes(b"mine")
    with pytest.raises(PermissionError):
        fs.get(_BAD, str(tmp_path / "mine"))
    assert (tmp_path / "mine").exists()


def test_a_view_is_copied_by_its_name(empty: Estate, tmp_path: Path) -> None:
    """Into a directory that is there, as any other directory is; with a slash, what is in it is."""
    empty.asset(b"evidence", arc_display_name="Lot")
    fs = ArchivistFileSystem(**options_of(empty.running))
    (lot,) = fs.ls("by-name", detail=False)
    there, new, other = (tmp_path / name for name in ("there", "new", "other"))
    there.mkdir()
    for _ in range(2):  # the second time, into one that has it already
        fs.get("by-name", str(there), recursive=True)
        assert [path.name for path in there.iterdir()] == ["by-name"]
        assert [path.name for path in (there / "by-name").iterdir()] == [Path(lot).name]
        assert (there / lot / "0.bin").read_bytes() == b"evidence"
    fs.get("by-name", f"{new}/", recursive=True)
    assert (new / lot / "0.bin").is_file()
    fs.get("by-name/", str(other), recursive=True)
    assert (other / Path(lot).name / "0.bin").is_file()


def test_a_file_is_copied_into_one_that_is_open(fs: ArchivistFileSystem) -> None:
    """Given in the place of a path, or beside it."""
    into, beside = io.BytesIO(), io.BytesIO()
    fs.get_file(_CERTIFICATE, into)
    fs.get_file(_CERTIFICATE, outfile=beside)
    assert sha256(into.getvalue()) == sha256(beside.getvalue()) == _SHA256


class _Progress(Callback):  # type: ignore[misc]  # fsspec has no types
    """Note what there is to copy, and what is copied."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.children: dict[str, _Progress] = {}
        self.seen: list[tuple[int, int]] = []
        self.was_closed_at: int | None = None

    def branched(self, path_1: str, path_2: str, **_: Any) -> "_Progress":  # noqa: ARG002
        return self.children.setdefault(path_1, _Progress())

    def call(self, hook_name: str | None = None, **_: Any) -> None:  # noqa: ARG002
        whole = [child for child in self.children.values() if child.was_closed_at is not None]
        self.seen.append((self.value, len(whole)))

    def close(self) -> None:
        self.was_closed_at = self.value


def test_progress_is_told_as_it_is_made(fs: ArchivistFileSystem, tmp_path: Path) -> None:
    """Of all files once each is copied, and of each by its bytes until it is."""
    progress = _Progress()
    fs.get(f"{_BY_NAME}/*.pdf*", str(tmp_path), callback=progress)
    assert progress.size == progress.value == len(progress.children) == 2
    assert [value for value, _ in progress.seen] == [0, 1, 2]
    assert all(value <= whole for value, whole in progress.seen)
    for path, child in progress.children.items():
        assert child.size == child.value == child.was_closed_at == fs.size(path)
    with fs.open(_CERTIFICATE) as file:
        alone = _Progress()
        fs.get_file(_CERTIFICATE, str(tmp_path / "alone"), callback=alone)
        assert alone.size == alone.value == file.size


def test_wrong_bytes_are_never_seen(
    archive: Steering, fs: ArchivistFileSystem, tmp_path: Path, expected_warnings: set[str]
) -> None:
    """EIO, through whatever way they would come."""
    expected_warnings.add("were recorded")
    archive.edit("blobs", SAMPLE["blob:certificate"], flip_body_byte=20)
    for ask in (
        lambda: fs.cat_file(_CERTIFICATE),
        lambda: fs.cat_file(_CERTIFICATE, 0, 4),
        lambda: fs.open(_CERTIFICATE).read(4),
        lambda: fs.get(_CERTIFICATE, str(tmp_path / "copy")),
    ):
        with pytest.raises(OSError, match="not those that were recorded") as caught:
            ask()
        assert caught.value.errno == errno.EIO
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda fs: fs.open(_CERTIFICATE, "wb"),
        lambda fs: fs.open(_CERTIFICATE, "ab"),
        lambda fs: fs.mkdir("assets/new"),
        lambda fs: fs.makedirs("assets/new", exist_ok=True),
        lambda fs: fs.rm(_CERTIFICATE),
        lambda fs: fs.rm_file(_CERTIFICATE),
        lambda fs: fs.rmdir("assets"),
        lambda fs: fs.mv(_CERTIFICATE, "new"),
        lambda fs: fs.cp_file(_CERTIFICATE, "new"),
        lambda fs: fs.copy(_CERTIFICATE, "new"),
        lambda fs: fs.pipe("new", b"bytes"),
        lambda fs: fs.pipe_file("new", b"bytes"),
        lambda fs: fs.put(__file__, "new"),
        lambda fs: fs.put_file(__file__, "new"),
        lambda fs: fs.touch("new"),
        lambda fs: fs.write_text("new", "text"),
    ],
)
def test_nothing_is_changed(fs: ArchivistFileSystem, change: Any) -> None:
    """EROFS, whatever would."""
    with pytest.raises(OSError, match="read-only") as caught:
        change(fs)
    assert caught.value.errno == errno.EROFS


def test_a_server_that_is_away_is_not_taken_for_deleted(
    tmp_path: Path, expected_warnings: set[str]
) -> None:
    """Whether something exists cannot be known then, and that is said."""
    expected_warnings.update(("cannot be reached", "connection failed", "retry_scheduled"))
    expected_warnings.add("token file unusable")  # it goes with the archive
    with ExitStack() as stack:
        running = stack.enter_context(serving(ArchiveConfig(empty=True)))
        path = Estate(running, tmp_path).one().path
        fs = ArchivistFileSystem(**options_of(running), timeout="1s", metadata_ttl=0, stale_ok=0)
        assert fs.exists(path)
        stack.close()
        for ask in (fs.exists, fs.isfile, fs.isdir, fs.find, fs.cat_file, _walked_by(fs)):
            with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno tells
                ask(path)
            assert caught.value.errno == errno.EHOSTUNREACH


def _walked_by(fs: ArchivistFileSystem) -> Callable[[str], object]:
    return lambda path: list(fs.walk(path))


def test_a_block_holds_a_byte_at_least(fs: ArchivistFileSystem) -> None:
    """Blocks of -1 were the file without its last byte."""
    for size_bytes in (0, -1):
        with pytest.raises(ValueError, match="block_size"):
            fs.open(_CERTIFICATE, block_size=size_bytes)


def test_directories_that_cannot_be_walked_are_told(
    empty: Estate, expected_warnings: set[str]
) -> None:
    """At any depth, by an error or to a function, where that is wanted."""
    expected_warnings.add("may not list assets")
    fs = ArchivistFileSystem(**options_of(empty.running))
    empty.demo.set_switches(deny_listing=True)
    told: list[OSError] = []
    walked = [root for root, _, _ in fs.walk("", on_error=told.append)]
    assert walked == ["", "as-of", "publicassets"]
    assert {error.filename for error in told} == {"assets", "by-name"}
    with pytest.raises(PermissionError):
        list(fs.walk("", on_error="raise"))
    assert [root for root, _, _ in fs.walk("")] == walked


def test_what_is_below_a_directory_that_is_refused_is_not_half_found(
    empty: Estate, expected_warnings: set[str]
) -> None:
    """It is one error of Python's, however many directories were refused."""
    expected_warnings.add("may not list assets")
    fs = ArchivistFileSystem(**options_of(empty.running))
    empty.demo.set_switches(deny_listing=True)
    for ask, path in ((fs.find, ""), (fs.du, ""), (fs.glob, "**")):
        with pytest.raises(PermissionError):
            ask(path)


def test_what_is_new_is_seen_when_it_is_asked_for(empty: Estate) -> None:
    """After `invalidate_cache`, whatever is believed."""
    empty.one()
    fs = ArchivistFileSystem(**options_of(empty.running), metadata_ttl="1h")
    assert len(fs.ls("assets")) == 1
    empty.one()
    assert len(fs.ls("assets")) == 1
    fs.invalidate_cache()
    assert len(fs.ls("assets")) == 2


def test_it_pickles_without_secrets(options: dict[str, Any], fs: ArchivistFileSystem) -> None:
    """The path of a file with a token travels, the token does not."""
    pickled = pickle.dumps(fs)
    token = Path(options["token_file"]).read_text().split()[-1]
    assert options["token_file"].encode() in pickled
    assert token.encode() not in pickled
    assert pickle.loads(pickled) is fs  # noqa: S301 - it is ours


def test_threads_share_what_is_open(fs: ArchivistFileSystem, options: dict[str, Any]) -> None:
    """Each has an instance of its own, as fsspec has it; the archive is opened once."""

    def read(_: int) -> tuple[ArchivistFileSystem, bytes]:
        own = ArchivistFileSystem(**options)
        return own, own.cat_file(_CERTIFICATE)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(read, range(64)))
    assert {sha256(data) for _, data in answers} == {_SHA256}
    assert {id(own.portal) for own, _ in answers} == {id(fs.portal)}


def _read_in_a_process(fs: ArchivistFileSystem, path: str, queue: Any) -> None:
    queue.put((sha256(fs.cat_file(path)), threading.active_count()))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.process
def test_processes_have_it_too(fs: ArchivistFileSystem, method: str) -> None:
    """Also such as are a fork of one that has it open, whose own goes on."""
    assert sha256(fs.cat_file(_CERTIFICATE)) == _SHA256
    context: Any = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=_read_in_a_process, args=(fs, _CERTIFICATE, queue))
    process.start()
    assert queue.get(timeout=30)[0] == _SHA256
    process.join(30)
    assert process.exitcode == 0
    assert sha256(fs.cat_file(_CERTIFICATE)) == _SHA256


@pytest.mark.process
def test_a_file_that_is_open_is_opened_again_after_a_fork(fs: ArchivistFileSystem) -> None:
    """And read on from where it was, on both sides."""
    with fs.open(_CERTIFICATE, cache_type="none") as file:
        assert file.read(4) == b"%PDF"
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(writing, file.read(4))
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert os.read(reading, 100) == b"-1.4"
        assert file.read(4) == b"-1.4"
        os.close(reading)
        os.close(writing)
