"""The exit codes of commands and the errnos of mounts, as the errors have them."""

import errno
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from attachfs.errors import AttachfsError, SetupError

_NAMES: Final = {errno.EOPNOTSUPP: "EOPNOTSUPP"}  # the same number as ENOTSUP


def exits() -> list[tuple[int, str]]:
    """Return every exit code of an error, and what the errors say that have it."""
    below = (error for error in _below(SetupError) if issubclass(error, SetupError))
    errors = sorted(below, key=lambda error: error.exit_code)
    return [
        (code, " ".join(_told(error) for error in those))
        for code, those in groupby(errors, key=lambda error: error.exit_code)
    ]


def errnos() -> list[tuple[str, str]]:
    """Return every errno that a program can meet, and what the errors say that have it."""
    found: dict[str, list[str]] = {}
    for error in _below(AttachfsError):
        if not issubclass(error, SetupError):
            name = _NAMES.get(error.errno, errno.errorcode[error.errno])
            found.setdefault(name, []).append(_told(error))
    return sorted((name, " ".join(told)) for name, told in found.items())


def _below(error: type[AttachfsError]) -> Iterator[type[AttachfsError]]:
    for special in error.__subclasses__():
        if special.__module__ == AttachfsError.__module__:
            yield special
            yield from _below(special)


def _told(error: type[AttachfsError]) -> str:
    """Return the first sentence on an error, which says what to tell, as what is told."""
    sentence = " ".join((error.__doc__ or "").partition("\n\n")[0].split())
    if said := re.match(r"Say that (.)", sentence):
        return said[1].upper() + sentence[said.end() :]
    return re.sub(
        r"^Refuse (to )?", lambda found: "Refused to " if found[1] else "Refused: ", sentence
    )
