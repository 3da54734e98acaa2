"""`storage_options`: the options of a mount, by the same names."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

import click

from attachfs.access.cache_directory import make_cache
from attachfs.access.settings import Settings
from attachfs.cli.chosen import settings
from attachfs.cli.options import archive_options

# `url` is the first parameter of fsspec's own url_to_fs().
_ALIASES: Final = {"archive": "url"}


@click.command("archivist")
@archive_options
def _archivist(**_: Any) -> None:
    pass


def check_options(options: Mapping[str, Any]) -> None:
    """See that they are options and have values that make sense; raises `ValueError`."""
    _context(options)


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Return what options come to, over the environment, a profile and the defaults.

    They are named as on the command line, with `_` for `-`, `url` also `archive`; sizes and
    durations are numbers or texts. The cache directory is made. Raises `ValueError` and
    `SetupError`.
    """
    context = _context(options)
    chosen = settings(context, context.params, alone=False)
    make_cache(chosen.cache_dir)
    return chosen


def _context(options: Mapping[str, Any]) -> click.Context:
    known = {option.name: option for option in _archivist.params if option.name}
    known |= {alias: known[name] for alias, name in _ALIASES.items()}
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{name} is no option of archivist://{hint}")
    arguments = [flag for name, value in options.items() for flag in _flags(known[name], value)]
    try:
        return _archivist.make_context("archivist", arguments)
    except click.UsageError as error:
        raise ValueError(error.format_message()) from error


def _flags(option: click.Parameter, value: Any) -> Iterator[str]:
    flag = option.opts[0]
    if isinstance(option, click.Option) and option.is_flag:
        if value:
            yield flag
    elif isinstance(value, list | tuple):
        for one in value:
            yield f"{flag}={one}"
    elif value is not None:
        yield f"{flag}={value}"
