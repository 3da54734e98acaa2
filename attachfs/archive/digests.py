"""SHA-256 digests as records and `/info` declare them."""

import re
from typing import Final

_SHA256_NAMES: Final = frozenset({"", "sha256"})
_SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")

EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def declared_sha256(alg: object, value: object) -> str | None:
    """Return the SHA-256 that a pair of algorithm and value declares, in lower case.

    `SHA256`, `sha256` and `SHA-256` are all in the wild, and a missing algorithm means the same
    (contract section 6). None where nothing usable is declared: another algorithm, no value.
    A value that claims to be a SHA-256 and is not is returned as it is: it will never agree with
    any bytes, which is what a damaged record deserves.
    """
    name = alg.replace("-", "").replace("_", "").lower() if isinstance(alg, str) else ""
    if name not in _SHA256_NAMES or not isinstance(value, str):
        return None
    return value.strip().lower() or None


def is_sha256(digest: str) -> bool:
    """Tell whether `digest` is 64 lower-case hexadecimal digits."""
    return _SHA256_HEX.fullmatch(digest) is not None
