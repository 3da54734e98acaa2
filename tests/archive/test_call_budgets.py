"""How many Python functions a request costs: the one table of budgets, each with its reason.

Times on shared machines vary by half; counts of calls do not. Raise a budget only for something
that is worth the calls, and say what.
"""

import socket
from collections.abc import Awaitable, Callable
from statistics import median

import pytest

from attachfs.archive import endpoints
from attachfs.archive.client import Archive
from attachfs.archive.credentials import GivenToken
from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.http.connection import SocketConnection
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.secrets import Secret
from attachfs.demo.launch import ArchiveConfig
from tests.conftest import serving
from tests.support.archives import client, declared, token_of, uuid_in
from tests.support.callcounts import log_as_a_mount, python_calls

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


# On a warm connection. One exchange waits once, which is 35 functions of trio.
_BUDGETS: dict[str, tuple[Request, int]] = {
    # What it takes: policy, breaker and limiter 15, head and pool 20, answer 30, trace 10. It is
    # 62 more where the head and the body come one after the other.
    "/info": (_info, 150),
    # As /info, without parsing.
    "body of 64 KiB": (_small_body, 140),
    # As /info, and three for each entry: identity, time, entry.
    "page of 100": (_page, 455),
}


@pytest.fixture(autouse=True)
def _log_of_a_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop what is below level info by a call that does nothing, as a mount does."""
    log_as_a_mount(monkeypatch)


@pytest.mark.parametrize("name", _BUDGETS)
async def test_a_request_keeps_to_its_budget_of_calls(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer is waited for until all of it is there: else each piece would be a wait."""
    request, budget = _BUDGETS[name]
    with serving(ArchiveConfig(empty=True)) as running:
        blob = running.archive.create_blob(_BODY)
        for _ in range(100):
            asset = running.archive.create_asset({"attributes": {"proof": declared(blob)}})
        path = AttachmentPath(Holder(uuid_in(asset)), uuid_in(blob))
        credentials = GivenToken(Secret(token_of(running)))
        async with client(running.url, credentials=credentials) as archive:
            with monkeypatch.context() as patches:
                received = _Received(patches)
                sizes = [await received.size_bytes(request, archive, path) for _ in range(3)]
            received.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, min(sizes))
            calls = [await python_calls(lambda: request(archive, path)) for _ in range(10)]
    assert median(calls) <= budget


class _Received:
    """Count the bytes of answers, and keep the socket that they come from."""

    def __init__(self, patches: pytest.MonkeyPatch) -> None:
        self._size_bytes = 0
        self.socket: socket.socket
        receive_into = SocketConnection.receive_into

        async def counted(connection: SocketConnection, buffer: memoryview) -> int:
            got = await receive_into(connection, buffer)
            self._size_bytes += got
            self.socket = connection.socket
            return got

        patches.setattr(SocketConnection, "receive_into", counted)

    async def size_bytes(self, request: Request, archive: Archive, path: AttachmentPath) -> int:
        """Return how many bytes the answer to a request has."""
        before = self._size_bytes
        await request(archive, path)
        return self._size_bytes - before
