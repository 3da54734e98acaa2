"""Downloads under way: read while they come, gone on with when they break, never false."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from attachfs.content.store import Draft, Store
from attachfs.content.stored import RunningDigest, StoredBody
from attachfs.content.verification import Expected
from attachfs.errors import AttachfsError, Mismatch
from tests.support.archives import PATH, build, client, sha256
from tests.support.canned import Asked, Part, reply, start_canned
from tests.support.estates import BLOB_PATHS, Estate
from tests.support.mounts import PATIENCE_S
from tests.support.trees import read

_MIB = 1024 * 1024
_CONTENT = os.urandom(6 * _MIB + 321)


def _expected(content: bytes = _CONTENT) -> Expected:
    return Expected(len(content), (sha256(content),), None)


def _files(cache: Path) -> list[Path]:
    """Return the objects and drafts below a directory."""
    return [
        path for path in cache.rglob("*") if path.is_file() and path.name not in ("ledger", "key")
    ]


@contextmanager
def _raises(kind: type[AttachfsError]) -> Iterator[None]:
    with pytest.raises(kind):
        yield


async def test_the_beginning_is_read_long_before_the_end(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """What is below the watermark is there at once; the end waits for the hash of the whole."""
    rest = trio.Event()
    half = len(_CONTENT) // 2
    head = reply(200, b"", length=len(_CONTENT))

    def script(_: Asked) -> list[Part]:
        return [head + _CONTENT[:half], rest, _CONTENT[half:]]

    canned = await start_canned(nursery, script)
    async with client(canned.url) as archive:
        content = build(archive, nursery, tmp_path, stored=True).content
        reader = content.open(PATH, _expected())
        assert await reader.read(0, 4096) == _CONTENT[:4096]
        with trio.move_on_after(0.05) as scope:
            await reader.read(len(_CONTENT) - 10, 10)
        assert scope.cancelled_caught
        rest.set()
        assert await reader.read(len(_CONTENT) - 10, 100) == _CONTENT[-10:]
        assert await reader.read(0, len(_CONTENT)) == _CONTENT
    assert len(canned.requests) == 1


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("ranges", [True, False])
async def test_a_download_that_breaks_is_gone_on_with(
    nursery: trio.Nursery, tmp_path: Path, *, ranges: bool
) -> None:
    """With Range where the server knows it, from the start where not; no reader notices."""
    size = len(_CONTENT)
    cuts = [2 * _MIB, 5 * _MIB]

    def script(asked: Asked) -> bytes:
        begin = int(asked.headers.get("range", "bytes=0-")[6:-1]) if ranges else 0
        end = cuts.pop(0) if cuts else size
        if not begin:
            return reply(200, _CONTENT[:end], length=size)
        where = f"bytes {begin}-{size - 1}/{size}"
        return reply(206, _CONTENT[begin:end], length=size - begin, Content_Range=where)

    canned = await start_canned(nursery, script)
    async with client(canned.url) as archive:
        content = build(archive, nursery, tmp_path, stored=True).content
        reader = content.open(PATH, _expected())
        got = b""
        while len(got) < size:
            got += await reader.read(len(got), 128 * 1024)
    assert got == _CONTENT
    assert len(canned.requests) == 3


@pytest.mark.usefixtures("quick_retries")
async def test_other_bytes_the_second_time_are_a_mismatch(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Even where the whole of the second would be right: readers have had the first."""
    wrong = bytes([_CONTENT[0] ^ 1]) + _CONTENT[1 : 3 * _MIB]
    answers = [reply(200, wrong, length=len(_CONTENT)), reply(200, _CONTENT)]
    canned = await start_canned(nursery, lambda _: answers.pop(0))
    async with client(canned.url) as archive:
        content = build(archive, nursery, tmp_path, stored=True).content
        reader = content.open(PATH, _expected())
        with _raises(Mismatch):
            await reader.read(0, len(_CONTENT))
    assert _files(tmp_path) == []


@pytest.mark.parametrize("position", [0, 3 * _MIB, len(_CONTENT) - 1])
@pytest.mark.parametrize("stored", [True, False])
async def test_a_flipped_byte_never_reaches_the_end(
    estate: Estate, tmp_path: Path, position: int, *, stored: bool
) -> None:
    """The last block is withheld, nothing is kept, and the verdict is latched."""
    path = estate.one(_CONTENT)
    estate.demo.edit_blob(path.attachment, flip_body_byte=position)
    async with estate.mounted(stored=stored) as mounted:
        for _ in range(3):
            reader = mounted.content.open(path, _expected())
            with _raises(Mismatch):
                await reader.read(len(_CONTENT) - 1, 1)
            reader.close()
        assert await estate.count() == 1
        assert "body=" in (mounted.content.last_error(path) or "")
    assert _files(tmp_path) == []


