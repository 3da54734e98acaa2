"""The options that say which archive, whose rights and how: the same for every command.

Each is given by a flag, else by ATTACHFS_<NAME> or a variable of the official SDK's, else in a
profile of the configuration, else by its default. `--help`, the configuration file and the manual
pages are made of what stands here.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from attachfs.cli.configuration import load, profile_names
from attachfs.cli.parameters import (
    AbsolutePath,
    Duration,
    GroupId,
    Percentage,
    Size,
    SizeOrAll,
    Umask,
    UrlOrPath,
    UserId,
)
from attachfs.errors import SetupError

Decorator = Callable[[Any], Any]

_FILE: Final = f"{__name__}.file"
_PATH: Final = AbsolutePath()
_SIZE: Final = Size()
_DURATION: Final = Duration()


def option(name: str, *aliases: str, **attributes: Any) -> Decorator:
    """Declare an option that ATTACHFS_<NAME>, or one of the official SDK's variables, sets too."""
    variable = "ATTACHFS_" + name.removeprefix("--").replace("-", "_").upper()
    return click.option(name, envvar=[variable, *aliases], show_envvar=True, **attributes)


def _complete_profile(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    with suppress(SetupError):
        names = profile_names(context.meta.get(_FILE))
        return [name for name in names if name.startswith(incomplete)]
    return []


def _keep_file(context: click.Context, _: click.Parameter, file: Path | None) -> None:
    context.meta[_FILE] = file


def _load(context: click.Context, _: click.Parameter, profile: str | None) -> None:
    # Of all that is not given, this is looked at first: click keeps to the order of declaration.
    if not context.resilient_parsing:
        load(context, configurable(), context.meta[_FILE], profile)


_CONFIGURATION: Final = (
    option(
        "--profile",
        metavar="NAME",
        expose_value=False,
        callback=_load,
        shell_complete=_complete_profile,
        help="Profile of the configuration to use.  [default: the one that it names as `profile`]",
    ),
    option(
        "--config",
        type=AbsolutePath(),
        is_eager=True,
        expose_value=False,
        callback=_keep_file,
        help="Configuration file, instead of /etc/attachfs/config.toml and "
        "$XDG_CONFIG_HOME/attachfs/config.toml.  [default: both]",
    ),
)

_CACHE: Final = (
    option(
        "--cache-dir",
        type=AbsolutePath(file_okay=False),
        help="Directory for local copies.  [default: $XDG_CACHE_HOME/attachfs]",
    ),
    option(
        "--cache-size",
        type=_SIZE,
        default="10GiB",
        show_default=True,
        help="Most bytes to hold in the cache directory.",
    ),
    option(
        "--cache-min-free",
        type=Percentage(),
        default="5%",
        show_default=True,
        help="How much of the disk the cache leaves free.",
    ),
)

_ARCHIVE: Final = (
    option(
        "--url",
        "DATATRAILS_URL",
        default="https://app.datatrails.ai",
        show_default=True,
        help="Base URL of the archive.",
    ),
    option(
        "--token-file",
        "DATATRAILS_AUTHTOKEN_FILENAME",
        type=_PATH,
        help="File with the bearer token, as `curl -H @FILE` takes it, or the bare token; "
        "mode 0600; read again when it changes.  [default: none]",
    ),
    option(
        "--client-id",
        "DATATRAILS_APPREG_CLIENT",
        help="Client id of an app registration.  [default: none]",
    ),
    option(
        "--client-secret-file",
        "DATATRAILS_APPREG_SECRET_FILENAME",
        type=_PATH,
        help="File with its secret; mode 0600.  [default: none]",
    ),
    option(
        "--public",
        is_flag=True,
        help="Use no credentials: public assets only.  [default: no]",
    ),
    option(
        "--public-asset",
        multiple=True,
        metavar="URL|UUID",
        help="A public asset to list in publicassets/, by its public URL or UUID; may be "
        "repeated.  [default: none]",
    ),
    *_CACHE,
    option(
        "--shared-store",
        type=UrlOrPath(),
        metavar="URL",
        help="Folder of other hosts' copies, to read from before the archive, and to write to: any "
        "URL that fsspec knows, such as s3://bucket/evidence, or a path.  [default: none]",
    ),
    option(
        "--memory-cache",
        type=_SIZE,
        help="Most bytes of attachments to hold in memory.  [default: 256MiB, or an eighth of "
        "what the control group allows where that is less]",
    ),
    option(
        "--verify-first",
        type=SizeOrAll(),
        default="4MiB",
        show_default=True,
        help="Up to which size all of an attachment is verified before its first byte is read: a "
        "size or `all`. Of larger ones, the end is withheld until all is verified.",
    ),
    option(
        "--read-ahead",
        type=click.IntRange(0, 64),
        default=64,
        show_default=True,
        metavar="FILES",
        help="How many files are fetched ahead, at most, of whoever goes through a directory in "
        "order; 0 for none.",
    ),
    option(
        "--metadata-ttl",
        type=_DURATION,
        default="60s",
        show_default=True,
        help="How long listings, records and the right to read are believed.",
    ),
    option(
        "--negative-ttl",
        type=_DURATION,
        default="5s",
        show_default=True,
        help="How long a name that does not exist is believed not to exist.",
    ),
    option(
        "--stale-ok",
        type=_DURATION,
        default="1h",
        show_default=True,
        help="How much longer what is known is served where the server cannot be asked.",
    ),
    option(
        "--timeout",
        type=Duration(least_s=0.1),
        default="30s",
        show_default=True,
        help="How long an operation may wait for the server before it fails; one that cannot be "
        "connected to is given up after 10s.",
    ),
    option(
        "--scan-policy",
        type=click.Choice(["allow", "block-bad", "require-ok"]),
        default="block-bad",
        show_default=True,
        help="Which attachments may be read, by their malware scan: all, all but SCANNED_BAD, "
        "SCANNED_OK only.",
    ),
    option("--untracked", is_flag=True, help="List untracked assets too.  [default: no]"),
    option(
        "--ca-bundle",
        "SSL_CERT_FILE",
        type=_PATH,
        help="PEM file of the certificate authorities to trust, instead of the system's.  "
        "[default: the system's]",
    ),
    option("--allow-http", is_flag=True, help="Allow plain http to other hosts.  [default: no]"),
)

_PRESENTATION: Final = (
    option(
        "--allow-other",
        is_flag=True,
        help="Let other users of this machine read the mount, as far as modes allow.  "
        "[default: no]",
    ),
    option(
        "--uid",
        type=UserId(),
        help="User whom the files belong to, by name or number.  [default: who mounts]",
    ),
    option(
        "--gid",
        type=GroupId(),
        help="Group whom the files belong to, by name or number.  [default: that of who mounts]",
    ),
    option(
        "--umask",
        type=Umask(),
        default="000",
        show_default=True,
        help="Permissions that files (0444) and directories (0555) lack, in octal.",
    ),
)

_LOGS: Final = (
    option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        show_default=True,
        help="Least severe events to log.",
    ),
    option(
        "--log-format",
        type=click.Choice(["auto", "text", "json", "journal"]),
        default="auto",
        show_default=True,
        help="How to log: text for people, json for programs, journal for systemd's, or whichever "
        "of text and journal fits standard error.",
    ),
)

