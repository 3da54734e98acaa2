"""Answer what exists and who may read it, from memory within the lifetimes, else by asking."""

from collections.abc import Callable
from functools import partial
from typing import Final

import trio
from cachetools import LRUCache

from attachfs.archive import endpoints
from attachfs.archive.client import Archive
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.models import NOT_SCANNED, SCANNED_BAD, Info, Record
from attachfs.catalog.listing import Listing
from attachfs.catalog.memo import Memo
from attachfs.errors import Denied

# How long a scan status is believed (scanning is a daily batch, contract section 3.2). The rest
# of `/info` cannot change.
_UNSCANNED_TTL_S: Final = 3600.0
_SCANNED_TTL_S: Final = 86400.0
_MAX_RECORDS: Final = 100_000
_MAX_INFOS: Final = 200_000
_MAX_LISTINGS: Final = 256


class Catalog:
    """Know records, listings and `/info` of one archive.

    `metadata_ttl_s` is how long what can change is believed, `negative_ttl_s` how long a refusal
    is. Methods raise errors of `attachfs.errors`; a cancelled caller disturbs no other.
    """

    def __init__(
        self,
        archive: Archive,
        nursery: trio.Nursery,
        *,
        metadata_ttl_s: float = 60.0,
        negative_ttl_s: float = 5.0,
        untracked: bool = False,
    ) -> None:
        self._archive = archive
        self._nursery = nursery
        self._assets = endpoints.assets(untracked=untracked)
        self.metadata_ttl_s = metadata_ttl_s
        self.negative_ttl_s = negative_ttl_s
        self._records: Memo[Holder, Record] = Memo(
            nursery,
            negative_ttl_s=negative_ttl_s,
            max_entries=_MAX_RECORDS,
            merge=lambda old, new: old if new.same_as(old) else new,
        )
        self._infos: Memo[AttachmentPath, Info] = Memo(
            nursery,
            negative_ttl_s=negative_ttl_s,
            max_entries=_MAX_INFOS,
            merge=lambda old, new: old if new.same_as(old) else new,
        )
        self._listings: Memo[str, Listing] = Memo(
            nursery, negative_ttl_s=negative_ttl_s, max_entries=_MAX_LISTINGS
        )
        self._newest_event_ns: LRUCache[str, int] = LRUCache(_MAX_RECORDS)
        self._bad_digests: LRUCache[str, AttachmentPath] = LRUCache(_MAX_INFOS)

    @property
    def server(self) -> str:
        """The archive's URL: part of every inode's identity."""
        return self._archive.url

    async def record(self, holder: Holder) -> Record:
        """Return the record of an asset or event.

        Raises `NotFound` where there is none, `Denied` where it may exist and may not be seen.
        """
        return await self._records.get(
            holder, partial(self._ask_record, holder), max_age_s=self.metadata_ttl_s
        )

    def known_record(self, holder: Holder) -> Record | None:
        """Return the record as last seen, without asking."""
        return self._records.peek(holder)

    def newest_event_ns(self, asset: str) -> int:
        """Return when the newest event known of an asset was accepted; 0 where none is known."""
        return self._newest_event_ns.get(asset, 0)

    async def assets(self) -> Listing:
        """Return the listing of all assets, its first page read."""
        return await self._listing("assets", self._assets, self._learn_asset)

    async def events(self, asset: str) -> Listing:
        """Return the listing of an asset's events, its first page read."""
        return await self._listing(
            asset, endpoints.events(asset), lambda event: self._learn_event(asset, event)
        )

    async def info(self, path: AttachmentPath) -> Info:
        """Return `/info`, asked again only for the scan status that it holds.

        It says nothing about the right to read: that is `confirmed_info`.
        """
        return await self._info(path, _scan_ttl_s)

    def known_info(self, path: AttachmentPath) -> Info | None:
        """Return `/info` as last seen, without asking."""
        return self._infos.peek(path)

    async def confirmed_info(self, path: AttachmentPath) -> Info:
        """Return `/info` of an attachment that may be read by this path and token now.

        The right was confirmed within the metadata lifetime: by the record where it names the
        attachment, else by `/info` itself (design section 2, Rights). Raises as `record`.
        """
        try:
            record = await self.record(path.holder)
        except Denied:
            pass  # a token may read attachments and not records
        else:
            if record.attachment(path.attachment) is not None:
                return await self.info(path)
        return await self._info(path, lambda info: min(self.metadata_ttl_s, _scan_ttl_s(info)))

    def is_bad(self, digest: str) -> bool:
        """Tell whether an attachment with this SHA-256 was marked SCANNED_BAD anywhere."""
        return digest in self._bad_digests

    async def _info(self, path: AttachmentPath, max_age_s: Callable[[Info], float]) -> Info:
        return await self._infos.get(path, partial(self._ask_info, path), max_age_s=max_age_s)

    async def _ask_record(self, holder: Holder) -> Record:
        record = await self._archive.ask(endpoints.record(holder))
        if holder.event is not None:
            self._note_event(holder.asset, record)
        return record

    async def _ask_info(self, path: AttachmentPath) -> Info:
        info = await self._archive.ask(endpoints.info(path))
        if info.sha256 is not None:
            if info.scanned_status == SCANNED_BAD:
                self._bad_digests[info.sha256] = path
            elif self._bad_digests.get(info.sha256) == path:
                del self._bad_digests[info.sha256]
        return info

    async def _listing(
        self, name: str, source: endpoints.Listing, learn: Callable[[Record], None]
    ) -> Listing:
        async def begin() -> Listing:
            listing = Listing(
                self._nursery,
                partial(self._archive.page, source),
                learn,
                name=source.path,
            )
            await listing.upto(1)
            return listing

        return await self._listings.get(name, begin, max_age_s=self.metadata_ttl_s)

    def _learn_asset(self, record: Record) -> None:
        self._records.put(Holder(record.id), record)

    def _learn_event(self, asset: str, record: Record) -> None:
        self._records.put(Holder(asset, record.id), record)
        self._note_event(asset, record)

    def _note_event(self, asset: str, record: Record) -> None:
        if record.accepted_ns > self.newest_event_ns(asset):
            self._newest_event_ns[asset] = record.accepted_ns


def _scan_ttl_s(info: Info) -> float:
    return _UNSCANNED_TTL_S if info.scanned_status == NOT_SCANNED else _SCANNED_TTL_S
