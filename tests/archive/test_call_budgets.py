"""How many Python functions a request costs: the one table of budgets, each with its reason.

Times on shared machines vary by half; counts of calls do not. Raise a budget only for something
that is worth the calls, and say what.
"""

import logging
from collections.abc import Awaitable, Callable

import pytest
import structlog

from attachfs.archive import endpoints, traffic
from attachfs.archive.client import Archive
from attachfs.archive.credentials import GivenToken
from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.secrets import Secret
from attachfs.demo.launch import ArchiveConfig
from tests.conftest import serving
from tests.support.archives import client, declared, token_of, uuid_in
from tests.support.callcounts import python_calls

Request = Callable[[Archive, AttachmentPath], Awaitable[object]]

_BODY = bytes(64 * 1024)


async def _info(archive: Archive, path: AttachmentPath) -> None:
    await archive.ask(endpoints.info(path))


async def _small_body(archive: Archive, path: AttachmentPath) -> None:
    body = await archive.take(
        endpoints.download(path, ScanPolicy.BLOCK_BAD),
        max_bytes=len(_BODY),
        check_announced=lambda _: None,
    )
    assert body == _BODY


async def _page(archive: Archive, _: AttachmentPath) -> None:
    page = await archive.ask(endpoints.few(endpoints.assets(), 100))
    assert len(page.entries) == 100


# On a warm connection. One exchange waits once, in one cancel scope: trio takes 70 for both.
_BUDGETS: dict[str, tuple[Request, int]] = {
    # What it takes: policy, breaker and limiter 15, head and pool 20, answer 30, trace 10. It is
    # 62 more where the head and the body come one after the other.
    "/info": (_info, 175),
    # As /info, and the pieces in which it comes.
    "body of 64 KiB": (_small_body, 190),
    # As /info, and three for each entry: identity, time, entry.
    "page of 100": (_page, 500),
}


@pytest.fixture(autouse=True)
def _log_of_a_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop what is below level info by a call that does nothing, as a mount does."""
    filtering = structlog.make_filtering_bound_logger(logging.INFO)
    log = structlog.wrap_logger(structlog.PrintLogger(), wrapper_class=filtering)
    monkeypatch.setattr(traffic, "_log", log.bind())


@pytest.mark.parametrize("name", _BUDGETS)
async def test_a_request_keeps_to_its_budget_of_calls(name: str) -> None:
    """The least of some: a body may come in more pieces than one, on a busy machine."""
    request, budget = _BUDGETS[name]
    with serving(ArchiveConfig(empty=True)) as running:
        blob = running.archive.create_blob(_BODY)
        for _ in range(100):
            asset = running.archive.create_asset({"attributes": {"proof": declared(blob)}})
        path = AttachmentPath(Holder(uuid_in(asset)), uuid_in(blob))
        credentials = GivenToken(Secret(token_of(running)))
        async with client(running.url, credentials=credentials) as archive:
            for _ in range(3):
                await request(archive, path)
            calls = [await python_calls(lambda: request(archive, path)) for _ in range(50)]
    assert min(calls) <= budget
