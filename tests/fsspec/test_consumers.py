"""Libraries that people have read the archive through fsspec, each the real one."""

import io
import zipfile
from typing import Any

import fsspec
import pytest
from PIL import Image
from upath import UPath

from attachfs.demo.estate import SAMPLE
from attachfs.fsspec import ArchivistFileSystem
from tests.fsspec.conftest import options_of
from tests.support.estates import Estate
from tests.support.lazy import LazyModule

duckdb, pd, pa = LazyModule("duckdb"), LazyModule("pandas"), LazyModule("pyarrow")
pa_dataset, pa_fs = LazyModule("pyarrow.dataset"), LazyModule("pyarrow.fs")
pa_parquet = LazyModule("pyarrow.parquet")

_CSV = (
    f"assets/{SAMPLE['asset:container']}/events/{SAMPLE['event:container-arrival']}"
    f"/{SAMPLE['blob:temperature-log']}"
)
_PHOTO = f"assets/{SAMPLE['asset:container']}/{SAMPLE['blob:container-photo']}"


@pytest.fixture
def measured(empty: Estate) -> tuple[ArchivistFileSystem, dict[str, Any], list[str]]:
    """Three Parquet files of 1,000 rows each, and where they are."""
    paths = []
    for number in range(3):
        table = pa.table({"n": range(number * 1000, number * 1000 + 1000), "file": [number] * 1000})
        sink = io.BytesIO()
        pa_parquet.write_table(table, sink, row_group_size=100)
        paths.append(empty.one(sink.getvalue()).path)
    options = options_of(empty.running)
    return ArchivistFileSystem(**options), options, paths


@pytest.mark.own_process
def test_pandas_reads_a_table(options: dict[str, Any], fs: ArchivistFileSystem) -> None:
    """By its URL, all of it and by chunks."""
    url = f"archivist://{_CSV}"
    table = pd.read_csv(url, storage_options=options)
    assert list(table.columns[:2]) == ["reading", "temperature_c"]
    assert len(table) == fs.cat_file(_CSV).count(b"\n") - 1
    with pd.read_csv(url, storage_options=options, chunksize=10_000) as chunks:
        assert sum(map(len, chunks)) == len(table)


@pytest.mark.own_process
def test_pandas_reads_parquet(
    measured: tuple[ArchivistFileSystem, dict[str, Any], list[str]],
) -> None:
    """Which opens URLs in another way."""
    _, options, paths = measured
    table = pd.read_parquet(f"archivist://{paths[1]}", storage_options=options)
    assert table["n"].sum() == sum(range(1000, 2000))


@pytest.mark.own_process
def test_pyarrow_reads_a_dataset(
    measured: tuple[ArchivistFileSystem, dict[str, Any], list[str]],
) -> None:
    """Many files as one table, of which only some rows are wanted."""
    fs, _, paths = measured
    dataset = pa_dataset.dataset(paths, filesystem=fs, format="parquet")
    assert dataset.count_rows() == 3000
    wanted = dataset.to_table(filter=pa_dataset.field("n") >= 2990)
    assert wanted["n"].to_pylist() == list(range(2990, 3000))
    found = pa_fs.PyFileSystem(pa_fs.FSSpecHandler(fs))
    selector = pa_fs.FileSelector("assets", recursive=True)
    assert set(paths) <= {info.path for info in found.get_file_info(selector)}


@pytest.mark.own_process
def test_duckdb_queries_files(
    measured: tuple[ArchivistFileSystem, dict[str, Any], list[str]],
) -> None:
    """One, and those that a pattern matches."""
    fs, _, paths = measured
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        query = f"SELECT sum(n) FROM read_parquet('archivist://{paths[0]}')"  # noqa: S608
        assert connection.sql(query).fetchall() == [(sum(range(1000)),)]
        uuids = "','".join(f"archivist://{path}" for path in paths)
        rows = connection.sql(
            f"SELECT file, count(*) FROM read_parquet(['{uuids}']) GROUP BY file ORDER BY file"  # noqa: S608
        ).fetchall()
        assert rows == [(0, 1000), (1, 1000), (2, 1000)]


@pytest.mark.own_process
def test_duckdb_finds_by_pattern(fs: ArchivistFileSystem) -> None:
    """In by-name/, where files have their extensions."""
    query = "SELECT count(*) FROM read_csv('archivist://by-name/Container*/events/*/*.csv')"
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        rows = connection.sql(query).fetchall()
    assert rows == [(fs.cat_file(_CSV).count(b"\n") - 1,)]


def test_paths_are_walked(options: dict[str, Any]) -> None:
    """As those of pathlib are."""
    root = UPath("archivist://by-name", **options)
    container = next(path for path in root.iterdir() if path.name.startswith("Container"))
    certificate = container / "certificate.pdf"
    assert certificate.is_file()
    assert not (container / "nothing").exists()
    assert certificate.read_bytes()[:4] == b"%PDF"
    assert certificate.stat().st_size == 812
    assert certificate in list(container.glob("*.pdf"))


def test_pictures_are_opened(fs: ArchivistFileSystem) -> None:
    """From an open file."""
    with fs.open(_PHOTO) as file, Image.open(file) as image:
        image.load()
        assert image.format == "JPEG"


def test_archives_inside_are_read(empty: Estate) -> None:
    """From their ends, as a zip is, without reading all of it; also by fsspec's own chains."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("report.txt", "all well")
        archive.writestr("large.bin", bytes(3_000_000))
    path = empty.one(sink.getvalue()).path
    options = options_of(empty.running)
    with ArchivistFileSystem(**options).open(path) as file, zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["report.txt", "large.bin"]
        assert archive.read("report.txt") == b"all well"
        assert archive.testzip() is None
    chain = f"zip://report.txt::archivist://{path}"
    with fsspec.open(chain, "rt", archivist=options) as text:
        assert text.read() == "all well"
