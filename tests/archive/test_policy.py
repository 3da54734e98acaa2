"""When a request is sent, how long it may take, and whether it is sent again."""

import gc
import weakref
from collections.abc import Iterator

import pytest
from trio.testing import MockClock

from attachfs.archive.http.deadline import Deadline
from attachfs.archive.policy import RequestPolicy
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
async def test_what_was_survived_holds_nothing(failures: int) -> None:
    """An attempt's error has a traceback, which holds what the attempt held: a file, say."""
    drafts: list[weakref.ref[_Draft]] = []

    async def work(_deadline: Deadline) -> int:
        draft = _Draft()
        drafts.append(weakref.ref(draft))
        if len(drafts) <= failures:
            raise Unreachable("cut")
        return len(drafts)

    assert await RequestPolicy(timeout_s=30).run(work, subject="it") == failures + 1
    assert [draft() for draft in drafts] == [None] * (failures + 1)


async def test_a_pause_ends_at_the_deadline(autojump_clock: MockClock) -> None:
    """Whoever waits is told why the last attempt failed, and no later."""
    begun_s = autojump_clock.current_time()

    async def work(_deadline: Deadline) -> None:
        raise Unreachable("cut")

    with pytest.raises(Unreachable, match="cut"):
        await RequestPolicy(timeout_s=3).run(work, subject="it")
    assert autojump_clock.current_time() - begun_s <= 3
