"""The parts of manual pages that follow from commands, options and errors as they are declared."""

import errno
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, groupby
from typing import Final

import click

from attachfs.cli.app import app
from attachfs.cli.configuration import value_kind
from attachfs.cli.credentials import SECRET_VARIABLE, TOKEN_VARIABLE
from attachfs.cli.options import configurable
from attachfs.cli.parameters import Umask
from attachfs.errors import AttachfsError, SetupError
from manual_pages.roff import bold, italic, paragraph, section, tagged, verse

_TOP: Final = click.Context(app, info_name="attachfs")
_CHOOSING: Final = ("--profile", "--config")
_DEFAULT: Final = re.compile(r"^(?P<text>.*?)\s*\[default: (?P<default>[^\]]*)\]$", re.DOTALL)
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


def _synopsis() -> list[str]:
    lines = []
    for context in _contexts():
        pieces = context.command.collect_usage_pieces(context)
        usage = (piece for piece in pieces if piece != "[OPTIONS]" or _options_of(context))
        lines.append(" ".join((bold(context.command_path), *map(italic, usage))))
    lines.append(f"{bold('attachfs')} {italic('SOURCE MOUNTPOINT')} {bold('-o')} {italic('...')}")
    lines.append(f"{bold('attachfs')} [{bold('--version')} | {bold('--help')}]")
    return verse(lines)


def _commands() -> Iterator[str]:
    common = _common_options()
    for context in _contexts():
        text = (context.command.help or "").partition("\f")[0]
        yield from section(context.command_path, filter(str.strip, text.split("\n\n")))
        shared: list[str] = []
        for option in _options_of(context):
            flag = option.opts[0]
            if flag in common and common[flag].help == option.help:
                shared.append(f"`{flag}`")
            else:
                yield from _described(option, context)
        if shared:
            yield from paragraph(f"It takes, as under OPTIONS: {', '.join(shared)}.")


def _options() -> Iterable[str]:
    return chain.from_iterable(map(_described, _common_options().values()))


def _exits() -> Iterable[str]:
    errors = [error for error in _below(SetupError) if issubclass(error, SetupError)]
    errors.sort(key=lambda error: error.exit_code)
    return _errors((str(error.exit_code), error) for error in errors)


def _errnos() -> Iterable[str]:
    errors = (error for error in _below(AttachfsError) if not issubclass(error, SetupError))
    named = ((_NAMES.get(error.errno, errno.errorcode[error.errno]), error) for error in errors)
    return _errors(sorted(named, key=lambda pair: pair[0]))


def _errors(named: Iterable[tuple[str, type[AttachfsError]]]) -> Iterator[str]:
    """Yield what the errors of each name say."""
    for name, pairs in groupby(named, key=lambda pair: pair[0]):
        yield from tagged(bold(name), " ".join(_sentence(error) for _, error in pairs))


def _variables() -> Iterator[str]:
    for flag, option in _common_options().items():
        for name in _variables_of(option)[1:]:
            yield from tagged(bold(name), f"As `{flag}`: a name that other programs know.")
    yield from tagged(bold(TOKEN_VARIABLE), "The bearer token itself. It is wiped once it is read.")
    whose = "of the app registration that `--client-id` names"
    said = f"The secret itself {whose}. It is wiped once it is read."
    yield from tagged(bold(SECRET_VARIABLE), said)


def _keys() -> Iterator[str]:
    for key, option in configurable().items():
        text, default = _text_and_default(option)
        # A number passes, to be refused with a better reason.
        kind = "a text in quotes" if isinstance(option.type, Umask) else value_kind(option)
        if isinstance(option.type, click.Choice):
            kind += f", one of {', '.join(option.type.choices)}"
        facts = [f"{kind[0].upper()}{kind[1:]}.", *_range(option), f"Default: {default or 'none'}."]
        example = f"Example: `{key} = {json.dumps(_example(key, option))}`"
        yield from tagged(bold(key), text, " ".join(facts), last_line=example)


def _example(key: str, option: click.Option) -> object:
    """Return a value that the key may have: one from above, else its default, else some text."""
    if key in _EXAMPLES:
        return _EXAMPLES[key]
    if option.is_flag:
        return True
    if isinstance(option.type, click.IntRange) and option.default is None:
        return option.type.min
    return option.default if isinstance(option.default, str | int) else "..."


def _contexts(context: click.Context = _TOP) -> Iterator[click.Context]:
    """Yield the context of every command, those of groups included, in the order of the help."""
    group = context.command
    if not isinstance(group, click.Group):
        yield context
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield from _contexts(click.Context(command, info_name=name, parent=context))


def _options_of(context: click.Context) -> list[click.Option]:
    """Return the options of a command, but for `--help` and hidden ones."""
    help_option = context.command.get_help_option(context)
    return [
        option
        for option in context.command.get_params(context)
        if isinstance(option, click.Option) and not option.hidden and option != help_option
    ]


def _common_options() -> dict[str, click.Option]:
    """Return the options that commands share, as the configuration may set them, by their flags."""
    every = chain.from_iterable(map(_options_of, _contexts()))
    choosing = {option.opts[0]: option for option in every if option.opts[0] in _CHOOSING}
    return choosing | {f"--{name}": option for name, option in configurable().items()}


def _described(option: click.Option, context: click.Context = _TOP) -> list[str]:
    """Return an option's flags beside what its help says: text, range, default and variables."""
    metavar = "" if option.is_flag or option.count else option.make_metavar(context)
    flags = ", ".join(bold(flag) for flag in (*option.opts, *option.secondary_opts))
    text, default = _text_and_default(option)
    facts = _range(option)
    facts += [f"Default: {default}."] * bool(default)
    if names := _variables_of(option):
        facts.append(f"Environment: {' or '.join(f'`{name}`' for name in names)}.")
    return tagged(f"{flags} {italic(metavar)}" if metavar else flags, text, " ".join(facts))


def _text_and_default(option: click.Option) -> tuple[str, str]:
    match = _DEFAULT.match(option.help or "")
    if match:
        return match["text"], match["default"]
    return option.help or "", option.get_help_extra(_TOP).get("default", "")


def _range(option: click.Option) -> list[str]:
    limits = (getattr(option.type, "min", None), getattr(option.type, "max", None))
    return ["From {} to {}.".format(*limits)] if None not in limits else []


def _variables_of(option: click.Option) -> tuple[str, ...]:
    return tuple(option.get_help_extra(_TOP).get("envvars", ()))


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


SECTIONS: Final[Mapping[str, Callable[[], Iterable[str]]]] = {
    "synopsis": _synopsis,
    "commands": _commands,
    "options": _options,
    "exits": _exits,
    "errnos": _errnos,
    "variables": _variables,
    "keys": _keys,
}
