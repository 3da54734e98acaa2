"""How long a scan status is believed, by the clock."""

from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock

from attachfs.catalog.catalog import Catalog
from tests.support.archives import PATH, index_in_memory, said, scripted, sha256

_HOUR_S = 3600.0


class _Scanner:
    """Answer /info with a status that a test sets, and count how often."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path.endswith("/info")
        self.asked += 1
        fields: dict[str, Any] = {
            "size": 1,
            "hash": {"alg": "SHA256", "value": sha256(b"x")},
            "scanned_status": self.status,
        }
        return said(200, fields)


@pytest.mark.parametrize(
    ("status", "believed_s"),
    [("NOT_SCANNED", _HOUR_S), ("SCANNED_OK", 24 * _HOUR_S), ("SCANNED_BAD", 24 * _HOUR_S)],
)
async def test_a_status_is_asked_for_again_when_it_may_have_changed(
    nursery: trio.Nursery, autojump_clock: MockClock, status: str, believed_s: float
) -> None:
    """An hour where the scan is still to come, a day where it has been."""
    scanner = _Scanner(status)
    async with scripted(scanner) as archive:
        catalog = Catalog(archive, nursery, index_in_memory(nursery))
        await catalog.info(PATH)
        autojump_clock.jump(believed_s - 1)
        await catalog.info(PATH)
        assert scanner.asked == 1
        autojump_clock.jump(1)
        await catalog.info(PATH)
        assert scanner.asked == 2


async def test_bytes_that_turn_bad_and_good_are_known_as_such(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The daily scan may find out, and may take it back."""
    scanner = _Scanner("NOT_SCANNED")
    async with scripted(scanner) as archive:
        catalog = Catalog(archive, nursery, index_in_memory(nursery))
        for status, bad in [("SCANNED_BAD", True), ("SCANNED_OK", False)]:
            await catalog.info(PATH)
            scanner.status = status
            autojump_clock.jump(24 * _HOUR_S)
            assert (await catalog.info(PATH)).scanned_status == status
            assert catalog.is_bad(sha256(b"x")) is bad
