"""What `/info` says of attachments, and where it is to be had."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import inf
from typing import Final, Protocol

from attachfs.archive import endpoints
from attachfs.archive.attachments import Attachment
from attachfs.archive.client import Archive
from attachfs.archive.endpoints import ASSET, BLOB
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.models import NOT_SCANNED, SCANNED_BAD, Info, parse_info
from attachfs.catalog.bad_digests import BadDigests
from attachfs.catalog.keys import INFO, info_key
from attachfs.catalog.memo import Basis, Codec, Known, Memo
from attachfs.errors import AttachfsError, BadReply, Denied, NotFound, Unauthenticated

# How long a scan status is believed (scanning is a daily batch, contract section 3.2). The rest
# of `/info` cannot change.
_UNSCANNED_TTL_S: Final = 3600.0
_SCANNED_TTL_S: Final = 86400.0
_MAX_INFOS: Final = 8_192

# Whose URL it is: the path's own, that of an event which set it, the asset's, the Blobs API's.
_OWN: Final = "own"
_EVENT: Final = "event"
_KINDS: Final = (_OWN, _EVENT, ASSET, BLOB)


class Sources(Protocol):
    """Know what records say of attachments."""

    def declared(self, path: AttachmentPath) -> Attachment | None:
        """Return what a record that was seen says of an attachment."""

    async def setters(self, path: AttachmentPath) -> list[Holder]:
        """Return the events that set an attachment on its asset."""

    def digests(self, path: AttachmentPath, info: Info) -> set[str]:
        """Return every SHA-256 known of an attachment."""


class Infos:
    """Know the `/info` of attachments, each asked once and again only for its scan status.

    Which URL serves what an event set on its asset, or what the asset had once, is not documented
    (contract section 6.4): where its own does not, the event's is tried, the asset's, then the
    blob, and the kind that this server honours goes first from then on.
    """

    def __init__(
        self,
        archive: Archive,
        basis: Basis,
        sources: Sources,
        bad: BadDigests,
        *,
        learner: "Infos | None",
    ) -> None:
        """Take what records say, and where to mark what is bad; `learner` learns all of it, too."""
        self._learner = learner
        self._archive = archive
        self._sources = sources
        self._bad = bad
        self.memo: Memo[AttachmentPath, Info] = Memo(
            basis,
            Codec(info_key, _dump, _load, _same),
            max_entries=_MAX_INFOS,
            learner=None if learner is None else learner.memo,
        )
        self._honoured = _OWN
        # Who only walks through names need not look for sizes that nobody has asked for.
        self._any = bool(basis.index.keys(INFO, 1))

    async def get(self, path: AttachmentPath, *, ahead: bool = False) -> Info:
        """Return `/info`; says nothing about the right to read."""
        ask = partial(self._ask, path)
        return await self.memo.get(path, ask, max_age_s=_scan_ttl_s, ahead=ahead)

    async def confirmed(self, path: AttachmentPath, *, max_age_s: float) -> Info:
        """Return `/info`, answered within `max_age_s` seconds: who may ask for it may read."""
        return await self.memo.get(
            path,
            partial(self._ask, path),
            max_age_s=lambda info: min(max_age_s, _scan_ttl_s(info)),
            strict=True,
        )

    def known(self, path: AttachmentPath) -> Known[Info] | None:
        """Return `/info` as last seen, and when, without asking."""
        return self.memo.known(path)

    def until_s(self, path: AttachmentPath, ttl_s: float = inf) -> float:
        """Return until when `/info` is believed, for `ttl_s` at most, as `Memo.until_s`."""
        info = self.memo.peek(path)
        return -inf if info is None else self.memo.until_s(path, min(ttl_s, _scan_ttl_s(info)))

    def peek(self, path: AttachmentPath) -> Info | None:
        """Return `/info` as last seen, without asking."""
        return self.memo.peek(path)

    def peek_many(self, paths: Sequence[AttachmentPath]) -> Mapping[AttachmentPath, Info]:
        """Return what is known of many, without asking."""
        return self.memo.peek_many(paths) if self._any else {}

    def note(self, path: AttachmentPath, info: Info) -> None:
        """Record a scan that was asked for."""
        self._any = True
        if info.scanned_status == SCANNED_BAD:
            self._bad.mark(path, self._sources.digests(path, info))
        else:
            self._bad.clear(path)
        if self._learner is not None:
            self._learner.note(path, info)

    def note_bad(self, path: AttachmentPath, info: Info) -> None:
        """Record that the server called an attachment bad, whatever its `/info` said."""
        self._bad.mark(path, self._sources.digests(path, info))
        if self._learner is not None:
            self._learner.note_bad(path, info)

    def suspects(self, digest: str) -> list[AttachmentPath]:
        """Return what the learner takes for bad with this SHA-256, and was not asked for here.

        None where the digest is known to be bad here already.
        """
        if self._learner is None or self._bad.has((digest,)):
            return []
        return [path for path in self._learner.bad_paths(digest) if self.peek(path) is None]

    def bad_paths(self, digest: str) -> list[AttachmentPath]:
        """Return attachments with this SHA-256 that are marked SCANNED_BAD, as `BadDigests`."""
        return self._bad.paths(digest)

    def expire(self, path: AttachmentPath) -> None:
        """Ask for a scan status again before it is believed."""
        self.memo.expire(path)

    def expire_all(self) -> None:
        """Ask for every scan status again before it is believed."""
        self.memo.expire_all()

    async def _ask(self, path: AttachmentPath) -> Info:
        refusal: AttachfsError | None = None
        for kind in self._kinds(path):
            for source in await self._sources_of(path, kind):
                try:
                    info = await self._archive.ask(endpoints.info(path, source))
                except Unauthenticated:
                    raise
                except (NotFound, Denied) as error:
                    refusal = refusal or error
                else:
                    if refusal is not None:
                        self._honoured = kind
                    self.note(path, info)
                    return info
        assert refusal is not None  # noqa: S101 - its own URL has been asked
        raise refusal

    def _kinds(self, path: AttachmentPath) -> list[str]:
        """Return the kinds of URLs that may have an attachment, the likeliest first."""
        declared = self._sources.declared(path)
        if declared is None or not declared.on_asset:
            return [_OWN]
        return sorted(_KINDS, key=lambda kind: kind != self._honoured)

    async def _sources_of(self, path: AttachmentPath, kind: str) -> list[str]:
        holder = path.holder
        if kind == _OWN:
            return [""]
        if kind == BLOB:
            return [] if holder.public else [BLOB]
        if kind == ASSET:
            return [] if holder.event is None else [ASSET]
        setters = await self._setters(path) if holder.event is None else []
        return [setter.event for setter in setters if setter.event is not None]

    async def _setters(self, path: AttachmentPath) -> list[Holder]:
        try:
            return await self._sources.setters(path)
        except Unauthenticated:
            raise
        except (NotFound, Denied):
            return []  # a token may read attachments and not list events


def _scan_ttl_s(info: Info) -> float:
    return _UNSCANNED_TTL_S if info.scanned_status == NOT_SCANNED else _SCANNED_TTL_S


def _same(old: Info, new: Info) -> bool:
    return new.source == old.source and new.same_as(old)


def _dump(info: Info) -> bytes:
    return info.source.encode() + b"\n" + info.raw


def _load(path: AttachmentPath, data: bytes) -> Info:
    line, newline, raw = data.partition(b"\n")
    if not newline:
        raise BadReply("no /info")
    source = line.decode(errors="replace")
    endpoints.source_url(path, source)  # only what can be asked for: the token goes there
    return parse_info(raw, source=source)
