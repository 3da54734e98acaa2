"""Answer what exists and who may read it, from what is known, or by asking."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Final, NamedTuple, Self

import trio
from cachetools import LRUCache
from msgspec import structs

from attachfs.archive import endpoints
from attachfs.archive.attachments import Attachment
from attachfs.archive.client import Archive
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.models import Info, Page, Record, parse_asset, parse_event
from attachfs.catalog.bad_digests import BadDigests
from attachfs.catalog.clock import Clock
from attachfs.catalog.feed import Feed
from attachfs.catalog.index import Index
from attachfs.catalog.infos import Infos
from attachfs.catalog.keys import (
    ALL_ASSETS,
    absent_at_key,
    asset_of,
    assets_prefix,
    events_key,
    record_at_key,
    record_key,
)
from attachfs.catalog.listing import Listing
from attachfs.catalog.listings import Listings
from attachfs.catalog.memo import CANNOT_ASK, Basis, Codec, Known, Memo
from attachfs.catalog.newest import NewestEvents
from attachfs.catalog.pages import Pages
from attachfs.errors import BadReply, Denied, NotFound

_MAX_RECORDS: Final = 8_192
_NS_PER_S: Final = 10**9
# The server's clock and ours, and the moment between an event and what it does to its asset.
_MARGIN_S: Final = 300.0
_LEAST_S: Final = 1.0
_MAX_MOMENTS: Final = 1_000  # of one asset: a refresh of more is of everything
# Who shares the digits of a short id; by-name/ asks, and there is hardly ever a second one.
_MAX_NAMESAKES: Final = 16

Change = Callable[[Holder, Record, Record | None], None]


class Origin(NamedTuple):
    """Say where an answer is from: `source` is `server` or `index`.

    `asked_s` is when the server was asked for it, in seconds since 1970 UTC.
    """

    source: str
    asked_s: float


class _Superseded(NamedTuple):
    """Hold what an older record of an asset says of an attachment, and when it was asked for.

    `digests` is every SHA-256 that any older record declares of it.
    """

    attachment: Attachment
    asked_s: float
    digests: set[str]


class Learners(NamedTuple):
    """Hold the parts of a catalog that learn what another one is told."""

    records: Memo[Holder, Record] | None = None
    records_at: Memo[tuple[Holder, str], Record] | None = None
    infos: Infos | None = None
    newest: NewestEvents | None = None
    listings: Listings | None = None
    supersede: Callable[[Holder, Record, float], None] | None = None


_NOBODY: Final = Learners()


class Catalog:
    """Know records, listings and `/info` of one archive, in an index that outlives a restart.

    `metadata_ttl_s` is how long what can change is believed, `negative_ttl_s` how long a refusal
    is, `stale_ok_s` for how much longer what is known is served where the server cannot be asked.
    Methods raise errors of `attachfs.errors`; a cancelled caller disturbs no other.
    """

    def __init__(
        self,
        archive: Archive,
        nursery: trio.Nursery,
        index: Index,
        *,
        metadata_ttl_s: float = 60.0,
        negative_ttl_s: float = 5.0,
        stale_ok_s: float = 3600.0,
        untracked: bool = False,
        apart: bool = False,
        learners: Learners = _NOBODY,
    ) -> None:
        """Take who learns what is asked for here, too.

        What is `apart`, as `anew` and `offline` return it, knows no scan that it did not ask for.
        """
        self._archive = archive
        self._index = index
        self._untracked = untracked
        self._learners = learners
        self._source = "server" if apart and not archive.is_offline else "index"
        self._clock = Clock()
        self._assets_key = ALL_ASSETS + (b"-untracked" if untracked else b"")
        self.metadata_ttl_s = metadata_ttl_s
        self.negative_ttl_s = negative_ttl_s
        self._stale_ok_s = stale_ok_s
        basis = Basis(
            index, nursery, self._clock, archive.policy.breaker, negative_ttl_s, stale_ok_s
        )
        self.lookups = basis.lookups
        self.revision = basis.revision
        self._bad = BadDigests(index, self._clock, apart=apart)
        self._records: Memo[Holder, Record] = Memo(
            basis,
            Codec(record_key, lambda record: record.raw, _load_record, _same_record),
            max_entries=_MAX_RECORDS,
            on_change=self._changed,
            on_first=self._learn,
            attended=self._bad.holders,
            learner=learners.records,
        )
        self._records_at: Memo[tuple[Holder, str], Record] = Memo(
            basis,
            Codec(
                lambda key: record_at_key(*key),
                lambda record: record.raw,
                lambda key, data: _load_record(key[0], data),
                _same_record,
            ),
            max_entries=_MAX_RECORDS,
            learner=learners.records_at,
        )
        self._infos = Infos(archive, basis, self, self._bad, learner=learners.infos)
        self._newest = NewestEvents(basis, learner=learners.newest)
        self._pages = Pages(archive, basis, self._records, self._newest, untracked=untracked)
        self._listings = Listings(basis, ttl_s=metadata_ttl_s, learner=learners.listings)
        self._feed = Feed(basis, self._pages.all_events, self._listings, ttl_s=metadata_ttl_s)
        self._superseded: LRUCache[AttachmentPath, _Superseded] = LRUCache(_MAX_RECORDS)
        self._watchers: list[Change] = []

    def anew(self, nursery: trio.Nursery, index: Index) -> Self:
        """Return a catalog of the same archive over an empty index, which knows nothing yet.

        So all that it ever returns, the server said since now: it serves nothing old where the
        server cannot be asked. What it is told, this one learns.
        """
        return type(self)(
            self._archive,
            nursery,
            index,
            metadata_ttl_s=self.metadata_ttl_s,
            negative_ttl_s=self.negative_ttl_s,
            stale_ok_s=0.0,
            untracked=self._untracked,
            apart=True,
            learners=Learners(
                self._records,
                self._records_at,
                self._infos,
                self._newest,
                self._listings,
                self.supersede,
            ),
        )

    def offline(self, nursery: trio.Nursery) -> Self:
        """Return a catalog that knows what the index holds, however old, and asks nothing.

        What the index does not hold is `Unreachable`.
        """
        return type(self)(
            self._archive.offline(),
            nursery,
            self._index,
            metadata_ttl_s=self.metadata_ttl_s,
            negative_ttl_s=self.negative_ttl_s,
            stale_ok_s=inf,
            untracked=self._untracked,
            apart=True,
        )

    @property
    def server(self) -> str:
        """The archive's URL: part of every inode's identity."""
        return self._archive.url

    def watch(self, watcher: Change) -> None:
        """Have `watcher(holder, old, new)` called when a record is no longer what it was.

        `new` is None where the record has gone, or may no longer be seen.
        """
        self._watchers.append(watcher)

    async def record(self, holder: Holder) -> Record:
        """Return the record of an asset or event.

        Accepted events do not change; an asset does with its events, so that it is not asked
        for while all events are known and none of them is newer than what is known of it. Raises
        `NotFound` where there is none, `Denied` where it may exist and may not be seen.
        """
        known = self._records.known(holder)
        if known is not None and holder.event is None and not holder.public:
            fresh = self._clock.now_s() - known.at_s < self.metadata_ttl_s
            if not fresh and await self._is_unchanged(holder, known.at_s):
                return known.value
        return await self._records.get(
            holder,
            partial(self._ask_record, holder),
            max_age_s=partial(self._lifetime_s, holder),
        )

    async def confirmed_record(self, holder: Holder) -> Record:
        """Return a record that may be seen now: that was answered within the metadata lifetime.

        Only a server out of reach extends that (design section 2, Rights). Raises as `record`.
        """
        return await self._records.get(
            holder,
            partial(self._ask_record, holder),
            max_age_s=self.metadata_ttl_s,
            strict=True,
        )

    async def record_at(self, asset: Holder, at_time: str, at_ns: int) -> Record:
        """Return an asset's record as it stood at an RFC 3339 time.

        What was asked for five minutes after it by the server's clock cannot change any more. That
        an asset did not exist then is cached like a listing, which shows the others. Raises as
        `record`.
        """
        key = (asset, at_time)
        known = self._records_at.known(key)
        absent_s = -inf if known is not None else self._absent_s(key)
        age_s = self._clock.now_s() - absent_s
        if 0 <= age_s < self.metadata_ttl_s and self._records_at.is_valid(key, absent_s):
            raise _did_not_exist(asset, at_time)
        final = known is not None and self._is_after(known.at_s, at_ns)
        asked_s = self._clock.now_s()
        try:
            return await self._record_at(asset, at_time, max_age_s=inf if final else None)
        except NotFound:
            # An asset that is not known to exist today is denied or gone, whatever the time.
            if self._is_after(asked_s, at_ns) and self.known_record(asset) is not None:
                self._index.put(absent_at_key(asset, at_time), b"", asked_s)
            raise
        except CANNOT_ASK as error:
            if 0 <= age_s < self.metadata_ttl_s + self._stale_ok_s:
                raise _did_not_exist(asset, at_time) from error
            raise

    async def confirmed_record_at(self, asset: Holder, at_time: str) -> Record:
        """Return the same of an asset that may be seen now, confirmed as `confirmed_record` is."""
        return await self._record_at(asset, at_time, strict=True)

    async def _record_at(
        self, asset: Holder, at_time: str, *, max_age_s: float | None = None, strict: bool = False
    ) -> Record:
        record = await self._records_at.get(
            (asset, at_time),
            lambda: self._archive.ask(endpoints.record(asset, at_time=at_time)),
            max_age_s=self.metadata_ttl_s if max_age_s is None else max_age_s,
            strict=strict,
        )
        known = self._records_at.known((asset, at_time))
        self.supersede(asset, record, self._clock.now_s() if known is None else known.at_s)
        return record

    def supersede(self, asset: Holder, record: Record, asked_s: float) -> None:
        """Remember what an older record of an asset declares, which was asked for at `asked_s`."""
        if self._learners.supersede is not None:
            self._learners.supersede(asset, record, asked_s)
        for attachment in record.attachments:
            path = AttachmentPath(asset, attachment.id)
            if path not in self._superseded and self._infos.peek(path) is None:
                self._infos.expire(path)  # it was refused before anybody knew where else to ask
            older = structs.replace(attachment, on_asset=True)
            known = self._superseded.get(path)
            digests = {*older.record_digests, *(() if known is None else known.digests)}
            if known is None or digests != known.digests:
                self.revision.number += 1
            self._superseded[path] = _Superseded(older, asked_s, digests)
            self._bad.learn(path, digests)

    def record_left_s(self, holder: Holder) -> float:
        """Return for how many seconds a record may still be believed; never more than a lifetime.

        The kernel must not believe a name for longer: its lifetime would come on top of ours.
        """
        known = self._records.known(holder)
        return self._left_s(self._clock.now_s() if known is None else known.at_s)

    def now_s(self) -> float:
        """Return seconds since 1970 UTC, by the clock of `believed_until_s`."""
        return self._clock.now_s()

    def believed_until_s(self, holder: Holder) -> float:
        """Return until when `record` answers the same without asking, unless `revision` changes.

        `-inf` where it must be asked.
        """
        known = self._records.known(holder)
        now_s = self._clock.now_s()
        if known is None:
            return -inf
        if self._lifetime_s(holder, known.value) == inf:
            return now_s + self.metadata_ttl_s
        until_s = self._records.until_s(holder, self.metadata_ttl_s)
        if now_s < until_s or holder.event is not None or holder.public:
            return until_s
        is_valid = self._records.is_valid(holder, known.at_s)
        return self._feed.current_s + self.metadata_ttl_s if is_valid else -inf

    def visible_until_s(self, path: AttachmentPath) -> float:
        """Return the same for `visible_info`."""
        return self._info_until_s(self.believed_until_s, path)

    def confirmed_until_s(self, path: AttachmentPath) -> float:
        """Return the same for `confirmed_info`."""
        return self._info_until_s(self._confirmed_until_s, path)

    def _confirmed_until_s(self, holder: Holder) -> float:
        return self._records.until_s(holder, self.metadata_ttl_s)

    def _info_until_s(self, until_s: Callable[[Holder], float], path: AttachmentPath) -> float:
        """Return until when `_info_by` answers the same, with what `until_s` says of the record."""
        record = self.known_record(path.holder)
        if record is not None and record.attachment(path.attachment) is not None:
            return min(until_s(path.holder), self._infos.until_s(path))
        return self._infos.until_s(path, self.metadata_ttl_s)

    def listing_left_s(self, asset: Holder | None) -> float:
        """Return the same of the listing of an asset's events, or of all assets."""
        known = self._listings.known(self._assets_key if asset is None else events_key(asset))
        return self._left_s(-inf if known is None else known.at_s)

    def known_record(self, holder: Holder) -> Record | None:
        """Return the record as last seen, without asking."""
        return self._records.peek(holder)

    def known_record_at(self, asset: Holder, at_time: str) -> Record | None:
        """Return the record of a time as last seen, without asking."""
        return self._records_at.peek((asset, at_time))

    def declared(self, path: AttachmentPath) -> Attachment | None:
        """Return what a record that was seen says of an attachment: today's, or an older one."""
        record = self.known_record(path.holder)
        found = None if record is None else record.attachment(path.attachment)
        if found is not None:
            return found
        older = self._superseded.get(path)
        return None if older is None else older.attachment

    def record_origin(self, path: AttachmentPath) -> Origin | None:
        """Return where the record is from that `declared` goes by; None where there is none."""
        known = self._records.known(path.holder)
        older = self._superseded.get(path)
        if older is not None and (known is None or known.value.attachment(path.attachment) is None):
            return Origin(self._source, older.asked_s)
        return self._origin(known)

    def info_origin(self, path: AttachmentPath) -> Origin | None:
        """Return where `/info` is from; None where it was never had."""
        return self._origin(self._infos.known(path))

    async def setters(self, path: AttachmentPath) -> list[Holder]:
        """Return the events that set an attachment on its asset, the newest first."""
        asset = path.holder.owner
        ids = await (await self.events(asset)).whole()
        events = [Holder(asset.asset, event, asset.public) for event in ids]
        records = [(event, self.known_record(event)) for event in events]
        return [event for event, record in records if record and record.attachment(path.attachment)]

    def newest_event_ns(self, asset: Holder) -> int:
        """Return when the newest event known of an asset was accepted; 0 where none is known."""
        return self._newest.get_ns(asset)

    async def assets(self) -> Listing:
        """Return the listing of all assets, its first page read."""
        return await self._listings.get(self._assets_key, self._pages.assets, name="assets")

    def namesakes(self, digits: str, *, public: bool = False) -> list[str]:
        """Return the assets known whose UUIDs begin with these digits, an even number."""
        keys = self._index.keys(assets_prefix(digits, public=public), _MAX_NAMESAKES)
        return [asset_of(key) for key in keys]

    async def events(self, asset: Holder) -> Listing:
        """Return the listing of an asset's events, its first page read.

        Raises `NotFound` where the asset is gone: where only its events are not found, that is
        `BadReply`, for nothing is known of them then.
        """
        if not asset.public and not self._archive.is_offline:
            self._feed.step(asset.asset)
            listing = await self._feed.events(asset.asset)
            if listing is not None:
                return listing
        return await self._listings.get(
            events_key(asset), partial(self._events_page, asset), name=asset.path
        )

    async def info(self, path: AttachmentPath) -> Info:
        """Return `/info`, asked again only for the scan status that it holds.

        It says nothing about the right to read: that is `confirmed_info`.
        """
        return await self._infos.get(path)

    async def fetch_info_ahead(self, path: AttachmentPath) -> None:
        """Ask for an `/info` that will be needed, in a background task."""
        await self._infos.get(path, ahead=True)

    def known_info(self, path: AttachmentPath) -> Info | None:
        """Return `/info` as last seen, without asking."""
        return self._infos.peek(path)

    def known_infos(self, paths: Sequence[AttachmentPath]) -> Mapping[AttachmentPath, Info]:
        """Return what is known of many, without asking."""
        return self._infos.peek_many(paths)

    async def confirmed_info(self, path: AttachmentPath) -> Info:
        """Return `/info` of an attachment that may be read by this path and token now.

        The right was confirmed within the metadata lifetime: by the record where it names the
        attachment, else by `/info` itself (design section 2, Rights). Raises as `record`.
        """
        return await self._info_by(self.confirmed_record, path)

    def confirmed_info_now(self, path: AttachmentPath) -> Info | None:
        """Return what `confirmed_info` would if that needs no waiting, else None."""
        if self._clock.now_s() >= self.confirmed_until_s(path):
            return None
        self.lookups.known += 1
        return self._infos.peek(path)

    async def visible_info(self, path: AttachmentPath) -> Info:
        """Return `/info` of an attachment that is there, as far as its record is believed.

        Nobody can read by it: an event that was accepted is not asked for again. Raises as
        `record`.
        """
        return await self._info_by(self.record, path)

    def record_digests(self, path: AttachmentPath) -> tuple[str, ...]:
        """Return every SHA-256 that records declare of an attachment, those of `declared` first."""
        declared, older = self.declared(path), self._superseded.get(path)
        first = () if declared is None else declared.record_digests
        return tuple(dict.fromkeys((*first, *(() if older is None else sorted(older.digests)))))

    def digests(self, path: AttachmentPath, info: Info) -> set[str]:
        """Return every SHA-256 known of an attachment: of `/info`, of its record, of older ones."""
        return {*self.record_digests(path), *(() if info.sha256 is None else (info.sha256,))}

    def is_bad(self, digest: str) -> bool:
        """Return whether an attachment with this SHA-256 is marked SCANNED_BAD anywhere."""
        return self._bad.has((digest,))

    def is_bad_elsewhere(self, digests: Iterable[str], path: AttachmentPath) -> bool:
        """Return whether an attachment besides that of `path` marks one of these digests bad."""
        return self._bad.has(digests, besides=path)

    def has_bad_twin(self, path: AttachmentPath, info: Info) -> bool:
        """Return whether another attachment is marked SCANNED_BAD and shares a SHA-256 with this.

        Every SHA-256 known of either counts.
        """
        return self.is_bad_elsewhere(self.digests(path, info), path)

    def note_bad(self, path: AttachmentPath, info: Info) -> None:
        """Record that the server called an attachment bad, until its `/info` is asked for again."""
        self._infos.note_bad(path, info)

    def suspects(self, path: AttachmentPath, info: Info) -> list[AttachmentPath]:
        """Return what the catalog that this one is `anew` of takes for bad with the same SHA-256.

        Without what was asked for here already; a few, where there are many.
        """
        digests = self.digests(path, info)
        return [suspect for digest in digests for suspect in self._infos.suspects(digest)]

    def expire_all(self) -> None:
        """Believe nothing that can change before it has been asked for again."""
        self._records.expire_all()
        self._records_at.expire_all()
        self._listings.expire_all()
        self._infos.expire_all()
        self._feed.expire()

    def expire(self, holder: Holder) -> None:
        """Ask again for a record and its scans before they are believed.

        So for the events of an asset, and what is known of its past that may still change.
        """
        self._expire_record(holder)
        self._listings.expire(events_key(holder.owner))
        self._feed.doubt(holder.asset)
        if holder.event is not None:
            return
        known = self._listings.known(events_key(holder))
        for event in () if known is None else known.value.ids:
            self._expire_record(Holder(holder.asset, event, holder.public))
        moments = record_at_key(holder, "")
        for key in self._index.keys(moments, _MAX_MOMENTS):
            self._records_at.expire((holder, key[len(moments) :].decode()))
        for key in self._index.keys(absent_at_key(holder, ""), _MAX_MOMENTS):
            self._index.delete(key)

    def _expire_record(self, holder: Holder) -> None:
        record = self.known_record(holder)
        self._records.expire(holder)
        for attachment in () if record is None else record.attachments:
            self._infos.expire(AttachmentPath(holder, attachment.id))

    def _absent_s(self, key: tuple[Holder, str]) -> float:
        """Return when an asset was last found not to have existed at a time; else `-inf`."""
        entry = self._index.get(absent_at_key(*key))
        return -inf if entry is None else entry.at_s

    async def _events_page(self, asset: Holder, token: str) -> Page:
        try:
            return await self._pages.events(asset, token)
        except NotFound as error:
            self._records.expire(asset)
            await self.confirmed_record(asset)
            raise BadReply(f"{asset.path} exists, but not its events: {error}") from error

    async def _info_by(
        self, find: Callable[[Holder], Awaitable[Record]], path: AttachmentPath
    ) -> Info:
        try:
            record = await find(path.holder)
        except Denied:
            pass  # a token may read attachments and not records
        else:
            if record.attachment(path.attachment) is not None:
                return await self._infos.get(path)
        return await self._infos.confirmed(path, max_age_s=self.metadata_ttl_s)

    def _origin(self, known: Known[Info] | Known[Record] | None) -> Origin | None:
        return None if known is None else Origin(self._source, known.at_s)

    def _left_s(self, at_s: float) -> float:
        left_s = max(at_s, self._feed.current_s) + self.metadata_ttl_s - self._clock.now_s()
        # What is served because nobody can be asked, or for good, is looked at again soon.
        return min(max(left_s, _LEAST_S), self.metadata_ttl_s)

    async def _is_unchanged(self, asset: Holder, at_s: float) -> bool:
        """Tell whether nothing has happened to an asset since it was asked for at `at_s`."""
        if not self._records.is_valid(asset, at_s) or not await self._feed.is_current():
            return False
        return self._is_after(at_s, self.newest_event_ns(asset))

    def _is_after(self, at_s: float, event_ns: int) -> bool:
        """Tell whether what was asked for at `at_s`, by our clock, knows of an event."""
        ahead_s = self._archive.server_now_s() - self._clock.now_s()
        return at_s + ahead_s > event_ns / _NS_PER_S + _MARGIN_S

    def _lifetime_s(self, holder: Holder, record: Record) -> float:
        """Return how long a record is believed: an accepted event for good, while it is listed."""
        known = self._records.known(holder)
        found_s = -inf if known is None else known.at_s
        key = events_key(holder.owner)
        if record.settled and self._listings.may_have(key, record.id, found_s):
            return inf
        return self.metadata_ttl_s

    async def _ask_record(self, holder: Holder) -> Record:
        self._pages.no_longer_first()
        record = await self._archive.ask(endpoints.record(holder))
        if holder.event is not None:
            self._newest.note(holder.owner, record.accepted_ns)
        return record

    def _learn(self, holder: Holder, record: Record) -> None:
        """Record what a record declares of attachments that were found bad before."""
        for attachment in record.attachments:
            self._bad.learn(AttachmentPath(holder, attachment.id), attachment.record_digests)

    def _changed(self, holder: Holder, old: Record, new: Record | None) -> None:
        if new is not None and holder in self._bad.holders:
            self._learn(holder, new)
        for attachment in () if new is None else new.attachments:
            if old.attachment(attachment.id) is None:  # it may have been asked for, and refused
                self._infos.expire(AttachmentPath(holder, attachment.id))
        for watcher in self._watchers:
            watcher(holder, old, new)


def _load_record(holder: Holder, data: bytes) -> Record:
    if holder.event is None:
        return parse_asset(data, asset=holder.asset)
    return parse_event(data, event=holder.event)


def _did_not_exist(asset: Holder, at_time: str) -> NotFound:
    return NotFound(f"{asset.path} did not exist at {at_time}")


def _same_record(old: Record, new: Record) -> bool:
    return new.same_as(old)
