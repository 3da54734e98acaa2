"""When the newest event known of each asset was accepted."""

import struct
from typing import Final

from attachfs.archive.identities import Holder
from attachfs.catalog.keys import NEWEST, newest_key
from attachfs.catalog.memo import Basis
from attachfs.recent import Recent

_MAX_ASSETS: Final = 100_000
_TIME: Final = struct.Struct("<q")


class NewestEvents:
    """Remember times, in nanoseconds since 1970 UTC, in the index."""

    def __init__(self, basis: Basis, *, learner: "NewestEvents | None" = None) -> None:
        """Take who learns of every event that is noted here, too."""
        self._learner = learner
        self._basis = basis
        self._index = basis.index
        self._known_ns: Recent[str, int] = Recent(_MAX_ASSETS)
        # Who only lists assets need not look for what nobody has told.
        self._any = bool(basis.index.keys(NEWEST, 1))

    def get_ns(self, asset: Holder) -> int:
        """Return when the newest event known of an asset was accepted; 0 where none is known."""
        newest_ns: int | None = self._known_ns.get(asset.path)
        if newest_ns is None:
            newest_ns = 0
            if self._any:
                entry = self._index.get(newest_key(asset))
                if entry is not None and len(entry.value) == _TIME.size:
                    (newest_ns,) = _TIME.unpack(entry.value)
            self._known_ns[asset.path] = newest_ns
        return newest_ns

    def note(self, asset: Holder, accepted_ns: int) -> None:
        """Take note of an event of an asset."""
        if self._learner is not None:
            self._learner.note(asset, accepted_ns)
        if accepted_ns > self.get_ns(asset):
            self._any = True
            self._basis.revision.number += 1
            self._known_ns[asset.path] = accepted_ns
            self._index.put(newest_key(asset), _TIME.pack(accepted_ns), self._basis.clock.now_s())