_METRICS: Final = (
    option(
        "--metrics-port",
        type=click.IntRange(1, 65535),
        metavar="PORT",
        help="TCP port on 127.0.0.1 to serve Prometheus metrics on.  [default: none]",
    ),
)


def _declared(declarations: Iterable[Decorator]) -> Decorator:
    ordered = tuple(declarations)

    def declare(command: Any) -> Any:
        for declaration in reversed(ordered):
            command = declaration(command)
        return command

    return declare


archive_options: Final = _declared((*_CONFIGURATION, *_ARCHIVE))
"""Declare what says which archive and how; goes with `attachfs.cli.chosen.settings`."""

cache_options: Final = _declared((*_CONFIGURATION, *_CACHE))
"""Declare which cache, as `archive_options` does."""

mount_options: Final = _declared((*_PRESENTATION, *_METRICS, *_LOGS))
"""Declare what a mount has besides."""

log_options: Final = _declared(_LOGS)
"""Declare how to log."""


@_declared((*_ARCHIVE, *_PRESENTATION, *_METRICS, *_LOGS))
def _configurable(**_: Any) -> None:
    pass


def configurable() -> dict[str, click.Option]:
    """Return every option that a configuration file may set, by its key there."""
    return {
        parameter.opts[0].removeprefix("--"): parameter
        for parameter in getattr(_configurable, "__click_params__")[::-1]  # noqa: B009 - click's
    }
