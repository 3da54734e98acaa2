"""What bytes must be before a reader may see them (design section 4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from attachfs.archive.digests import EMPTY_SHA256, is_sha256
from attachfs.errors import Mismatch
from attachfs.escaping import escaped

# Of what one source declares in a message: a record may name several, and they may be long.
_MAX_DIGEST_CHARS: Final = 1000


@dataclass(frozen=True, slots=True)
class Expected:
    """Hold what record and `/info` declare of an attachment: its size in bytes, its SHA-256.

    `record_sha256` has every value the record declares, in lower case, none where the record
    has no usable one; `info_sha256` is `/info`'s. `source` tells whose URL has the bytes, as for
    `endpoints.source_url`.
    """

    size_bytes: int
    record_sha256: tuple[str, ...]
    info_sha256: str | None
    source: str = ""

    @property
    def verified_by(self) -> str:
        """The sources that bytes are checked against: `record+info`, `info` or `record`."""
        sources = (("record", self.record_sha256), ("info", self.info_sha256))
        return "+".join(name for name, digest in sources if digest) or "nothing"

    @property
    def is_consistent(self) -> bool:
        """Whether there is one SHA-256 that the bytes must have."""
        try:
            self.digest()
        except Mismatch:
            return False
        return True

    def digest(self) -> str:
        """Return the one SHA-256 that the bytes must have.

        Raises `Mismatch` where the declarations disagree, where one is no SHA-256, where there is
        none, and where an empty attachment is declared to be something: the kernel reads no
        bytes of an empty file, so nothing else would notice.
        """
        declared: set[str] = {
            *self.record_sha256,
            *((self.info_sha256,) if self.info_sha256 else ()),
        }
        if not declared:
            raise self.mismatch("neither record nor /info declares a SHA-256", None)
        if len(declared) > 1:
            raise self.mismatch("record and /info declare different digests", None)
        digest = declared.pop()
        if not is_sha256(digest):
            raise self.mismatch("the declared digest is no SHA-256", None)
        if self.size_bytes == 0 and digest != EMPTY_SHA256:
            raise self.mismatch("/info says it is empty, its digest says it is not", None)
        return digest

    def check(self, size_bytes: int, sha256: str) -> None:
        """Raise `Mismatch` unless a whole body has the length and digest declared."""
        if size_bytes != self.size_bytes:
            raise self.mismatch(f"{size_bytes} bytes came, {self.size_bytes} were recorded", sha256)
        if sha256 != self.digest():
            raise self.mismatch("the bytes are not those that were recorded", sha256)

    def check_announced(self, length_bytes: int | None) -> None:
        """Raise `Mismatch` where another length is announced than the one recorded."""
        if length_bytes not in (None, self.size_bytes):
            raise self.mismatch(
                f"{length_bytes} bytes are offered, {self.size_bytes} were recorded", None
            )

    def check_so_far(self, received_bytes: int) -> None:
        """Raise `Mismatch` once more bytes came than were recorded."""
        if received_bytes > self.size_bytes:
            raise self.mismatch(f"more than the {self.size_bytes} bytes recorded came", None)

    def mismatch(self, reason: str, body_sha256: str | None) -> Mismatch:
        """Return the error that names every digest known."""
        digests = self._digests(body_sha256)
        known = " ".join(
            f"{source}={escaped(digest, _MAX_DIGEST_CHARS)}" for source, digest in digests.items()
        )
        return Mismatch(f"{reason}; SHA-256 {known or 'unknown'}", digests=dict(digests))

    def _digests(self, body_sha256: str | None) -> Mapping[str, str]:
        digests = {}
        if self.record_sha256:
            digests["record"] = ",".join(self.record_sha256)
        if self.info_sha256:
            digests["info"] = self.info_sha256
        if body_sha256:
            digests["body"] = body_sha256
        return digests
