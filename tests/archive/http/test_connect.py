"""Connections are made to whichever address answers, in time."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import trio

from attachfs.archive import endpoints
from attachfs.archive.endpoints import ScanPolicy
from attachfs.errors import NoConnection
from tests.support.archives import ASSET, HOLDER, PATH, client, received
from tests.support.canned import reply, start_canned

_RECORD = {"identity": f"assets/{ASSET}", "attributes": {}}
_HOST = "archive.test"  # RFC 6761: nobody's


@contextmanager
def _silent_address(host: str) -> Iterator[tuple[str, int]]:
    """Offer an address that swallows what connects to it: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003 - socket has no name for it
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()


class _Resolver(trio.abc.HostnameResolver):
    """Know one host by some addresses, in this order."""

    def __init__(self, addresses: list[tuple[str, int]]) -> None:
        self._addresses = addresses

    async def getaddrinfo(self, host: Any, *_arguments: Any, **_settings: Any) -> Any:
        assert host in (_HOST, _HOST.encode())
        await trio.lowlevel.checkpoint()
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, address) for address in self._addresses]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise NotImplementedError


@contextmanager
def _known_by(addresses: list[tuple[str, int]]) -> Iterator[None]:
    before = trio.socket.set_custom_hostname_resolver(_Resolver(addresses))
    try:
        yield
    finally:
        trio.socket.set_custom_hostname_resolver(before)


@pytest.mark.parametrize("silent", [1, 2, 3])
@pytest.mark.parametrize("large", [False, True])
async def test_silent_addresses_before_a_live_one_cost_a_quarter_second_each(
    nursery: trio.Nursery, silent: int, *, large: bool
) -> None:
    """Small and large answers alike (RFC 8305 section 5), and far below the timeout."""
    canned = await start_canned(nursery, lambda _: reply(200, _RECORD))
    with ExitStack() as stack:
        hosts = [f"127.0.0.{number}" for number in range(2, 2 + silent)]
        addresses = [stack.enter_context(_silent_address(host)) for host in hosts]
        stack.enter_context(_known_by([*addresses, ("127.0.0.1", canned.port)]))
        begun_s = trio.current_time()
        async with client(f"http://{_HOST}:{canned.port}") as archive:
            if large:
                assert await received(archive, endpoints.download(PATH, ScanPolicy.ALLOW))
            else:
                assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET
        assert trio.current_time() - begun_s < 0.25 * silent + 2  # and a slow machine


async def test_addresses_that_are_all_silent_are_given_up_in_time() -> None:
    """By the bound of one connection, not of one for each address."""
    with ExitStack() as stack:
        hosts = [f"127.0.0.{number}" for number in range(2, 6)]
        addresses = [stack.enter_context(_silent_address(host)) for host in hosts]
        stack.enter_context(_known_by(addresses))
        begun_s = trio.current_time()
        async with client(f"http://{_HOST}", timeout_s=1) as archive:
            with pytest.raises(NoConnection):
                await archive.ask(endpoints.record(HOLDER))
        assert trio.current_time() - begun_s < 3


async def test_an_address_that_refuses_is_passed_over_at_once(nursery: trio.Nursery) -> None:
    """As one of a server that listens on one family alone."""
    canned = await start_canned(nursery, lambda _: reply(200, _RECORD))
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.2", 0))
        with _known_by([unheard.getsockname(), ("127.0.0.1", canned.port)]):
            async with client(f"http://{_HOST}:{canned.port}") as archive:
                assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET
