"""The configuration file: profiles of options, under the names that they have as flags.

    url = "https://app.datatrails.ai"     # for every profile
    profile = "acme"                      # the one to use where none is asked for

    [profiles.acme]
    token-file = "~/.datatrails-token"
    mountpoint = "~/evidence"

`/etc/attachfs/config.toml` is read, then the user's own, which goes first; a profile's value goes
before one for every profile.
"""

import os
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from attachfs.cli.parameters import is_url
from attachfs.errors import BadConfiguration
from attachfs.files import read_given

MOUNTPOINT: Final = "mountpoint"
_PROFILE: Final = "profile"
_PROFILES: Final = "profiles"
_SYSTEM_FILE: Final = Path("/etc/attachfs/config.toml")
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_ROOT_UID: Final = 0
_MAX_BYTES: Final = 1024 * 1024

_FLAG: Final = "true or false"
_NUMBER: Final = "a number"
_TEXT: Final = "a text in quotes"
_TEXTS: Final = "a list of texts in quotes"
_TEXT_OR_NUMBER: Final = "a text in quotes, or a number"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    _FLAG: lambda value: isinstance(value, bool),
    _NUMBER: _is_number,
    _TEXT: lambda value: isinstance(value, str),
    _TEXTS: lambda value: isinstance(value, list) and all(isinstance(x, str) for x in value),
    _TEXT_OR_NUMBER: lambda value: isinstance(value, str) or _is_number(value),
}


class Setting(NamedTuple):
    """Hold a value as it stands in a file, and where that is: the file, and a profile's name."""

    value: Any
    file: Path
    profile: str = ""

    def __str__(self) -> str:
        where = f"profile {self.profile}" if self.profile else "for every profile"
        return f"{where} in {self.file}"


@dataclass
class Configuration:
    """Hold what the files of a command's configuration say, and which profile is used."""

    files: tuple[Path, ...] = ()
    profile: str | None = None
    profiles: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)


def load(
    context: click.Context,
    known: Mapping[str, click.Option],
    file: Path | None,
    profile: str | None,
) -> None:
    """Have a command's options, not given otherwise, take what its configuration says.

    `known` are the options that it may set. Raises `BadConfiguration` for what cannot be used.
    """
    found = read(known, file, profile)
    context.meta[__name__] = found
    context.default_map = {
        name.replace("-", "_"): setting.value for name, setting in found.settings.items()
    }


def configuration(context: click.Context) -> Configuration:
    """Return the configuration that a command has been given."""
    found: Configuration = context.meta.get(__name__, Configuration())
    return found


def read(
    known: Mapping[str, click.Option], file: Path | None, profile: str | None
) -> Configuration:
    """Return what a file says, or those of the system and of the user, for a profile.

    Raises `BadConfiguration`.
    """
    tables = _tables(file)
    profiles = _profile_names(tables)
    for path, table in tables:
        profile = profile or _text(path, table, _PROFILE)
    if profile is not None and profile not in profiles:
        raise BadConfiguration(_no_profile(profile, list(profiles), [path for path, _ in tables]))
    general: dict[str, Setting] = {}
    special: dict[str, Setting] = {}
    for path, table in tables:
        for key, setting in _settings(path, table):
            name, checked = _checked(known, key, setting)
            if setting.profile in ("", profile):
                (special if setting.profile else general).setdefault(name, checked)
    paths = tuple(path for path, _ in tables)
    return Configuration(paths, profile, tuple(profiles), general | special)


def profile_names(file: Path | None) -> list[str]:
    """Return which profiles a file has, or those of the system and of the user.

    What else stands there is not looked at. Raises `BadConfiguration`.
    """
    return list(_profile_names(_tables(file)))


def value_kind(option: click.Option) -> str:
    """Return what an option takes in a file, in words."""
    if option.is_flag:
        return _FLAG
    if option.multiple:
        return _TEXTS
    if isinstance(option.type, click.IntRange):
        return _NUMBER
    if isinstance(option.type, click.Path | click.Choice) or option.type is click.STRING:
        return _TEXT
    return _TEXT_OR_NUMBER


def user_file() -> Path:
    """Return where the user's configuration is, or would be."""
    import platformdirs

    return platformdirs.user_config_path("attachfs") / "config.toml"


def _tables(file: Path | None) -> list[tuple[Path, dict[str, Any]]]:
    return [(path, _table(path)) for path in ((file,) if file else _present())]


