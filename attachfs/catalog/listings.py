"""The listings of one archive: each read once within its lifetime, and kept."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from math import inf
from typing import Final

from attachfs.archive.models import Page
from attachfs.catalog.listing import Listing
from attachfs.catalog.memo import Basis, Codec, Known, Memo, Update

# How long a listing is renewed from its newest entries only; what has gone is seen after this.
SWEEP_EVERY_S: Final = 3600.0
_MAX_LISTINGS: Final = 256


class Listings:
    """Share listings among all readers, by their keys in the index.

    What `learner` is given, it learns as well: all listings that are whole.
    """

    def __init__(self, basis: Basis, *, ttl_s: float, learner: "Listings | None" = None) -> None:
        self._basis = basis
        self._learner = learner
        self._ttl_s = ttl_s
        self._listings: Memo[bytes, Listing] = Memo(
            basis,
            Codec(
                pack=bytes,
                dump=Listing.dump,
                load=lambda key, data: Listing.loaded(basis.nursery, data, name=key.hex()),
                same=lambda _old, _new: False,
            ),
            max_entries=_MAX_LISTINGS,
        )

    async def get(
        self, key: bytes, fetch: Callable[[str], Awaitable[Page]], *, name: str
    ) -> Listing:
        """Return a listing, its first page read; only what is new where it was swept lately.

        Raises what `fetch(token)` raises for the first page.
        """

        async def begin() -> Listing:
            began_s = self._basis.clock.now_s()
            known = self._listings.known(key)
            previous = None if known is None else known.value
            sweep = False
            if known is not None and not self._may_go_on(key, known, began_s):
                previous = None
                sweep = known.value.complete and self._listings.is_valid(key, known.at_s)
            listing = Listing(
                self._basis.nursery,
                fetch,
                name=name,
                now_s=self._basis.clock.now_s,
                known=None if previous is None else previous.ids,
                swept_s=None if previous is None else previous.swept_s,
                on_complete=partial(self._keep, key, began_s),
            )
            await listing.upto(1)
            if sweep:
                # Until it is whole, the one before it is better: the server may go away half-way.
                await listing.whole()
            return listing

        return await self._listings.get(key, begin, max_age_s=self._ttl_s)

    def known(self, key: bytes) -> Known[Listing] | None:
        """Return the last listing, without asking; complete or not."""
        return self._listings.known(key)

    def may_have(self, key: bytes, uuid: str, found_s: float) -> bool:
        """Tell whether no whole listing asked for after `found_s` lacks an entry; asks nobody."""
        known = self._listings.known(key)
        if known is None or not known.value.complete or known.at_s < found_s:
            return True
        return uuid in known.value.ids

    def learn(self, listings: Sequence[tuple[bytes, bytes]], at_s: float) -> None:
        """Remember whole listings, packed, that came by another way, asked for at `at_s`."""
        if self._learner is not None:
            self._learner.learn(listings, at_s)
        entries = self._basis.index.get_many([key for key, _ in listings])
        updates: list[Update[bytes, Listing]] = [
            Update(key, key, packed, None, entries[key].at_s if key in entries else -inf)
            for key, packed in listings
        ]
        self._basis.revision.number += 1
        self._listings.update(updates, at_s)

    def expire_all(self) -> None:
        """Read every listing anew, to its end, before it is believed."""
        self._listings.expire_all()

    def expire(self, key: bytes) -> None:
        """Read a listing anew, to its end, before it is believed."""
        self._listings.expire(key)

    def _may_go_on(self, key: bytes, known: Known[Listing], now_s: float) -> bool:
        """Tell whether the new entries are enough beside those of an earlier listing."""
        swept_s = known.value.swept_s
        return (
            known.value.complete
            and swept_s is not None
            and self._listings.is_valid(key, known.at_s)
            and 0 <= now_s - swept_s < SWEEP_EVERY_S
        )

    def _keep(self, key: bytes, began_s: float, listing: Listing) -> None:
        self._basis.revision.number += 1  # an event may have gone
        self._listings.put(key, listing, began_s)
        packed = listing.dump()
        if self._learner is not None and packed is not None:
            self._learner.learn([(key, packed)], began_s)
