"""Asking again: what is left of the attempts that failed."""

import gc
import weakref
from collections.abc import Iterator

import pytest
from trio.testing import MockClock

from attachfs.archive.outage import Outage
from attachfs.archive.retries import retried
from attachfs.errors import Unreachable


class _Draft:
    """Something that is held open as long as somebody holds it."""


@pytest.fixture
def _no_collector() -> Iterator[None]:
    """Have only what is counted let go of, as between collections that may be far apart."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("autojump_clock", "_no_collector")
@pytest.mark.parametrize("failures", [1, 3])
async def test_what_was_survived_holds_nothing(expected_warnings: set[str], failures: int) -> None:
    """An attempt's error has a traceback, which holds what the attempt held: a file, say."""
    expected_warnings.add("stamina.retry_scheduled")
    drafts: list[weakref.ref[_Draft]] = []

    async def work(_patience_s: float) -> int:
        draft = _Draft()
        drafts.append(weakref.ref(draft))
        if len(drafts) <= failures:
            raise Unreachable("cut")
        return len(drafts)

    outage = Outage(timeout_s=30)
    assert await retried(work, outage=outage, subject="it", timeout_s=30) == failures + 1
    assert [draft() for draft in drafts] == [None] * (failures + 1)


async def test_a_pause_ends_at_the_deadline(
    autojump_clock: MockClock, expected_warnings: set[str]
) -> None:
    """Whoever waits is told why the last attempt failed, and no later."""
    expected_warnings.add("stamina.retry_scheduled")
    begun_s = autojump_clock.current_time()

    async def work(_patience_s: float) -> None:
        raise Unreachable("cut")

    with pytest.raises(Unreachable, match="cut"):
        await retried(work, outage=Outage(timeout_s=3), subject="it", timeout_s=3)
    assert autojump_clock.current_time() - begun_s <= 3
