"""The commands as click has them, nested ones included."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import click

from attachfs.cli.app import app
from attachfs.cli.options import configurable

_CHOOSING: Final = ("profile", "config")


@dataclass(frozen=True)
class Command:
    """Hold a command that is no group: its name with those of the groups around, and its own."""

    name: str
    command: click.Command
    context: click.Context

    @property
    def usage(self) -> list[str]:
        """Return what may follow its name."""
        pieces = self.command.collect_usage_pieces(self.context)
        return pieces if self.options else [piece for piece in pieces if piece != "[OPTIONS]"]

    @property
    def paragraphs(self) -> list[str]:
        """Return what its help says of it."""
        text = (self.command.help or "").partition("\f")[0]
        return [part for part in text.split("\n\n") if part.strip()]

    @property
    def options(self) -> list[click.Option]:
        """Return its options, but for `--help` and hidden ones."""
        parameters = self.command.get_params(self.context)
        help_option = self.command.get_help_option(self.context)
        return [
            option
            for option in parameters
            if isinstance(option, click.Option) and not option.hidden and option != help_option
        ]


def commands() -> list[Command]:
    """Return every command, in the order of the help."""
    return list(_below(app, click.Context(app, info_name="attachfs"), ()))


def common_options(everything: list[Command]) -> dict[str, click.Option]:
    """Return the options that commands share, as the configuration may set them, by their flags."""
    names = [f"--{name}" for name in (*_CHOOSING, *configurable())]
    found: dict[str, click.Option] = {}
    for command in everything:
        for option in command.options:
            if option.opts[0] in names:
                found.setdefault(option.opts[0], option)
    return dict(sorted(found.items(), key=lambda item: names.index(item[0])))


def _below(group: click.Group, context: click.Context, names: tuple[str, ...]) -> Iterator[Command]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        path = (*names, name)
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _below(command, inner, path)
        else:
            yield Command(" ".join(path), command, inner)
