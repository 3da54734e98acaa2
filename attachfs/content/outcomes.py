"""What became of attachments: verdicts that stand for a while, and why the last attempt failed."""

from typing import Final

import trio
from cachetools import LRUCache, TTLCache

from attachfs.archive.identities import AttachmentPath
from attachfs.errors import AttachfsError

_MAX: Final = 100_000


class Outcomes:
    """Remember failures by path and SHA-256 for `ttl_s` seconds, and their reasons by path."""

    def __init__(self, ttl_s: float) -> None:
        self._verdicts: TTLCache[tuple[AttachmentPath, str], AttachfsError] = TTLCache(
            _MAX, ttl_s, timer=trio.current_time
        )
        self._reasons: LRUCache[AttachmentPath, str] = LRUCache(_MAX)

    def check(self, path: AttachmentPath, digest: str) -> None:
        """Raise what a body failed with lately by this path."""
        verdict = self._verdicts.get((path, digest))
        if verdict is not None:
            raise verdict.with_traceback(None)

    def succeeded(self, path: AttachmentPath) -> None:
        """Take note that an attachment could be had."""
        self._reasons.pop(path, None)

    def failed(self, path: AttachmentPath, digest: str, error: AttachfsError) -> None:
        """Take note of why a body could not be had: it is not tried again for a while."""
        self._verdicts[path, digest] = error
        self.note(path, error)

    def note(self, path: AttachmentPath, error: AttachfsError) -> None:
        """Remember why an attachment could not be opened or read."""
        self._reasons[path] = str(error)

    def last_error(self, path: AttachmentPath) -> str | None:
        """Return why the last open or read of an attachment failed; None if it did not."""
        return self._reasons.get(path)
