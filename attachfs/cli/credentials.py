"""Choose the credentials among options and environment; options win."""

import ctypes
import os
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from attachfs.archive.credentials import ClientCredentials, Credentials, GivenToken, TokenFile
from attachfs.archive.secrets import Secret, parse_token, read_private
from attachfs.errors import NoCredentials, UsageError

_TOKEN_VARIABLE: Final = "DATATRAILS_AUTHTOKEN"  # noqa: S105 - a variable's name
_SECRET_VARIABLE: Final = "DATATRAILS_APPREG_SECRET"  # noqa: S105 - a variable's name


def choose(
    context: click.Context,
    *,
    url: str,
    token_file: Path | None,
    client_id: str | None,
    client_secret_file: Path | None,
) -> Credentials:
    """Return the credentials to use, read and checked.

    An option beats the environment; there, a token file beats a token beats an app registration.
    The secrets among the variables are removed from the environment, so that no child has them
    and no `ps e` shows them.
    Raises `NoCredentials`, `UsageError`, and what reading the files raises.
    """
    token_text = _take(_TOKEN_VARIABLE)
    secret_text = _take(_SECRET_VARIABLE)
    token_given = _given(context, "token_file")
    client_given = _given(context, "client_id") or _given(context, "client_secret_file")
    if token_given and client_given:
        raise UsageError("give --token-file or --client-id, not both")
    if token_file is not None and not client_given:
        return TokenFile(token_file)
    if token_text and not client_given:
        return GivenToken(parse_token(token_text, source=_TOKEN_VARIABLE))
    if client_id is None and client_secret_file is None and not secret_text:
        raise NoCredentials(
            "no credentials; give --token-file FILE (one line: Authorization: Bearer <token>), "
            "or --client-id ID and --client-secret-file FILE"
        )
    if client_id is None:
        raise NoCredentials("a client secret without a client id; add --client-id ID")
    if client_secret_file is not None:
        secret_text = read_private(client_secret_file).strip()
    if not secret_text:
        raise NoCredentials("a client id without a secret; add --client-secret-file FILE")
    return ClientCredentials(url, client_id, Secret(secret_text))


def forgo(context: click.Context) -> None:
    """Use no credentials, and hide those in the environment all the same.

    Raises `UsageError` where some are given by option.
    """
    for variable in (_TOKEN_VARIABLE, _SECRET_VARIABLE):
        _take(variable)
    for name in ("token_file", "client_id", "client_secret_file"):
        if _given(context, name):
            option = "--" + name.replace("_", "-")
            raise UsageError(f"--public takes no credentials; leave out {option} or --public")


def _take(variable: str) -> str:
    """Return a variable's value, removed, also from /proc/PID/environ, where unsetenv leaves it."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    address = getenv(variable.encode())
    text = os.environ.pop(variable, "")
    if address is not None:
        ctypes.memset(address, 0, len(ctypes.string_at(address)))
    return text


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE
