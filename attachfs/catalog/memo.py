"""Remember answers for a while, refusals for a shorter one, and ask for each just once."""

from collections.abc import Awaitable, Callable, Container, Hashable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final, Generic, NamedTuple, TypeVar

import trio

from attachfs.archive.circuit_breaker import CircuitBreaker
from attachfs.archive.models import LARGE_ANSWER_BYTES
from attachfs.catalog.clock import Clock
from attachfs.catalog.index import Entry, Index
from attachfs.errors import (
    AttachfsError,
    BadReply,
    Busy,
    Denied,
    GatewayTimeout,
    NotFound,
    ServerFault,
    TimedOut,
    Unreachable,
)
from attachfs.flights import Flights
from attachfs.recent import Recent

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# How long a reader waits for a renewal before it is served what is known.
_PATIENCE_S: Final = 1.0
_LOOK_EVERY_S: Final = 0.5
_AWAY: Final = (Unreachable, TimedOut)
CANNOT_ASK: Final = (*_AWAY, ServerFault, Busy)
# A clock that was set back makes answers of the future, which are believed by no one.
_FUTURE_S: Final = 5.0


@dataclass(slots=True)
class Lookups:
    """Count how answers were come by: already known, asked for, or old and served nevertheless."""

    known: int = 0
    asked: int = 0
    stale: int = 0


@dataclass(slots=True)
class Revision:
    """Count the changes to what is known: what has been derived from it is good until the next.

    What is learnt for the first time changes nothing that was derived before.
    """

    number: int = 1


@dataclass(frozen=True, slots=True)
class Basis:
    """Hold what all memos of one archive share; durations in seconds."""

    index: Index
    nursery: trio.Nursery
    clock: Clock
    breaker: CircuitBreaker
    negative_ttl_s: float
    stale_ok_s: float
    lookups: Lookups = field(default_factory=Lookups)
    revision: Revision = field(default_factory=Revision)


@dataclass(frozen=True, slots=True)
class Codec(Generic[K, V]):
    """Say how keys and answers are written into the index.

    `dump` returns None for what is not to be kept (yet); `load` raises `BadReply` for what it
    cannot read. `same` tells whether an answer says nothing new.
    """

    pack: Callable[[K], bytes]
    dump: Callable[[V], bytes | None]
    load: Callable[[K, bytes], V]
    same: Callable[[V, V], bool]


class Known(NamedTuple, Generic[V]):
    """Hold an answer and when it was asked for, in seconds since 1970 UTC."""

    value: V
    at_s: float


class Update(NamedTuple, Generic[K, V]):
    """Hold an answer that came by another way; `data` is None where it says nothing new.

    `known_s` is when what was known of it had been asked for.
    """

    key: K
    packed: bytes
    data: bytes | None
    old: V | None
    known_s: float = -inf


class _Refusal(NamedTuple):
    """Hold a refusal, when it was asked for and how long it is remembered."""

    error: AttachfsError
    asked_s: float
    until_s: float


