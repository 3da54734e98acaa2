"""Tokens got for the id and secret of an app registration (contract section 1.3)."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import httpx
import msgspec
import structlog

from attachfs.archive.faults import from_status
from attachfs.archive.private_file import PrivateFile
from attachfs.archive.secrets import Secret, parse_token
from attachfs.errors import (
    AttachfsError,
    BadReply,
    CredentialsUnusable,
    NoCredentials,
    NotFound,
    SetupError,
    Unauthenticated,
)

_TOKEN_PATH: Final = "/archivist/iam/v1/appidp/token"  # noqa: S105 - a path (contract section 1.3)
_DEFAULT_LIFETIME_S: Final = 300.0  # where the server does not say; the real one gives an hour
# A token is renewed this long before its end, but never in the first half of its life.
_RENEWAL_MARGIN_S: Final = 60.0
# Where no token can be had, it is tried again after this long, as long as the last one serves.
_RENEWAL_PAUSE_S: Final = 5.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _TokenReply:
    access_token: str
    expires_in: float | None = None


class ClientCredentials:
    """Offer tokens got for an app registration's id and secret (contract section 1.3).

    A secret in a file is read again when the file changes: where it becomes unusable, that is
    logged, and the last good one stays in use. `now_s` is a monotonic clock in seconds.
    """

    def __init__(
        self,
        base_url: str,
        client_id: str,
        client_secret: Secret,
        *,
        secret_file: PrivateFile | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_url = base_url
        self._url = base_url + _TOKEN_PATH
        self._secret_file = secret_file
        self._client_id = client_id
        self._client_secret = client_secret
        self._now_s = now_s
        self._token: Secret | None = None
        self._renew_at_s = 0.0
        self._over_at_s = 0.0

    @classmethod
    def of_file(cls, base_url: str, client_id: str, secret_file: Path) -> Self:
        """Read the secret from a file; raises as `PrivateFile`, and where it is empty."""
        file = PrivateFile(secret_file)
        return cls(base_url, client_id, _secret_in(file), secret_file=file)

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[str, str, Path]]:
        if self._secret_file is None:
            raise CredentialsUnusable(
                "a client secret that is in no file cannot be handed to other processes; write it "
                "into a file with mode 0600 and give --client-secret-file"
            )
        if not self._secret_file.is_named:
            raise self._secret_file.unportable("--client-secret-file")
        return type(self).of_file, (self._base_url, self._client_id, self._secret_file.path)

    @property
    def identity(self) -> str:
        """The app registration's id."""
        return f"client {self._client_id}"

    @property
    def left_s(self) -> float | None:
        """For how many seconds the token serves; another one is got before its end."""
        return None if self._token is None else self._over_at_s - self._now_s()

    @property
    def remedy(self) -> str:
        """Name the app registration."""
        return f"look at the app registration {self._client_id}, and what it may do"

    def current(self) -> Secret | None:
        """Return the token, or None where there is none or its end is near."""
        return self._token if self._now_s() < self._renew_at_s else None

    def exchange(self) -> httpx.Request | None:
        """Return the request for a token; it carries the secret in its body.

        Until the answer is there, and if none comes, a token that is not over yet is used.
        """
        self._renew_at_s = min(self._over_at_s, self._now_s() + _RENEWAL_PAUSE_S)
        return httpx.Request(
            "POST",
            self._url,
            data={
                "grant_type": "client_credentials",
                "client_id": self._client_id,
                "client_secret": self._secret().reveal(),
            },
        )

    def accept(self, response: httpx.Response) -> None:
        """Take the token and its lifetime; raises `Unauthenticated` where it was refused.

        Nothing is raised while the last token is not over.
        """
        try:
            self._accept(response)
        except AttachfsError as error:
            if self.current() is None:
                raise
            _log.warning("no new token, using the last one to its end", reason=str(error))

    def _accept(self, response: httpx.Response) -> None:
        if response.status_code in (400, 401, 403):
            raise Unauthenticated(
                f"the server refused client id {self._client_id} and its secret "
                f"({response.status_code}); {self._secret_remedy}"
            )
        if response.status_code != httpx.codes.OK:
            error = from_status(
                response.status_code, response.headers, response.content, subject="the token"
            )
            # Nothing that was asked for with the token may seem not to exist.
            raise BadReply(str(error)) if isinstance(error, NotFound) else error
        try:
            reply = msgspec.json.decode(response.content, type=_TokenReply)
            self._token = parse_token(reply.access_token, source="the token endpoint's answer")
        # The cause quotes what could not be parsed: it is cut off, for it may be a token.
        except (
            msgspec.MsgspecError,
            UnicodeDecodeError,
            RecursionError,
            CredentialsUnusable,
        ):
            raise BadReply("the token endpoint sent no token") from None
        lifetime_s = reply.expires_in or _DEFAULT_LIFETIME_S
        self._over_at_s = self._now_s() + lifetime_s
        self._renew_at_s = self._over_at_s - min(_RENEWAL_MARGIN_S, lifetime_s / 2)

    def rejected(self, token: Secret) -> bool:
        """Drop the refused token and tell that another can be asked for."""
        if token == self._token:
            self._token = None
            self._renew_at_s = self._over_at_s = 0.0
        return True

    def _secret(self) -> Secret:
        """Return the secret, after one `stat` of its file."""
        if self._secret_file is not None and self._secret_file.has_changed():
            try:
                self._client_secret = _secret_in(self._secret_file)
            except SetupError as error:
                _log.warning("client secret unusable, keeping the last good one", reason=str(error))
        return self._client_secret

    @property
    def _secret_remedy(self) -> str:
        if self._secret_file is None or not self._secret_file.is_named:
            return "give one that is valid; one in a file can be renewed"
        return f"write a secret that is valid into {self._secret_file.path}"


def _secret_in(file: PrivateFile) -> Secret:
    text = file.read().strip()
    if not text:
        raise NoCredentials(f"the file {file.path} holds no client secret")
    return Secret(text)
