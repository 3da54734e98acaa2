"""Choose the credentials among options, environment and configuration, in this order."""

import ctypes
import os
from collections.abc import Iterable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from attachfs.archive.client_credentials import ClientCredentials
from attachfs.archive.credentials import Credentials, GivenToken, TokenFile
from attachfs.archive.secrets import Secret, parse_token
from attachfs.errors import NoCredentials, UsageError

TOKEN_VARIABLE: Final = "DATATRAILS_AUTHTOKEN"  # noqa: S105 - a variable's name
SECRET_VARIABLE: Final = "DATATRAILS_APPREG_SECRET"  # noqa: S105 - a variable's name


class _Level(IntEnum):
    """Say where something was given; the higher wins."""

    NOWHERE = 0
    CONFIGURATION = 1
    ENVIRONMENT = 2
    OPTION = 3


_LEVELS: Final[Mapping[ParameterSource | None, _Level]] = {
    ParameterSource.COMMANDLINE: _Level.OPTION,
    ParameterSource.ENVIRONMENT: _Level.ENVIRONMENT,
    ParameterSource.DEFAULT_MAP: _Level.CONFIGURATION,
}


def choose(
    context: click.Context, options: Mapping[str, Any], *, url: str, take: bool = True
) -> Credentials | None:
    """Return the credentials to use, read and checked; None where it is to be done without.

    An option beats the environment, that beats the configuration; in the environment, a token file
    beats a token beats an app registration. The secrets among the variables are removed from the
    environment, where they may be taken, so that no child has them and no `ps e` shows them.
    Raises `NoCredentials`, `UsageError`, and what reading the files raises.
    """
    value_of = _take if take else _value
    token_text, secret_text = value_of(TOKEN_VARIABLE), value_of(SECRET_VARIABLE)
    file_level = _level(context, ["token_file"])
    token_level = max(file_level, _Level.ENVIRONMENT if token_text else _Level.NOWHERE)
    client_level = max(
        _level(context, ["client_id", "client_secret_file"]),
        _Level.ENVIRONMENT if secret_text else _Level.NOWHERE,
    )
    if options["public"]:  # whatever variables are there for other programs
        _check_none_given(context)
        return None
    if token_level == client_level and token_level in (_Level.OPTION, _Level.CONFIGURATION):
        where = "" if token_level is _Level.OPTION else " in the configuration"
        raise UsageError(f"give --token-file or --client-id{where}, not both")
    if token_level >= client_level and token_level > _Level.NOWHERE:
        if file_level == token_level:
            token_file: Path = options["token_file"]
            return TokenFile(token_file)
        return GivenToken(parse_token(token_text, source=TOKEN_VARIABLE))
    return _client(url, options["client_id"], options["client_secret_file"], secret_text)


def _client(
    url: str, client_id: str | None, client_secret_file: Path | None, secret_text: str
) -> Credentials:
    if client_id is None and client_secret_file is None and not secret_text:
        raise NoCredentials(
            "no credentials; give --token-file FILE (one line: Authorization: Bearer <token>), "
            "or --client-id ID and --client-secret-file FILE"
        )
    if client_id is None:
        raise NoCredentials("a client secret without a client id; add --client-id ID")
    if client_secret_file is not None:
        return ClientCredentials.of_file(url, client_id, client_secret_file)
    if not secret_text:
        raise NoCredentials("a client id without a secret; add --client-secret-file FILE")
    return ClientCredentials(url, client_id, Secret(secret_text))


def _check_none_given(context: click.Context) -> None:
    for name in ("token_file", "client_id", "client_secret_file"):
        if _level(context, [name]) is _Level.OPTION:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"--public takes no credentials; leave out {option} or --public")


def _value(variable: str) -> str:
    return os.environ.get(variable, "")


def _take(variable: str) -> str:
    """Return a variable's value, removed, also from /proc/PID/environ, where unsetenv leaves it."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    address = getenv(variable.encode())
    text = os.environ.pop(variable, "")
    if address is not None:
        ctypes.memset(address, 0, len(ctypes.string_at(address)))
    return text


def _level(context: click.Context, names: Iterable[str]) -> _Level:
    sources = [context.get_parameter_source(name) for name in names]
    return max(_LEVELS.get(source, _Level.NOWHERE) for source in sources)
