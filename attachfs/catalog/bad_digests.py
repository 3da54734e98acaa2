"""Which SHA-256 digests the malware scan found bad, and which attachments say so."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Final

from attachfs.archive.identities import AttachmentPath, Holder, attachment_path
from attachfs.catalog.clock import Clock
from attachfs.catalog.index import Index
from attachfs.catalog.keys import BAD, bad_key

_MAX_ENTRIES: Final = 100_000
_MAX_PATHS: Final = 16  # whose /info a report asks for before it reads the same bytes


class BadDigests:
    """Record what the scan found bad: a digest is bad while at least one attachment says so.

    Each attachment marked SCANNED_BAD vouches for every digest that is known of it, also for one
    that a record declares later, until its own `/info` takes the mark back. The marks are kept in
    the index, where those of other processes are looked up as well; what they take back is learnt
    from `/info`. Beyond 100,000 pairs of digest and attachment, the attachments marked first go.
    What is `apart` knows no marks but those that it is given, whatever the index holds.
    """

    def __init__(self, index: Index, clock: Clock, *, apart: bool = False) -> None:
        self._index = index
        self._clock = clock
        # The digests of each attachment marked bad, by its path; "" stands for the mark alone.
        self._digests: dict[str, set[str]] = {}
        self._paths: dict[str, set[str]] = {}  # and the other way round
        self._entries = 0
        self._holders: Counter[Holder] = Counter()
        self._stamp: object = None
        self._looked_up: set[str] = set()  # since the index was as `_stamp` has it
        self._is_shared = index.persistent and not apart
        if not apart:
            self._load()

    @property
    def holders(self) -> Counter[Holder]:
        """The assets and events with attachments marked bad, which `learn` waits to hear of."""
        return self._holders

    def has(self, digests: Iterable[str], *, besides: AttachmentPath | None = None) -> bool:
        """Return whether one of these digests is bad, by the word of others than `besides`."""
        for digest in digests:
            if self._is_shared:
                self._look_up(digest)
            paths = self._paths.get(digest)
            if paths and (besides is None or paths != {besides.path}):
                return True
        return False

    def paths(self, digest: str) -> list[AttachmentPath]:
        """Return attachments that vouch for a digest, 16 at most."""
        if self._is_shared:
            self._look_up(digest)
        paths = islice(self._paths.get(digest, ()), _MAX_PATHS)
        return [path for path in map(attachment_path, paths) if path is not None]

    def mark(self, path: AttachmentPath, digests: Iterable[str]) -> None:
        """Record that an attachment, of which these digests are known, is marked SCANNED_BAD."""
        self._add(path.path, {"", *digests, *self._digests.get(path.path, ())})

    def learn(self, path: AttachmentPath, digests: Iterable[str]) -> None:
        """Record more digests of an attachment, where that is marked SCANNED_BAD."""
        if path.path in self._digests:
            self._add(path.path, digests)

    def clear(self, path: AttachmentPath) -> None:
        """Record that an attachment is not marked SCANNED_BAD (any more)."""
        for digest in self._forget(path.path):
            self._index.delete(bad_key(digest, path.path))

    def _load(self) -> None:
        for key in self._index.keys(BAD, _MAX_ENTRIES):
            digest, separator, path = key[len(BAD) :].decode(errors="replace").partition(" ")
            if separator:
                self._remember(path, digest)

    def _look_up(self, digest: str) -> None:
        """Remember what other processes have written of a digest."""
        stamp = self._index.stamp()
        if stamp != self._stamp or len(self._looked_up) > _MAX_ENTRIES:
            self._stamp = stamp
            self._looked_up.clear()
        elif digest in self._looked_up:
            return
        prefix = bad_key(digest, "")
        for key in self._index.written(prefix, _MAX_PATHS):
            self._remember(key[len(prefix) :].decode(errors="replace"), digest)
        if stamp is not None:
            self._looked_up.add(digest)

    def _add(self, path: str, digests: Iterable[str]) -> None:
        now_s = self._clock.now_s()
        for digest in digests:
            if self._remember(path, digest):
                self._index.put(bad_key(digest, path), b"", now_s)
            else:  # as old as the /info that says so: what is old may be removed
                self._index.touch(bad_key(digest, path), now_s)
        while self._entries > _MAX_ENTRIES and len(self._digests) > 1:
            self._forget(next(iter(self._digests)))

    def _remember(self, path: str, digest: str) -> bool:
        """Return whether a pair is new."""
        digests = self._digests.get(path)
        if digests is None:
            digests = self._digests[path] = set()
            parsed = attachment_path(path)
            if parsed is not None:
                self._holders[parsed.holder] += 1
        if digest in digests:
            return False
        digests.add(digest)
        if digest:
            self._paths.setdefault(digest, set()).add(path)
        self._entries += 1
        return True

    def _forget(self, path: str) -> set[str]:
        """Take back all that an attachment says; return its digests."""
        digests = self._digests.pop(path, None)
        if digests is None:
            return set()
        self._entries -= len(digests)
        for digest in digests - {""}:
            self._paths[digest].discard(path)
            if not self._paths[digest]:
                del self._paths[digest]
        parsed = attachment_path(path)
        if parsed is not None:
            self._holders[parsed.holder] -= 1
            if not self._holders[parsed.holder]:
                del self._holders[parsed.holder]
        return digests
