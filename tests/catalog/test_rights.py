"""Who may read now: what is confirmed, by what, and what a server in trouble changes of it."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import pytest
import trio
from trio.testing import MockClock

from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.catalog.catalog import Catalog
from attachfs.errors import (
    AttachfsError,
    Busy,
    Denied,
    NotFound,
    ServerFault,
    Unauthenticated,
    Unreachable,
)
from tests.catalog.collections import uuid
from tests.catalog.service import Service
from tests.support.archives import ATTACHMENT, OTHER, index_in_memory, said, scripted, sha256

_TTL_S = 60.0
_STALE_OK_S = 3600.0
_THEN = ("2010-01-01T00:00:00Z", 1_262_304_000 * 10**9)
_REFUSALS = [(401, Unauthenticated), (403, Denied), (404, NotFound)]


class _Attached(Service):
    """Have one asset with an attachment, and one that its record does not name."""

    def __init__(self) -> None:
        super().__init__()
        proof = {"arc_attribute_type": "arc_attachment", "arc_blob_identity": f"blobs/{ATTACHMENT}"}
        self.holder = self.create(1, at_s=1e9, proof=proof)
        self.named = AttachmentPath(self.holder, ATTACHMENT)
        self.unnamed = AttachmentPath(self.holder, OTHER)
        self.status = 200

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.status != 200:
            self.asked.append(request.url.path)
            return said(self.status)
        if not request.url.path.endswith("/info"):
            return await super().__call__(request)
        self.asked.append("info")
        await trio.sleep(self.delay_s)
        trouble = self.trouble("info")
        if isinstance(trouble, Exception):
            raise trouble
        return said(200, {"size": 1, "hash": {"alg": "SHA256", "value": sha256(b"x")}})


@pytest.fixture
def service() -> _Attached:
    """An asset with attachments."""
    return _Attached()


@asynccontextmanager
async def _catalog(service: _Attached, nursery: trio.Nursery) -> AsyncIterator[Catalog]:
    async with scripted(service) as archive:
        yield Catalog(archive, nursery, index_in_memory(nursery), stale_ok_s=_STALE_OK_S)


def _away(_path: str) -> Exception:
    return httpx.ConnectError("nobody there")


@pytest.mark.parametrize("named", [True, False])
async def test_a_server_out_of_reach_extends_a_right_and_not_for_ever(
    nursery: trio.Nursery, autojump_clock: MockClock, service: _Attached, *, named: bool
) -> None:
    """For as long as the user allowed beyond its lifetime."""
    path = service.named if named else service.unnamed
    async with _catalog(service, nursery) as catalog:
        await catalog.confirmed_info(path)
        service.trouble = _away
        autojump_clock.jump(_TTL_S + _STALE_OK_S - 30)
        assert (await catalog.confirmed_info(path)).size_bytes == 1
        autojump_clock.jump(40)
        with pytest.raises(Unreachable):
            await catalog.confirmed_info(path)


@pytest.mark.parametrize("named", [True, False])
async def test_what_is_known_is_had_within_two_seconds_of_an_outage_and_then_at_once(
    nursery: trio.Nursery, autojump_clock: MockClock, service: _Attached, *, named: bool
) -> None:
    """However many ask, whatever for; what is not known waits for the server to come back."""
    path = service.named if named else service.unnamed
    async with _catalog(service, nursery) as catalog:
        await catalog.confirmed_info(path)
        service.trouble = _away
        for _ in range(3):
            autojump_clock.jump(_TTL_S)
            begun_s = trio.current_time()
            async with trio.open_nursery() as readers:
                for _ in range(20):
                    readers.start_soon(partial(catalog.confirmed_info, path))
            assert trio.current_time() - begun_s <= 2
            for _ in range(8):
                await trio.sleep(0.5)
                begun_s = trio.current_time()
                await catalog.confirmed_info(path)
                assert trio.current_time() == begun_s
        begun_s = trio.current_time()
        with pytest.raises(Unreachable):
            await catalog.confirmed_info(AttachmentPath(path.holder, uuid(9)))


@pytest.mark.parametrize(("status", "kind"), _REFUSALS)
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("before", ["fresh", "away"])
async def test_a_refusal_ends_a_right_once_it_is_asked_for(
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    service: _Attached,
    *,
    status: int,
    kind: type[AttachfsError],
    named: bool,
    before: str,
) -> None:
    """Also where the server was out of reach a moment ago; afterwards nothing is left of it."""
    path = service.named if named else service.unnamed
    async with _catalog(service, nursery) as catalog:
        await catalog.confirmed_info(path)
        autojump_clock.jump(_TTL_S)
        if before == "away":
            service.trouble = _away
            await catalog.confirmed_info(path)
            autojump_clock.jump(6)
        service.status = status
        for trouble in (lambda _: None, _away):
            service.trouble = trouble
            with pytest.raises(kind):
                await catalog.confirmed_info(path)
        assert catalog.known_record(path.holder) is None
        service.status, service.trouble = 200, _away
        autojump_clock.jump(6)
        with pytest.raises((Unreachable, kind)):
            await catalog.confirmed_info(path)


async def test_a_record_of_the_past_is_confirmed_like_one_of_today(
    nursery: trio.Nursery, autojump_clock: MockClock, service: _Attached
) -> None:
    """It cannot change, and so is never asked for again to be listed; who reads it has to ask."""
    async with _catalog(service, nursery) as catalog:
        await catalog.record_at(service.holder, *_THEN)
        service.took()
        await catalog.confirmed_record_at(service.holder, _THEN[0])
        autojump_clock.jump(_TTL_S)
        await catalog.record_at(service.holder, *_THEN)
        assert service.took() == []
        for _ in range(2):
            await catalog.confirmed_record_at(service.holder, _THEN[0])
        assert service.took() == [service.holder.path]


@pytest.mark.parametrize(("status", "kind"), [*_REFUSALS, (500, ServerFault)])
async def test_what_a_server_answers_ends_the_right_to_a_record_of_the_past(
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    service: _Attached,
    status: int,
    kind: type[AttachfsError],
) -> None:
    """One out of reach does not, for as long as the user allowed."""
    async with _catalog(service, nursery) as catalog:
        await catalog.record_at(service.holder, *_THEN)
        autojump_clock.jump(_TTL_S)
        service.trouble = _away
        await catalog.confirmed_record_at(service.holder, _THEN[0])
        autojump_clock.jump(6)
        service.status = status
        with pytest.raises(kind):
            await catalog.confirmed_record_at(service.holder, _THEN[0])
        service.status = 200
        autojump_clock.jump(_STALE_OK_S)
        with pytest.raises((Unreachable, kind)):
            await catalog.confirmed_record_at(service.holder, _THEN[0])


async def test_a_slow_server_is_waited_for(
    nursery: trio.Nursery, autojump_clock: MockClock, service: _Attached
) -> None:
    """It is there: no right is taken for granted because it takes its time."""
    async with _catalog(service, nursery) as catalog:
        await catalog.confirmed_info(service.named)
        autojump_clock.jump(_TTL_S)
        service.delay_s = 9
        began_s = trio.current_time()
        await catalog.confirmed_info(service.named)
        assert trio.current_time() == began_s + 9


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429, 400])
async def test_a_server_that_answers_with_errors_extends_no_right(
    nursery: trio.Nursery, autojump_clock: MockClock, service: _Attached, status: int
) -> None:
    """It could be asked, and confirmed nothing; and nothing known is lost by that."""
    async with _catalog(service, nursery) as catalog:
        await catalog.confirmed_info(service.named)
        autojump_clock.jump(_TTL_S)
        service.status = status
        with pytest.raises(AttachfsError) as caught:
            await catalog.confirmed_info(service.named)
        assert not isinstance(caught.value, Denied | NotFound)
        assert catalog.known_record(service.holder) is not None
        service.status = 200
        await catalog.confirmed_info(service.named)


@pytest.mark.parametrize("status", [408, 502, 503, 504])
async def test_trouble_with_one_thing_extends_no_right_to_another(
    nursery: trio.Nursery, autojump_clock: MockClock, service: _Attached, status: int
) -> None:
    """Its server can be asked for that, and is."""
    async with _catalog(service, nursery) as catalog:
        for path in (service.named, service.unnamed):
            await catalog.confirmed_info(path)
        autojump_clock.jump(_TTL_S)
        service.status = status
        with pytest.raises(AttachfsError):
            await catalog.confirmed_info(service.named)
        service.status = 403
        with pytest.raises(Denied):
            await catalog.confirmed_info(service.unnamed)


async def test_a_listing_confirms_what_it_lists(
    nursery: trio.Nursery, autojump_clock: MockClock, service: _Attached
) -> None:
    """It carries whole records, told to this token just now."""
    async with _catalog(service, nursery) as catalog:
        await catalog.confirmed_info(service.named)
        autojump_clock.jump(_TTL_S)
        await catalog.assets()
        service.took()
        await catalog.confirmed_info(service.named)
        assert service.took() == []


async def test_a_right_is_that_of_the_record_that_names_the_attachment_now(
    nursery: trio.Nursery, autojump_clock: MockClock, service: _Attached
) -> None:
    """Once it no longer does, the attachment itself is asked for, within each lifetime."""
    async with _catalog(service, nursery) as catalog:
        await catalog.confirmed_info(service.named)
        service.assets[service.holder.asset]["attributes"] = {}
        autojump_clock.jump(_TTL_S)
        service.took()
        await catalog.confirmed_info(service.named)
        assert service.took() == [service.holder.path, "info"]
        await catalog.confirmed_info(service.named)
        assert service.took() == []


@pytest.mark.usefixtures("quick_retries")
async def test_waiting_in_our_own_queue_extends_no_right(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Thousands of requests that were not sent in time do not make a server one out of reach."""
    service = Service()
    holder = service.create(1, at_s=1e9)
    errors: Counter[type[AttachfsError]] = Counter()

    async with scripted(service) as archive:
        catalog = Catalog(archive, nursery, index_in_memory(nursery))
        await catalog.confirmed_record(holder)
        autojump_clock.jump(61)
        service.delay_s = 3

        async def look_up(number: int) -> None:
            try:
                await catalog.record(Holder(uuid(number)))
            except AttachfsError as error:
                errors[type(error)] += 1

        async with trio.open_nursery() as readers:
            for number in range(2, 3002):
                readers.start_soon(look_up, number)
        assert set(errors) == {NotFound, Busy}
        service.trouble, service.delay_s = lambda _path: said(403), 0
        with pytest.raises(Denied):
            await catalog.confirmed_record(holder)
