"""The sections that follow from commands, options and errors as they are declared."""

import errno
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final

import click

from attachfs.cli.configuration import value_kind
from attachfs.cli.credentials import SECRET_VARIABLE, TOKEN_VARIABLE
from attachfs.cli.options import configurable
from attachfs.cli.parameters import Umask
from attachfs.errors import AttachfsError, SetupError
from manual_pages.options import commands, common_options, described, options
from manual_pages.roff import Page, bold, italic

_NAMES: Final = {errno.EOPNOTSUPP: "EOPNOTSUPP"}  # the same number as ENOTSUP
# For keys whose default is none, or is found out.
_EXAMPLES: Final[dict[str, object]] = {
    "token-file": "~/.datatrails-token",
    "client-id": "6f8b5c3e-5f0f-4a55-9b2e-2f7b2b6c8f11",
    "client-secret-file": "~/.datatrails-secret",
    "public-asset": ["a1b2c3d4-0001-4000-8000-5d1f0c2ab001"],
    "cache-dir": "/var/cache/attachfs",
    "shared-store": "s3://evidence/attachfs",
    "memory-cache": "512MiB",
    "ca-bundle": "/etc/ssl/certs/acme.pem",
    "uid": "root",
    "gid": 100,
    "metrics-port": 9400,
}
_KEYS_ALONE: Final = {  # which no option has
    "profile": (
        "The profile to use where none is asked for. It stands before the first table.",
        "acme",
    ),
    "mountpoint": (
        "The directory to mount on where `attachfs mount` is given none.",
        "~/evidence",
    ),
}


def _synopsis(page: Page) -> None:
    lines = []
    for context in commands():
        pieces = context.command.collect_usage_pieces(context)
        usage = (piece for piece in pieces if piece != "[OPTIONS]" or options(context))
        lines.append(" ".join((bold(context.command_path), *map(italic, usage))))
    lines.append(f"{bold('attachfs')} {italic('SOURCE MOUNTPOINT')} {bold('-o')} {italic('...')}")
    lines.append(f"{bold('attachfs')} [{bold('--version')} | {bold('--help')}]")
    page.verse(lines)


def _commands(page: Page) -> None:
    common = common_options()
    for context in commands():
        page.heading(context.command_path, "SS")
        text = (context.command.help or "").partition("\f")[0]
        for paragraph in filter(str.strip, text.split("\n\n")):
            page.paragraph(paragraph)
        shared: list[str] = []
        for option in options(context):
            flag = option.opts[0]
            if flag in common and common[flag].help == option.help:
                shared.append(f"`{flag}`")
            else:
                about = described(option, context)
                page.tagged(about.term, about.text, about.facts)
        if shared:
            page.paragraph(f"It takes, as under OPTIONS: {', '.join(shared)}.")


def _options(page: Page) -> None:
    for about in map(described, common_options().values()):
        page.tagged(about.term, about.text, about.facts)


def _exits(page: Page) -> None:
    errors = [error for error in _below(SetupError) if issubclass(error, SetupError)]
    errors.sort(key=lambda error: error.exit_code)
    _errors(page, ((str(error.exit_code), error) for error in errors))


def _errnos(page: Page) -> None:
    errors = (error for error in _below(AttachfsError) if not issubclass(error, SetupError))
    named = ((_NAMES.get(error.errno, errno.errorcode[error.errno]), error) for error in errors)
    _errors(page, sorted(named, key=lambda pair: pair[0]))


def _errors(page: Page, named: Iterable[tuple[str, type[AttachfsError]]]) -> None:
    """Add what the errors of each name say."""
    for name, pairs in groupby(named, key=lambda pair: pair[0]):
        page.tagged(bold(name), " ".join(_sentence(error) for _, error in pairs))


def _variables(page: Page) -> None:
    for flag, option in common_options().items():
        for name in described(option).variables[1:]:
            page.tagged(bold(name), f"As `{flag}`: a name that other programs know.")
    page.tagged(bold(TOKEN_VARIABLE), "The bearer token itself. It is wiped once it is read.")
    whose = "of the app registration that `--client-id` names"
    page.tagged(bold(SECRET_VARIABLE), f"The secret itself {whose}. It is wiped once it is read.")


def _keys(page: Page) -> None:
    for key, (text, example) in _KEYS_ALONE.items():
        facts = "A text in quotes. Default: none."
        page.tagged(bold(key), text, facts, last_line=f'Example: `{key} = "{example}"`')
    for key, option in configurable().items():
        about = described(option)
        # A number passes, to be refused with a better reason.
        kind = "a text in quotes" if isinstance(option.type, Umask) else value_kind(option)
        if isinstance(option.type, click.Choice):
            kind += f", one of {', '.join(option.type.choices)}"
        facts = f"{kind[0].upper()}{kind[1:]}. "
        facts += f"{about.range}. " * bool(about.range) + f"Default: {about.default or 'none'}."
        example = f"Example: `{key} = {json.dumps(_example(key, option))}`"
        page.tagged(bold(key), about.text, facts, last_line=example)


def _example(key: str, option: click.Option) -> object:
    """Return a value that the key may have: one from above, else its default, else some text."""
    if key in _EXAMPLES:
        return _EXAMPLES[key]
    if option.is_flag:
        return True
    if isinstance(option.type, click.IntRange) and option.default is None:
        return option.type.min
    return option.default if isinstance(option.default, str | int) else "..."


def _below(error: type[AttachfsError]) -> Iterator[type[AttachfsError]]:
    for special in error.__subclasses__():
        if special.__module__ == AttachfsError.__module__:
            yield special
            yield from _below(special)


def _sentence(error: type[AttachfsError]) -> str:
    """Return the first sentence on an error, which says what to tell, as what is told."""
    sentence = " ".join((error.__doc__ or "").partition("\n\n")[0].split())
    if said := re.match(r"Say that (.)", sentence):
        return said[1].upper() + sentence[said.end() :]
    return re.sub(
        r"^Refuse (to )?", lambda found: "Refused to " if found[1] else "Refused: ", sentence
    )


SECTIONS: Final[Mapping[str, Callable[[Page], None]]] = {
    "synopsis": _synopsis,
    "commands": _commands,
    "options": _options,
    "exits": _exits,
    "errnos": _errnos,
    "variables": _variables,
    "keys": _keys,
}
