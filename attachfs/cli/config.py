"""`attachfs config`: what the configuration comes to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from click.core import ParameterSource

from attachfs.cli.configuration import MOUNTPOINT, Setting, configuration, user_file
from attachfs.cli.options import archive_options, configurable, mount_options
from attachfs.cli.output import say, say_json
from attachfs.escaping import json_escaped

_MASK: Final = "******"


class _Shown(NamedTuple):
    value: Any
    source: str


@click.group("config")
def command() -> None:
    """Look at the configuration."""


@command.command("show")
@archive_options
@mount_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.  [default: no]")
@click.pass_context
def show(context: click.Context, /, *, as_json: bool, **options: Any) -> None:
    """Show the value of every option, and where it comes from.

    That is a flag, a variable of the environment, a profile, the part of the configuration for
    every profile, or the default. What is printed is a configuration that comes to the same;
    secrets are masked.
    """
    found = configuration(context)
    settings = found.settings
    options |= _effective(options)
    shown = {
        name: _shown(context, option, options[name.replace("-", "_")], settings.get(name))
        for name, option in configurable().items()
    }
    if MOUNTPOINT in settings:
        setting = settings[MOUNTPOINT]
        shown[MOUNTPOINT] = _Shown(setting.value, str(setting))
    secrets = _secrets()
    if as_json:
        _print_json(found.profile, found.profiles, found.files, shown, secrets)
        return
    files = ", ".join(map(str, found.files)) or f"none; it would be {user_file()}"
    say(f"# configuration: {files}")
    profiles = f" (there are: {', '.join(found.profiles)})" if found.profiles else ""
    say(f"# profile: {found.profile or 'none'}{profiles}")
    for name, source in secrets.items():
        say(f"# {name}: {_MASK}  # {source}")
    say("")
    for name, (value, source) in shown.items():
        line = f"{name} = {_toml(value)}" if value not in (None, []) else f"# {name} is not set"
        say(f"{line:<56}  # {source}")


def _effective(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values of options whose defaults are found out."""
    from attachfs.cli.chosen import cache_dir, memory_cache_bytes

    return {
        "cache_dir": cache_dir(options["cache_dir"]),
        "memory_cache": memory_cache_bytes(options["memory_cache"]),
    }


def _shown(
    context: click.Context, option: click.Option, value: Any, setting: Setting | None
) -> _Shown:
    kind = option.type
    if value is not None and hasattr(kind, "shown"):
        value = kind.shown(value)
    elif isinstance(value, Path):
        value = str(value)
    elif isinstance(value, tuple):
        value = [_masked(item) for item in value]
    value = _masked(value) if isinstance(value, str) else value
    return _Shown(value, _source(context, option, setting))


def _source(context: click.Context, option: click.Option, setting: Setting | None) -> str:
    assert option.name is not None  # noqa: S101 - click names them all
    source = context.get_parameter_source(option.name)
    if source is ParameterSource.COMMANDLINE:
        return f"flag {option.opts[0]}"
    if source is ParameterSource.ENVIRONMENT:
        return f"environment {_variable(option)}"
    if source is ParameterSource.DEFAULT_MAP:
        return str(setting)
    return "default"


def _variable(option: click.Option) -> str:
    import os

    names = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    return next(name for name in names if os.environ.get(name))


def _secrets() -> Mapping[str, str]:
    """Return the secrets that the environment holds, by what they are, and where they are."""
    import os

    from attachfs.cli.credentials import SECRET_VARIABLE, TOKEN_VARIABLE

    names = {"token": TOKEN_VARIABLE, "client-secret": SECRET_VARIABLE}
    return {
        name: f"environment {variable}"
        for name, variable in names.items()
        if os.environ.get(variable)
    }


def _masked(text: str) -> str:
    """Return a URL without the user and password that it should not have."""
    scheme, separator, rest = text.partition("://")
    user, at, host = rest.partition("/")[0].rpartition("@")
    if not separator or not at or not user:
        return text
    return f"{scheme}://{_MASK}@{host}" + rest[len(user) + 1 + len(host) :]


def _toml(value: Any) -> str:
    import json

    # The same in TOML, of what options can be.
    return json_escaped(json.dumps(value, ensure_ascii=False))


def _print_json(
    profile: str | None,
    profiles: tuple[str, ...],
    files: tuple[Path, ...],
    shown: Mapping[str, _Shown],
    secrets: Mapping[str, str],
) -> None:
    options = {name: {"value": value, "from": source} for name, (value, source) in shown.items()}
    options |= {name: {"value": _MASK, "from": source} for name, source in secrets.items()}
    answer = {
        "profile": profile,
        "profiles": list(profiles),
        "files": [str(file) for file in files],
        "options": options,
    }
    say_json(answer)
