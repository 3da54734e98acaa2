"""Commands and options as click has them, and what is said of each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

import click

from attachfs.cli.app import app
from attachfs.cli.options import configurable
from manual_pages.roff import bold, italic

TOP: Final = click.Context(app, info_name="attachfs")
_CHOOSING: Final = ("profile", "config")
_DEFAULT: Final = re.compile(r"^(?P<text>.*?)\s*\[default: (?P<default>[^\]]*)\]$", re.DOTALL)


def commands(context: click.Context = TOP) -> Iterator[click.Context]:
    """Yield the context of every command, those of groups included, in the order of the help."""
    group = context.command
    if not isinstance(group, click.Group):
        yield context
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield from commands(click.Context(command, info_name=name, parent=context))


def options(context: click.Context) -> list[click.Option]:
    """Return the options of a command, but for `--help` and hidden ones."""
    help_option = context.command.get_help_option(context)
    return [
        option
        for option in context.command.get_params(context)
        if isinstance(option, click.Option) and not option.hidden and option != help_option
    ]


def common_options() -> dict[str, click.Option]:
    """Return the options that commands share, as the configuration may set them, by their flags."""
    found: dict[str, click.Option] = {}
    for option in chain.from_iterable(map(options, commands())):
        found.setdefault(option.opts[0], option)
    flags = (f"--{name}" for name in (*_CHOOSING, *configurable()))
    return {flag: found[flag] for flag in flags if flag in found}


@dataclass(frozen=True)
class Described:
    """An option's flags, and what its help says, by parts."""

    term: str
    text: str
    default: str
    range: str
    variables: tuple[str, ...]

    @property
    def facts(self) -> str:
        """Range, default and variables, as sentences."""
        names = " or ".join(f"`{name}`" for name in self.variables)
        sentences = [
            f"{self.range}." if self.range else "",
            f"Default: {self.default}." if self.default else "",
            f"Environment: {names}." if names else "",
        ]
        return " ".join(filter(None, sentences))


def described(option: click.Option, context: click.Context = TOP) -> Described:
    """Return what is said of an option."""
    extra = option.get_help_extra(context)
    match = _DEFAULT.match(option.help or "")
    text, default = match.groups() if match else (option.help or "", extra.get("default", ""))
    metavar = "" if option.is_flag or option.count else option.make_metavar(context)
    flags = ", ".join(bold(flag) for flag in (*option.opts, *option.secondary_opts))
    limits = (getattr(option.type, "min", None), getattr(option.type, "max", None))
    return Described(
        term=f"{flags} {italic(metavar)}" if metavar else flags,
        text=text,
        default=default,
        range="From {} to {}".format(*limits) if None not in limits else "",
        variables=tuple(extra.get("envvars", ())),
    )
