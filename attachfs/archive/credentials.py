"""Where the bearer token comes from: given, or in a file.

These kinds, and that of `attachfs.archive.client_credentials`, answer the same questions, none of
which waits; `attachfs.archive.http.tokens` does the waiting. Pickled, they are
the path of their file, which is read where they are unpickled: no secret leaves the process. What
has no file raises `CredentialsUnusable`.
"""

import hashlib
import time
from pathlib import Path
from typing import NoReturn, Protocol

import httpx
import structlog

from attachfs.archive.private_file import PrivateFile
from attachfs.archive.secrets import Secret, bearer_of, expiry_of, parse_token
from attachfs.errors import CredentialsUnusable, SetupError

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

    Raises what `PrivateFile` and `parse_token` raise when made; later trouble with the file is
    logged once, and the last good token stays in use.
    """

    def __init__(self, path: Path) -> None:
        self._file = PrivateFile(path)
        self._token = self._read()
        self._bearer = bearer_of(self._token)
        self._identity = self._bearer or (
            f"file {self._file.path}" if self._file.is_named else _digest_of(self._token)
        )

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        if not self._file.is_named:
            raise self._file.unportable("--token-file")
        return TokenFile, (self._file.path,)

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
        return f"write a new token into {self._file.path}"

    def current(self) -> Secret | None:
        """Return the token, after one `stat` of the file."""
        if self._file.has_changed():
            self._reload()
        return self._token

    def exchange(self) -> httpx.Request | None:
        """Return None: whoever writes the file renews the token."""
        return None

    def accept(self, response: httpx.Response) -> None:
        """Take nothing."""

    def rejected(self, token: Secret) -> bool:
        """Read the file again and tell whether it holds another token by now."""
        if self._file.is_named:
            self._reload()
        return token != self._token

    def _read(self) -> Secret:
        return parse_token(self._file.read(), source=f"the token file {self._file.path}")

    def _reload(self) -> None:
        try:
            token = self._read()
        except SetupError as error:
            _log.warning("token file unusable, keeping the last good token", reason=str(error))
            return
        if bearer_of(token) != self._bearer:
            # What is known was told to the other one: it may see other things.
            _log.warning(
                "the token file holds somebody else's token, keeping the last one; "
                "mount again to use it",
                file=str(self._file.path),
            )
            return
        self._token = token
