"""The errors of an archive, as those that Python has for files."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from attachfs.errors import (
    AttachfsError,
    BadConfiguration,
    CredentialsExposed,
    CredentialsUnusable,
    NoCredentials,
    ServerTrouble,
    ServerUnreachable,
    SetupError,
    TokenRefused,
    UsageError,
    WrongUrl,
)

_OPTIONS: Final = (UsageError, BadConfiguration, WrongUrl)
_ERRNOS: Final[dict[type[SetupError], int]] = {
    NoCredentials: errno.EACCES,
    CredentialsExposed: errno.EACCES,
    CredentialsUnusable: errno.EACCES,
    TokenRefused: errno.EACCES,
    ServerUnreachable: errno.EHOSTUNREACH,
    ServerTrouble: errno.EIO,
}


def failure(error: AttachfsError, path: str | None = None) -> OSError | ValueError:
    """Return what to raise: `ValueError` for wrong options, else the `OSError` of its errno."""
    if isinstance(error, _OPTIONS):
        return ValueError(str(error))
    number = error.errno
    if isinstance(error, SetupError):
        number = _ERRNOS.get(type(error), errno.EIO)
    return OSError(number, str(error), path) if path else OSError(number, str(error))


@contextmanager
def failures(path: str | None = None) -> Iterator[None]:
    """Raise an archive's errors in the block as Python's; `path` is what they are about."""
    try:
        yield
    except AttachfsError as error:
        raise failure(error, path) from error