class Memo(Generic[K, V]):
    """Keep answers by key in the index, `max_entries` of them also parsed, in memory.

    An answer that is renewed with nothing new stays the same object. Refusals (not found, denied)
    are remembered for a while; other failures are not. `on_change(key, old, new)` is told of what
    is no longer as it was; `new` is None where it has gone. `on_first(key, value)` is told of the
    first answer for a key in `attended`. What `learner` is given, it learns as well: all that is
    asked for through this one.
    """

    def __init__(
        self,
        basis: Basis,
        codec: Codec[K, V],
        *,
        max_entries: int,
        on_change: Callable[[K, V, V | None], None] = lambda _key, _old, _new: None,
        on_first: Callable[[K, V], None] = lambda _key, _value: None,
        attended: Container[K] = (),
        learner: "Memo[K, V] | None" = None,
    ) -> None:
        self._learner = learner
        self._flights: Flights[K, V] = Flights(basis.nursery)
        self._basis = basis
        self._codec = codec
        self._on_change = on_change
        self._on_first = on_first
        self._attended = attended
        self._parsed: Recent[K, Known[V]] = Recent(max_entries)
        self._refusals: Recent[K, _Refusal] = Recent(max_entries)
        self._expired: Recent[K, float] = Recent(max_entries, on_evict=self._expire_older)
        self._valid_from_s = -inf

    async def get(
        self,
        key: K,
        fetch: Callable[[], Awaitable[V]],
        *,
        max_age_s: Callable[[V], float] | float,
        strict: bool = False,
        ahead: bool = False,
    ) -> V:
        """Return the answer for `key`, at most `max_age_s` seconds old, else fetch it.

        An older answer is served for another `stale_ok_s` seconds where none can be had, and after
        one second where none has come; what comes later is remembered. With `strict`, a slow
        server is waited for and only one out of reach is forgiven. Raises what `fetch` raises. A
        cancelled caller leaves the fetch to others who wait for it, unless it fetches `ahead`
        (`Flights.lead`).
        """
        known = self.known(key)
        now_s = self._basis.clock.now_s()
        if known is not None:
            limit_s = max_age_s(known.value) if callable(max_age_s) else max_age_s
            if self._is_fresh(key, known, limit_s, now_s):
                self._basis.lookups.known += 1
                return known.value
        refused = self._refusals.get(key) if self._refusals else None
        if refused is not None and now_s < refused.until_s:
            self._basis.lookups.known += 1
            raise refused.error.with_traceback(None)
        # Of the future, it is of unknown age.
        if known is None or abs(now_s - known.at_s) >= limit_s + self._basis.stale_ok_s:
            share = self._flights.lead if ahead else self._flights.join
            return await share(key, lambda: self._fetch(key, fetch))
        if strict:
            return await self._confirmed(key, fetch, known)
        return await self._renewed(key, fetch, known)

    def known(self, key: K) -> Known[V] | None:
        """Return the last answer for `key`, however old, without asking."""
        known = self._parsed.get(key)
        if known is not None:
            return known
        packed = self._codec.pack(key)
        entry = self._basis.index.get(packed)
        return None if entry is None else self._loaded(key, packed, entry)

    def peek_many(self, keys: Sequence[K]) -> dict[K, V]:
        """Return the last answers that there are, however old, with one look into the index."""
        found: dict[K, V] = {}
        unparsed: dict[bytes, K] = {}
        for key in keys:
            known = self._parsed.get(key)
            if known is None:
                unparsed[self._codec.pack(key)] = key
            else:
                found[key] = known.value
        if unparsed:
            for packed, entry in self._basis.index.get_many(list(unparsed)).items():
                key = unparsed[packed]
                known = self._loaded(key, packed, entry)
                if known is not None:
                    found[key] = known.value
        return found

    def peek(self, key: K) -> V | None:
        """Return the last answer alone."""
        known = self.known(key)
        return None if known is None else known.value

    def put(self, key: K, value: V, at_s: float) -> V:
        """Remember an answer that was asked for at `at_s`; returns what is kept."""
        if self._learner is not None:
            self._learner.put(key, value, at_s)
        known = self.known(key)
        if self._is_overtaken(key, at_s, self._basis.clock.now_s() + _FUTURE_S):
            return value if known is None else known.value
        if known is not None and self._codec.same(known.value, value):
            value = known.value
            self._basis.index.touch(self._codec.pack(key), at_s)
        else:
            data = self._codec.dump(value)
            if data is not None:
                self._keep(self._codec.pack(key), data, at_s)
        self._parsed[key] = Known(value, at_s)
        self._refusals.pop(key, None)
        if known is not None:
            if known.value is not value:
                self._change(key, known.value, value)
        elif key in self._attended:
            self._on_first(key, value)
        return value

    def unknown(self, answers: Sequence[tuple[K, bytes]]) -> list[Update[K, V]]:
        """Take answers of a page as `compare` does, where none of them is in the index."""
        return [Update(key, self._codec.pack(key), data, None) for key, data in answers]

    def compare(self, answers: Sequence[tuple[K, bytes]]) -> list[Update[K, V]]:
        """Find out what is new in many answers of a page; may run in a worker thread.

        Raises nothing: what cannot be read counts as new.
        """
        packed = [self._codec.pack(key) for key, _ in answers]
        entries = self._basis.index.get_many(packed)
        updates: list[Update[K, V]] = []
        for (key, data), name in zip(answers, packed, strict=True):
            entry = entries.get(name)
            if entry is None:
                updates.append(Update(key, name, data, None))
            else:
                updates.append(self._compared(key, name, data, entry))
        return updates

    def taught(self, answers: Sequence[tuple[K, bytes]]) -> list[Update[K, V]]:
        """Find out what is new to the learner, as `compare` does; for `teach`."""
        return [] if self._learner is None else self._learner.compare(answers)

    async def room(self) -> None:
        """Wait while too much waits to be written, also of what the learner was taught."""
        await self._basis.index.room()
        if self._learner is not None:
            await self._learner.room()

    def teach(self, updates: Sequence[Update[K, V]], at_s: float) -> None:
        """Have the learner remember what `taught` found, asked for at `at_s`."""
        if self._learner is not None:
            self._learner.update(updates, at_s)

    def update(self, updates: Sequence[Update[K, V]], at_s: float) -> None:
        """Remember what `compare` found, asked for at `at_s`, where nothing newer is known."""
        index = self._basis.index
        latest_s = self._basis.clock.now_s() + _FUTURE_S
        for key, packed, data, old, known_s in updates:
            if at_s < known_s <= latest_s or self._is_overtaken(key, at_s, latest_s):
                continue
            if data is None:
                index.touch(packed, at_s)
                known = self._parsed.get(key)
                if known is not None:
                    self._parsed[key] = Known(known.value, at_s)
            else:
                self._keep(packed, data, at_s)
                self._parsed.pop(key, None)
                if old is not None:
                    self._change(key, old, self.peek(key))
                elif key in self._attended:
                    first = self.peek(key)
                    if first is not None:
                        self._on_first(key, first)
            if self._refusals:
                self._refusals.pop(key, None)

    def forget(self, key: K) -> None:
        """Forget the answer for `key`: it is known to have gone."""
        if self._learner is not None:
            self._learner.forget(key)
        known = self.known(key)
        if known is not None:
            self._parsed.pop(key, None)
            self._basis.index.delete(self._codec.pack(key))
            self._change(key, known.value, None)

    def is_valid(self, key: K, at_s: float) -> bool:
        """Tell whether what was asked for at `at_s` has not been told to be asked for again."""
        expired_s = self._expired.get(key, -inf) if self._expired else -inf
        return at_s >= max(self._valid_from_s, expired_s)

    def expire(self, key: K) -> None:
        """Ask for `key` again before it is believed, unless it can never change."""
        self._basis.revision.number += 1
        self._expired[key] = self._basis.clock.now_s()
        self._refusals.pop(key, None)

    def until_s(self, key: K, ttl_s: float) -> float:
        """Return until when the answer for `key` is believed, `-inf` where it is not.

        Unless the revision changes before; in seconds since 1970 UTC.
        """
        known = self._parsed.get(key)
        if known is None or not self.is_valid(key, known.at_s):
            return -inf
        return known.at_s + ttl_s if known.at_s <= self._basis.clock.now_s() else -inf

    def _expire_older(self, _key: K, expired_s: float) -> None:
        """Believe nothing from before a mark that there is no room for."""
        self._valid_from_s = max(self._valid_from_s, expired_s)

    def expire_all(self) -> None:
        """Ask for everything again that can change."""
        self._basis.revision.number += 1
        self._valid_from_s = self._basis.clock.now_s()
        self._refusals.clear()

    def _change(self, key: K, old: V, new: V | None) -> None:
        self._basis.revision.number += 1
        self._on_change(key, old, new)

    def _loaded(self, key: K, packed: bytes, entry: Entry) -> Known[V] | None:
        """Parse an entry of the index and hold it in memory; one that is no answer is deleted."""
        if not 0 < len(entry.value) <= LARGE_ANSWER_BYTES:
            return None  # too large to be kept: it is asked for again
        try:
            known = Known(self._codec.load(key, entry.value), entry.at_s)
        except BadReply:
            self._basis.index.delete(packed)
            return None
        self._parsed[key] = known
        return known

    def _keep(self, packed: bytes, data: bytes, at_s: float) -> None:
        """Put an answer into the index; of one that takes long to parse, that there is one."""
        self._basis.index.put(packed, data if len(data) <= LARGE_ANSWER_BYTES else b"", at_s)

    def _is_overtaken(self, key: K, at_s: float, latest_s: float) -> bool:
        """Tell whether something newer is known than what was asked for at `at_s`.

        What is said to be later than `latest_s` is of a clock that was set back.
        """
        known = self._parsed.get(key)
        if known is not None and at_s < known.at_s <= latest_s:
            return True
        refused = self._refusals.get(key) if self._refusals else None
        return refused is not None and at_s < refused.asked_s

    def _is_fresh(self, key: K, known: Known[V], limit_s: float, now_s: float) -> bool:
        if limit_s == inf:
            return True
        if known.at_s > now_s + _FUTURE_S or not self.is_valid(key, known.at_s):
            return False
        return now_s - known.at_s < limit_s

    async def _confirmed(self, key: K, fetch: Callable[[], Awaitable[V]], known: Known[V]) -> V:
        if self._basis.breaker.away:
            self._probe(key, fetch)
            return self._stale(known)
        value = await self._asked_while_there(key, fetch)
        return self._stale(known) if value is None else value

    async def _asked_while_there(self, key: K, fetch: Callable[[], Awaitable[V]]) -> V | None:
        """Return what is fetched; None where the server is out of reach, whoever finds that out."""
        flight = self._flights.begin(key, lambda: self._fetch(key, fetch))
        while not flight.done.is_set():
            with trio.move_on_after(_LOOK_EVERY_S):
                await flight.done.wait()
            if self._basis.breaker.away and not flight.done.is_set():
                return None
        try:
            return flight.outcome()
        except GatewayTimeout:
            raise
        except _AWAY:
            return None

    async def _renewed(self, key: K, fetch: Callable[[], Awaitable[V]], known: Known[V]) -> V:
        if self._basis.breaker.slow:
            self._probe(key, fetch)
            return self._stale(known)
        with trio.move_on_after(_PATIENCE_S):
            try:
                return await self._flights.join(key, lambda: self._fetch(key, fetch), kept=True)
            except CANNOT_ASK:
                return self._stale(known)
        self._basis.breaker.note_slow()
        return self._stale(known)

    def _stale(self, known: Known[V]) -> V:
        self._basis.lookups.stale += 1
        return known.value

    def _probe(self, key: K, fetch: Callable[[], Awaitable[V]]) -> None:
        """Ask behind the reader, who does not wait."""
        if self._basis.breaker.begin_probe():
            self._basis.nursery.start_soon(self._ask_behind, key, fetch)

    async def _ask_behind(self, key: K, fetch: Callable[[], Awaitable[V]]) -> None:
        try:
            await self._flights.join(key, lambda: self._fetch(key, fetch))
        except Exception:  # noqa: BLE001, S110 - left to who asks in earnest
            pass
        finally:
            self._basis.breaker.end_probe()

    async def _fetch(self, key: K, fetch: Callable[[], Awaitable[V]]) -> V:
        while True:  # once more where it was told to be asked for again meanwhile
            asked_s = self._basis.clock.now_s()
            self._basis.lookups.asked += 1
            try:
                value = await fetch()
            except (NotFound, Denied) as error:
                self._basis.breaker.note_answer()
                if self.is_valid(key, asked_s):
                    self.forget(key)
                    until_s = self._basis.clock.now_s() + self._basis.negative_ttl_s
                    self._refusals[key] = _Refusal(error, asked_s, until_s)
                    raise
            except GatewayTimeout:
                raise  # an answer, if of no use: it says nothing of whether others are to be had
            except _AWAY:
                self._basis.breaker.note_away()
                raise
            else:
                self._basis.breaker.note_answer()
                if self.is_valid(key, asked_s):
                    return self.put(key, value, asked_s)

    def _compared(self, key: K, packed: bytes, data: bytes, entry: Entry) -> Update[K, V]:
        nothing_new: Update[K, V] = Update(key, packed, None, None, entry.at_s)
        if entry.value == data:
            return nothing_new
        try:
            known = self._codec.load(key, entry.value)
        except BadReply:
            return Update(key, packed, data, None, entry.at_s)
        try:
            is_large = len(data) > LARGE_ANSWER_BYTES
            if not is_large and self._codec.same(known, self._codec.load(key, data)):
                return nothing_new
        except BadReply:
            pass
        return Update(key, packed, data, known, entry.at_s)
