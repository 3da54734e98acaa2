"""Where the bearer token comes from: given, in a file, or got for client credentials.

The three kinds answer the same questions, none of which waits; whoever sends requests does the
waiting (`attachfs.archive.auth`). Pickled, they are the path of their file, which is read where
they are unpickled: no secret leaves the process. What has no file raises `CredentialsUnusable`.
"""

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, Protocol, Self

import httpx
import msgspec
import structlog

from attachfs.archive.faults import from_status
from attachfs.archive.secrets import Secret, bearer_of, expiry_of, parse_token, read_private
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


class Credentials(Protocol):
    """Answer what token to send now, and how to come by another."""

    @property
    def identity(self) -> str:
        """Whose they are, the same for every token: what is known with them is kept apart."""

    @property
    def remedy(self) -> str:
        """What a person can do once the server refuses the token."""

    @property
    def left_s(self) -> float | None:
        """For how many seconds the token still serves, below 0 once it is over; None if unknown."""

    def current(self) -> Secret | None:
        """Return the token to send, or None where one must be exchanged for first."""

    def exchange(self) -> httpx.Request | None:
        """Return the request that gets a new token, or None where none can be asked for."""

    def accept(self, response: httpx.Response) -> None:
        """Take the token out of the answer to `exchange`, which has been read."""

    def rejected(self, token: Secret) -> bool:
        """Tell, after a 401, whether another token than the one refused is to be had."""


def _left_s(token: Secret) -> float | None:
    expiry_s = expiry_of(token)
    return None if expiry_s is None else expiry_s - time.time()


def _digest_of(token: Secret) -> str:
    return f"token {hashlib.sha256(token.reveal().encode()).hexdigest()}"


class GivenToken:
    """Offer a token that was given as it is, and can not be renewed."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    def __reduce__(self) -> NoReturn:
        raise CredentialsUnusable(
            "a token that is in no file cannot be handed to other processes; write it into a file "
            "with mode 0600 and give --token-file"
        )

    @property
    def identity(self) -> str:
        """Whom the token says it is of, else a digest of it."""
        return bearer_of(self._token) or _digest_of(self._token)

    @property
    def left_s(self) -> float | None:
        """For how many seconds it serves, by its own word."""
        return _left_s(self._token)

    @property
    def remedy(self) -> str:
        """Say that only another mount can help."""
        return "unmount, and mount again with a new token; one in a file can be renewed"

    def current(self) -> Secret | None:
        """Return the token."""
        return self._token

    def exchange(self) -> httpx.Request | None:
        """Return None: there is nothing to exchange."""
        return None

    def accept(self, response: httpx.Response) -> None:
        """Take nothing."""

    def rejected(self, token: Secret) -> bool:
        """Tell whether the token is another one."""
        return token != self._token


class TokenFile:
    """Offer the token in a file, read again when the file changes, as long as it is of the same.

    Raises what `read_private` and `parse_token` raise when made; later trouble with the file is
    logged once, and the last good token stays in use.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._signature = self._stat()
        self._token = parse_token(read_private(path), source=f"the token file {path}")
        self._bearer = bearer_of(self._token)
        path = path.absolute()
        # Behind a descriptor's name, as of `<(pass show archive)`, is another one each time.
        self._named = path.is_file() and path.parts[1] not in ("dev", "proc")
        self._identity = self._bearer or (
            f"file {path}" if self._named else _digest_of(self._token)
        )

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        if not self._named:
            raise CredentialsUnusable(
                f"{self._path} can be read once, and other processes are to read it too; write the "
                "token into a file with mode 0600 and give --token-file"
            )
        return TokenFile, (self._path.absolute(),)

    @property
    def identity(self) -> str:
        """Whom the token says it is of, else the file, else a digest of it."""
        return self._identity

    @property
    def left_s(self) -> float | None:
        """For how many seconds the token serves, by its own word."""
        return _left_s(self._token)

    @property
    def remedy(self) -> str:
        """Name the file."""
        return f"write a new token into {self._path}"

    def current(self) -> Secret | None:
        """Return the token, after one `stat` of the file."""
        signature = self._stat()
        if signature != self._signature:
            self._signature = signature
            self._reload()
        return self._token

    def exchange(self) -> httpx.Request | None:
        """Return None: whoever writes the file renews the token."""
        return None

    def accept(self, response: httpx.Response) -> None:
        """Take nothing."""

    def rejected(self, token: Secret) -> bool:
        """Read the file again and tell whether it holds another token by now."""
        self._reload()
        return token != self._token

    def _stat(self) -> tuple[int, ...] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - 1 us, on every request
        except OSError:
            return None
        return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def _reload(self) -> None:
        try:
            token = parse_token(read_private(self._path), source=f"the token file {self._path}")
        except SetupError as error:
            _log.warning("token file unusable, keeping the last good token", reason=str(error))
            return
        if bearer_of(token) != self._bearer:
            # What is known was told to the other one: it may see other things.
            _log.warning(
                "the token file holds somebody else's token, keeping the last one; "
                "mount again to use it",
                file=str(self._path),
            )
            return
        self._token = token


@dataclass(frozen=True, slots=True)
class _TokenReply:
    access_token: str
    expires_in: float | None = None


class ClientCredentials:
    """Offer tokens got for an app registration's id and secret (contract section 1.3).

    `secret_file` is where the secret was read, if in a file; `now_s` a monotonic clock in seconds.
    """

    def __init__(
        self,
        base_url: str,
        client_id: str,
        client_secret: Secret,
        *,
        secret_file: Path | None = None,
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
        """Read the secret from a file; raises as `read_private`, and where it is empty."""
        secret_text = read_private(secret_file).strip()
        if not secret_text:
            raise NoCredentials(f"the file {secret_file} holds no client secret")
        return cls(base_url, client_id, Secret(secret_text), secret_file=secret_file.absolute())

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[str, str, Path]]:
        if self._secret_file is None:
            raise CredentialsUnusable(
                "a client secret that is in no file cannot be handed to other processes; write it "
                "into a file with mode 0600 and give --client-secret-file"
            )
        return type(self).of_file, (self._base_url, self._client_id, self._secret_file)

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
                "client_secret": self._client_secret.reveal(),
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
                f"({response.status_code})"
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
