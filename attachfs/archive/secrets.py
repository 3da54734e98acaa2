"""Secrets: how they are written, and how they stay out of logs and tracebacks."""

import base64
import re
from typing import Any, Final, NoReturn

import msgspec

from attachfs.errors import CredentialsUnusable

_BEARER_CLAIMS: Final = ("iss", "jit_tenant_id", "sub", "client_id")
_LATEST_S: Final = 253402300800.0  # the year 10000
# RFC 6750 section 2.1, the characters of a bearer token.
_BEARER: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


class Secret:
    """Hold a text that no log, message or repr may show."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for the request that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('...')"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written down")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


def parse_token(text: str, *, source: str) -> Secret:
    """Return the token in `text`: a bare JWT, `Bearer <token>` or header lines as curl takes them.

    Raises `CredentialsUnusable` where there is none; `source` names the place (contract 1.2).
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and name.strip().lower() == "authorization":
            lines = [value.strip()]
            break
    if len(lines) == 1:
        words = lines[0].split()
        if len(words) == 2 and words[0].lower() == "bearer":  # noqa: PLR2004 - scheme and token
            words = words[1:]
        # The scheme alone is a template that nobody filled in.
        if len(words) == 1 and words[0].lower() != "bearer" and _BEARER.fullmatch(words[0]):
            return Secret(words[0])
    raise CredentialsUnusable(
        f"{source} holds no bearer token; it should be one line: Authorization: Bearer <token>"
    )


def bearer_of(token: Secret) -> str | None:
    """Return whom a JWT stands for, None for a token that is none (contract section 1.3).

    Nothing is verified: it tells identities apart, and says nothing of rights.
    """
    claims = _claims_of(token)
    named = [f"{name}={claims[name]}" for name in _BEARER_CLAIMS if claims.get(name)]
    return " ".join(named) or None


def expiry_of(token: Secret) -> float | None:
    """Return when a JWT ends, by its own word, in seconds since 1970 UTC; None where unknown."""
    end = _claims_of(token).get("exp")
    if isinstance(end, bool) or not isinstance(end, int | float) or not 0 < end < _LATEST_S:
        return None
    return float(end)


def _claims_of(token: Secret) -> dict[str, Any]:
    """Return what a JWT says, unverified; nothing of a token that is none."""
    parts = token.reveal().split(".")
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(payload, type=dict[str, Any])
    except (IndexError, ValueError, msgspec.MsgspecError, RecursionError):
        return {}
