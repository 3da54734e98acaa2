"""Any order of walking, happening, waiting and refreshing tells no lie."""

from functools import partial

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from attachfs.catalog.feed import Feed
from attachfs.catalog.listings import Listings
from attachfs.errors import Unreachable
from tests.catalog.bases import basis
from tests.catalog.collections import uuid
from tests.catalog.test_feed import Events

_TTL_S = 60.0
_ASSETS = 12
_STEPS = st.lists(
    st.sampled_from(
        [
            *("walk", "open", "happen", "create", "hold", "go on", "pause", "minute", "hour"),
            *("refresh", "doubt", "away", "back", "restart"),
        ]
    ),
    max_size=40,
)


class _World:
    """Do one step after the other, and look at what is told after each."""

    def __init__(self, nursery: trio.Nursery, clock: MockClock, page_size: int) -> None:
        self._clock = clock
        self._server = Events(_ASSETS, page_size=page_size)
        self._shared = basis(nursery)
        self._happened_s: dict[str, float] = {}
        self._valid_from_s: dict[int, float] = {}
        self._assets = _ASSETS
        self.restart()

    async def do(self, step: str, asset: int) -> None:
        """Do a step; time passes after it."""
        if step == "walk":
            for number in range(1, self._assets + 1):
                await self._come_to(number)
        elif step == "open":
            await self._come_to(asset)
        elif step in ("hold", "go on"):
            self._server.go.set()
            if step == "hold":
                self._server.go = trio.Event()
        elif step in ("away", "back"):
            self._server.error = Unreachable("away") if step == "away" else None
        else:
            getattr(self, step)(asset)
        await wait_all_tasks_blocked()
        self._clock.jump(0.01)

    def happen(self, asset: int) -> None:
        """Have an event recorded."""
        self._happened_s[self._server.happen(asset)] = trio.current_time()

    def create(self, _asset: int) -> None:
        """Have an asset created."""
        self._assets += 1
        event = self._server.happen(self._assets, creation=True)
        self._happened_s[event] = trio.current_time()

    def pause(self, _asset: int) -> None:
        """Let a walk be over."""
        self._clock.jump(3)

    def minute(self, _asset: int) -> None:
        """Let lifetimes be over."""
        self._clock.jump(_TTL_S)

    def hour(self, _asset: int) -> None:
        """Let a sweep be long ago."""
        self._clock.jump(3600)

    def refresh(self, _asset: int) -> None:
        """Have everything asked for again."""
        self._feed.expire()
        self._valid_from_s = dict.fromkeys(range(1, 100), trio.current_time())

    def doubt(self, asset: int) -> None:
        """Have one asset asked for again."""
        self._feed.doubt(uuid(asset, "a"))
        self._valid_from_s[asset] = trio.current_time()

    def restart(self, _asset: int = 0) -> None:
        """Begin with what is in the index; what was under way is over."""
        listings = Listings(self._shared, ttl_s=_TTL_S)
        self._feed = Feed(self._shared, self._server.fetch, listings, ttl_s=_TTL_S)
        self._valid_from_s.clear()

    async def _come_to(self, asset: int) -> None:
        self._feed.step(uuid(asset, "a"))
        began_s = trio.current_time()
        listing = await self._feed.events(uuid(asset, "a"))
        assert trio.current_time() <= began_s + 1.001
        if listing is None:
            return
        told, there = list(listing.ids), self._server.of_asset(asset)
        since_s = max(began_s - _TTL_S, self._valid_from_s.get(asset, float("-inf")))
        must = [event for event in there if self._happened_s.get(event, -1e9) < since_s]
        assert told == [event for event in there if event in told], "order, or twice"
        assert set(must) <= set(told), "too old"


@settings(max_examples=150)
@given(
    steps=_STEPS,
    page_size=st.integers(1, 8),
    asset=st.integers(1, _ASSETS),
)
def test_what_is_told_is_never_older_than_its_lifetime(
    steps: list[str], page_size: int, asset: int
) -> None:
    """Nor than a refresh; each event is told once, in order, and nobody waits for long."""

    async def main(clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = _World(nursery, clock, page_size)
            for step in steps:
                await world.do(step, asset)
            nursery.cancel_scope.cancel()

    clock = MockClock(autojump_threshold=0)
    trio.run(partial(main, clock), clock=clock)
