"""Bytes that are not what was recorded: never released, and not asked for again at once."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock

from attachfs.archive.identities import AttachmentPath
from attachfs.archive.policy import ATTEMPTS
from attachfs.content.verification import Expected
from attachfs.errors import (
    AttachfsError,
    Busy,
    Mismatch,
    NotFound,
    ServerFault,
    TimedOut,
    Unreachable,
)
from tests.support.archives import PATH, Mounted, build, client, said, scripted, sha256
from tests.support.canned import Asked, reply, start_canned
from tests.support.estates import BLOB_PATHS, Estate

_GOOD, _WRONG = sha256(b"evidence"), sha256(b"EVIDENCE")


async def _expected(mounted: Mounted, path: AttachmentPath) -> Expected:
    record = await mounted.catalog.record(path.holder)
    attachment = record.attachment(path.attachment)
    assert attachment is not None
    info = await mounted.catalog.info(path)
    return Expected(info.size_bytes, attachment.record_digests, info.sha256)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"flip_body_byte": 0}, "not those that were recorded"),
        ({"flip_body_byte": 7}, "not those that were recorded"),
        ({"info_overrides": {"size": 7}}, "8 bytes are offered, 7 were recorded"),
        ({"info_overrides": {"size": 9}}, "8 bytes are offered, 9 were recorded"),
    ],
)
@pytest.mark.parametrize("memory_bytes", [1000, 0])
async def test_a_body_that_is_not_what_was_recorded_is_never_released(
    estate: Estate, fault: dict[str, Any], reason: str, memory_bytes: int
) -> None:
    """Of whatever length or content it is; every digest known is named."""
    path = estate.one(b"evidence")
    estate.demo.edit_blob(path.attachment, **fault)
    async with estate.mounted(memory_bytes=memory_bytes) as mounted:
        reader = mounted.content.open(path, await _expected(mounted, path))
        for size in (1, 100):
            with pytest.raises(Mismatch, match=reason) as caught:
                await reader.read(0, size)
        assert _GOOD in str(caught.value)
        assert mounted.content.last_error(path) == str(caught.value)
        assert mounted.content._memory.currsize == 0
        assert await estate.count(BLOB_PATHS) == 1


@pytest.mark.parametrize(
    ("size", "reason"), [(7, "more than the 7 bytes"), (9, "8 bytes came, 9 were recorded")]
)
@pytest.mark.parametrize("memory_bytes", [1000, 0])
async def test_a_body_whose_length_is_not_announced_is_counted(
    estate: Estate, size: int, reason: str, memory_bytes: int
) -> None:
    """Chunked bodies may be too long or too short as well."""
    estate.demo.set_switches(content_length=False)
    path = estate.one(b"evidence")
    async with estate.mounted(memory_bytes=memory_bytes) as mounted:
        reader = mounted.content.open(path, Expected(size, (_GOOD,), _GOOD))
        with pytest.raises(Mismatch, match=reason):
            await reader.read(0, 1)


@pytest.mark.parametrize(
    ("declared", "overrides", "digests"),
    [
        (_WRONG, {}, {"record": _WRONG, "info": _GOOD}),
        (_GOOD, {"hash": {"alg": "SHA256", "value": _WRONG}}, {"record": _GOOD, "info": _WRONG}),
        ("nonsense", {}, {"record": "nonsense", "info": _GOOD}),
        (None, {"hash": {}}, {}),
    ],
)
async def test_declarations_that_disagree_are_a_mismatch_without_a_download(
    estate: Estate,
    declared: str | None,
    overrides: dict[str, Any],
    digests: dict[str, str],
) -> None:
    """In the record, in /info, or missing in both; each is named."""
    path = estate.one(b"evidence", arc_blob_hash_value=declared)
    estate.demo.edit_blob(path.attachment, info_overrides=overrides)
    async with estate.mounted() as mounted:
        expected = await _expected(mounted, path)
        with pytest.raises(Mismatch) as caught:
            mounted.content.open(path, expected)
        assert caught.value.digests == digests
        assert mounted.content.last_error(path) == str(caught.value)
        assert await estate.count(BLOB_PATHS) == 0


async def test_a_body_that_both_declare_wrongly_is_a_mismatch(estate: Estate) -> None:
    """Even where record and /info agree, what counts is the bytes."""
    path = estate.one(b"evidence", arc_blob_hash_value=_WRONG)
    estate.demo.edit_blob(
        path.attachment, info_overrides={"hash": {"alg": "SHA256", "value": _WRONG}}
    )
    async with estate.mounted() as mounted:
        reader = mounted.content.open(path, await _expected(mounted, path))
        with pytest.raises(Mismatch) as caught:
            await reader.read(0, 8)
    assert caught.value.digests == {"record": _WRONG, "info": _WRONG, "body": _GOOD}


async def test_a_record_without_digest_is_verified_by_info_alone(estate: Estate) -> None:
    """The bytes are checked all the same."""
    path = estate.one(b"evidence", arc_blob_hash_value=None)
    async with estate.mounted() as mounted:
        expected = await _expected(mounted, path)
        assert expected.verified_by == "info"
        assert await mounted.content.open(path, expected).read(0, 8) == b"evidence"


class _Counted:
    """Answer downloads and count them."""

    def __init__(self, answer: bytes | int) -> None:
        self.answer, self.asked = answer, 0

    def __call__(self, _: httpx.Request) -> httpx.Response:
        self.asked += 1
        if isinstance(self.answer, int):
            return said(self.answer)
        return said(200, self.answer)


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(
    ("answer", "kind"),
    [(b"EVIDENCE", Mismatch), (b"short", Mismatch), (404, NotFound), (503, ServerFault)],
)
async def test_a_verdict_is_latched_until_its_time_is_over(
    tmp_path: Path, autojump_clock: MockClock, answer: bytes | int, kind: type[AttachfsError]
) -> None:
    """The kernel repeats a failed read page by page: that costs no request."""
    server = _Counted(answer)
    async with scripted(server) as archive, trio.open_nursery() as nursery:
        content = build(archive, nursery, tmp_path, memory_bytes=1000).content
        expected = Expected(8, (_GOOD,), _GOOD)
        first: AttachfsError | None = None
        for _ in range(69):
            with pytest.raises(kind) as caught:
                await content.open(PATH, expected).read(0, 4096)
            first = first or caught.value
            assert caught.value is first
        assert server.asked == (ATTEMPTS if answer == 503 else 1)
        autojump_clock.jump(5)
        server.answer = b"evidence"
        assert await content.open(PATH, expected).read(0, 8) == b"evidence"
        assert content.last_error(PATH) is None


async def test_a_rate_limit_is_not_waited_for_twice(
    nursery: trio.Nursery, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A server that wants an hour of silence gets it, and the reader an answer at once."""
    limit = {"archivist-rate-limit-reset": "3600"}
    async with scripted(lambda _: said(429, **limit)) as archive:
        content = build(archive, nursery, tmp_path, memory_bytes=1000).content
        with pytest.raises(Busy):
            await content.open(PATH, Expected(8, (_GOOD,), _GOOD)).read(0, 8)
    assert autojump_clock.current_time() == 0


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("memory_bytes", [1000, 0])
async def test_a_connection_that_breaks_in_a_body_is_tried_again(
    nursery: trio.Nursery, tmp_path: Path, memory_bytes: int
) -> None:
    """From the start, and the reader does not notice."""
    answers = [reply(200, b"evid", length=8), reply(200, b"", length=8), reply(200, b"evidence")]
    canned = await start_canned(nursery, lambda _: answers.pop(0))
    async with client(canned.url) as archive:
        content = build(archive, nursery, tmp_path, memory_bytes=memory_bytes).content
        assert await content.open(PATH, Expected(8, (_GOOD,), _GOOD)).read(0, 8) == b"evidence"
    assert len(canned.requests) == 3


@pytest.mark.usefixtures("quick_retries")
async def test_a_connection_that_breaks_every_time_is_unreachable(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Eight times are enough, and a body cut short is never released."""
    canned = await start_canned(nursery, lambda _: reply(200, b"evid", length=8))
    async with client(canned.url) as archive:
        content = build(archive, nursery, tmp_path, memory_bytes=1000).content
        with pytest.raises(Unreachable):
            await content.open(PATH, Expected(8, (_GOOD,), _GOOD)).read(0, 4)
    assert len(canned.requests) == ATTEMPTS


@pytest.mark.usefixtures("quick_retries")
async def test_a_stalled_body_has_a_deadline(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A reader never waits for ever."""

    def script(_: Asked) -> list[bytes | trio.Event]:
        return [reply(200, b"evid", length=8), trio.Event()]

    canned = await start_canned(nursery, script)
    async with client(canned.url, timeout_s=0.05) as archive:
        content = build(archive, nursery, tmp_path, memory_bytes=1000).content
        with pytest.raises(TimedOut):
            await content.open(PATH, Expected(8, (_GOOD,), _GOOD)).read(0, 4)