@pytest.mark.parametrize("limit", [0, len(_CONTENT) - 1])
async def test_what_is_verified_first_is_not_read_before(
    nursery: trio.Nursery, tmp_path: Path, limit: int
) -> None:
    """Up to --verify-first, no byte is released before the hash of the whole agrees."""
    rest = trio.Event()
    head = reply(200, b"", length=len(_CONTENT))
    canned = await start_canned(nursery, lambda _: [head + _CONTENT[:-1], rest, _CONTENT[-1:]])
    async with client(canned.url) as archive:
        first = len(_CONTENT) if limit else 0
        mounted = build(archive, nursery, tmp_path, verify_first_bytes=first, stored=True)
        content = mounted.content
        reader = content.open(PATH, _expected())
        with trio.move_on_after(0.2 if limit else 10) as scope:
            await reader.read(0, 10)
        assert scope.cancelled_caught is bool(limit)
        rest.set()
        assert await reader.read(0, 10) == _CONTENT[:10]


async def test_many_readers_share_one_download(estate: Estate) -> None:
    """64 of one file; and two attachments with equal bytes are one."""
    paths = [estate.one(_CONTENT) for _ in range(2)]
    async with estate.mounted(stored=True) as mounted:

        async def read(number: int) -> None:
            reader = mounted.content.open(paths[number % 2], _expected())
            begin = number * 100_000
            assert await reader.read(begin, 1000) == _CONTENT[begin : begin + 1000]
            reader.close()

        async with trio.open_nursery() as readers:
            for number in range(64):
                readers.start_soon(read, number)
        assert await estate.count() == 1


async def test_the_last_reader_to_leave_ends_the_download(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Its draft goes, and the next reader begins anew."""
    rest = trio.Event()
    half = reply(200, b"", length=len(_CONTENT)) + _CONTENT[: 3 * _MIB]
    answers: list[list[Part]] = [[half, rest, b"x"], [reply(200, _CONTENT)]]
    canned = await start_canned(nursery, lambda _: answers.pop(0))
    async with client(canned.url) as archive:
        content = build(archive, nursery, tmp_path, stored=True).content
        reader = content.open(PATH, _expected())
        assert await reader.read(0, 10) == _CONTENT[:10]
        reader.close()
        again = content.open(PATH, _expected())
        assert await again.read(len(_CONTENT) - 5, 5) == _CONTENT[-5:]
        rest.set()
    assert len(canned.requests) == 2


async def test_a_refusal_of_one_path_says_nothing_of_another(estate: Estate) -> None:
    """Equal bytes, two paths, one of them denied."""
    good, bad = estate.one(_CONTENT), estate.one(_CONTENT)
    estate.demo.edit_asset(bad.holder.asset, deny=True)
    outcomes: dict[str, object] = {}
    async with estate.mounted(stored=True) as mounted:

        async def read(name: str, path: object) -> None:
            reader = mounted.content.open(path, _expected())  # type: ignore[arg-type]
            try:
                outcomes[name] = await reader.read(0, 5)
            except AttachfsError as error:
                outcomes[name] = type(error).__name__

        async with trio.open_nursery() as readers:
            readers.start_soon(read, "bad", bad)
            readers.start_soon(read, "good", good)
    assert outcomes["good"] == _CONTENT[:5]


async def test_a_body_is_readable_while_it_is_stored_and_stored_though_all_ends(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is verified is not waited for, fetched again, or lost."""
    path = estate.one(_CONTENT)
    go_on = threading.Event()
    keep = Store.keep

    def slowly(store: Store, draft: Draft, digest: RunningDigest) -> StoredBody:
        assert go_on.wait(PATIENCE_S)
        return keep(store, draft, digest)

    monkeypatch.setattr(Store, "keep", slowly)
    try:
        async with estate.mounted(stored=True) as mounted:
            for _ in range(2):
                assert await read(mounted.fs, path.path) == _CONTENT
            assert await estate.count(BLOB_PATHS) == 1
            trio.lowlevel.current_trio_token().run_sync_soon(go_on.set)
    finally:
        go_on.set()
    objects = [file for file in _files(tmp_path) if "sha256" in file.parts]
    assert [file.name for file in objects] == [sha256(_CONTENT)[2:]]


async def test_a_body_that_was_read_can_be_waited_for_until_it_is_stored(
    estate: Estate, tmp_path: Path
) -> None:
    """By its SHA-256, or with all others; what is not under way is not waited for."""
    path, other = estate.one(_CONTENT), estate.one(_CONTENT[1:])
    async with estate.mounted(stored=True) as mounted:
        await mounted.content.settle()
        assert await read(mounted.fs, path.path) == _CONTENT
        await mounted.content.settle(sha256(_CONTENT))
        assert await mounted.content.holds(sha256(_CONTENT), len(_CONTENT))
        assert await read(mounted.fs, other.path) == _CONTENT[1:]
        await mounted.content.settle()
        assert await mounted.content.holds(sha256(_CONTENT[1:]), len(_CONTENT) - 1)
    assert len([file for file in _files(tmp_path) if "sha256" in file.parts]) == 2