def _profile_names(tables: Sequence[tuple[Path, Mapping[str, Any]]]) -> dict[str, None]:
    """Return the names of all profiles in order, each once."""
    return dict.fromkeys(name for path, table in tables for name in _profiles(path, table))


def _present() -> list[Path]:
    return [path for path in (user_file(), _SYSTEM_FILE) if os.path.lexists(path)]


def _table(path: Path) -> dict[str, Any]:
    try:
        status, text = read_given(path.absolute(), _MAX_BYTES)
        # Who can write it sends the token wherever they like.
        if status.st_mode & _OTHERS_MAY_WRITE and stat.S_ISREG(status.st_mode):
            raise BadConfiguration(
                f"other users can change the configuration {path}; run: chmod go-w {path}"
            )
        if status.st_uid not in (os.geteuid(), _ROOT_UID):
            raise BadConfiguration(
                f"the configuration {path} belongs to another user; use one of yours"
            )
        return tomllib.loads(text.decode())
    except OSError as error:
        raise BadConfiguration(
            f"cannot read the configuration {path}: {error.strerror}; check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadConfiguration(f"the configuration {path} is no TOML: {error}") from error


def _profiles(path: Path, table: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    profiles = table.get(_PROFILES, {})
    if not isinstance(profiles, dict) or not all(isinstance(p, dict) for p in profiles.values()):
        raise BadConfiguration(
            f"`{_PROFILES}` in {path} should hold tables; write [{_PROFILES}.NAME]"
        )
    return profiles


def _settings(path: Path, table: Mapping[str, Any]) -> Iterator[tuple[str, Setting]]:
    """Yield everything that a file says of options, by the key that it stands under."""
    for key, value in table.items():
        if key not in (_PROFILES, _PROFILE):
            yield key, Setting(value, path)
    for profile, values in _profiles(path, table).items():
        for key, value in values.items():
            yield key, Setting(value, path, profile)


def _checked(known: Mapping[str, click.Option], key: str, setting: Setting) -> tuple[str, Setting]:
    """Return the option's name and its value, checked; raises `BadConfiguration`."""
    name = key.replace("_", "-")
    if name == MOUNTPOINT:
        if not isinstance(setting.value, str) or not setting.value:
            raise BadConfiguration(f"`{key}` ({setting}) should be a path in quotes")
        return name, setting._replace(value=_path(setting))
    option = known.get(name)
    if option is None:
        near = get_close_matches(name, [*known, MOUNTPOINT, _PROFILE, _PROFILES], n=1)
        hint = f"did you mean `{near[0]}`?" if near else "`attachfs config show` lists them all"
        raise BadConfiguration(f"`{key}` ({setting}) is no option; {hint}")
    _check_type(key, option, setting)
    is_path = isinstance(option.type, click.Path) and not is_url(setting.value)
    value = _path(setting) if is_path else setting.value
    try:
        option.type_cast_value(click.Context(click.Command(None)), value)
    except click.UsageError as error:
        raise BadConfiguration(f"`{key}` ({setting}): {error.message}") from error
    return name, setting._replace(value=value)


def _check_type(key: str, option: click.Option, setting: Setting) -> None:
    kind = value_kind(option)
    if not _KINDS[kind](setting.value):
        raise BadConfiguration(f"`{key}` ({setting}) should be {kind}")


def _path(setting: Setting) -> str:
    """Return a path as from the directory of its file, `~` being home."""
    try:
        path = Path(setting.value).expanduser()
    except RuntimeError as error:
        raise BadConfiguration(f"{setting.value!r} ({setting}): {error}") from error
    return str(setting.file.parent / path)


def _text(path: Path, table: Mapping[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        raise BadConfiguration(f"`{key}` in {path} should be a profile's name in quotes")
    return value


def _no_profile(profile: str, profiles: list[str], files: list[Path]) -> str:
    near = get_close_matches(profile, profiles, n=1)
    if near:
        return f"there is no profile {profile!r}; did you mean {near[0]!r}?"
    if profiles:
        return f"there is no profile {profile!r}; there are: {', '.join(profiles)}"
    if files:
        where = " and ".join(map(str, files))
        return f"there is no profile {profile!r}, {where} has none; write [{_PROFILES}.{profile}]"
    return f"there is no profile {profile!r}, as there is no configuration; write {user_file()}"
