"""attachfs.toml(5): what the configuration may say, where it is, and what goes before what."""

import json
from typing import Final

import click

from attachfs.cli.app import app
from attachfs.cli.configuration import value_kind
from attachfs.cli.options import configurable
from attachfs.cli.parameters import Umask
from manual_pages.options import described
from manual_pages.roff import Page, bold

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

_WHOLE: Final = """
# for every profile
metadata-ttl = "5m"
profile = "acme"

[profiles.acme]
url = "https://app.datatrails.ai"
token-file = "~/.datatrails-token"
mountpoint = "~/evidence"

[profiles.archive]
url = "https://archive.example"
client-id = "6f8b5c3e-5f0f-4a55-9b2e-2f7b2b6c8f11"
client-secret-file = "secrets/archive"
scan-policy = "require-ok"
"""


def file_page(version: str) -> str:
    """Return attachfs.toml(5)."""
    page = Page("attachfs.toml", 5, version, "File Formats")
    page.heading("NAME")
    page.paragraph("attachfs.toml - the configuration of attachfs")
    page.heading("SYNOPSIS")
    page.verse([bold("~/.config/attachfs/config.toml"), bold("/etc/attachfs/config.toml")])
    _description(page)
    _keys(page)
    page.heading("EXAMPLES")
    page.paragraph("Two profiles, of which one is used where none is asked for:")
    page.example(_WHOLE)
    page.paragraph("Which value every option has with it, and where each comes from:")
    page.example("attachfs config show --profile archive")
    page.heading("SEE ALSO")
    page.paragraph("`attachfs`(1), `fstab`(5)")
    return str(page)


def _description(page: Page) -> None:
    page.heading("DESCRIPTION")
    page.paragraph(
        "Options of `attachfs`(1), in TOML, under the names that they have as flags: `--cache-size "
        '1GiB` is written `cache-size = "1GiB"`. Underscores do for hyphens. What stands before '
        "the first table holds for every profile. A key or a value that makes no sense is refused, "
        "wherever it stands, with exit status 3."
    )
    page.paragraph(
        "Paths may begin with ~, and are taken as from the directory of the file they stand in. "
        "Sizes are written like 64k, 512MiB or 10GiB, or as a number of bytes; durations like "
        "500ms, 30s, 10m or 1h30m, or as a number of seconds."
    )
    page.heading("FILES")
    page.listed(
        "$XDG_CONFIG_HOME/attachfs/config.toml",
        "The user's; ~/.config/attachfs/config.toml where the variable is not set.",
    )
    page.listed("/etc/attachfs/config.toml", "The system's. Both are read where both are there.")
    page.paragraph(
        "With `--config FILE` or `ATTACHFS_CONFIG`, that file is read and neither of these."
    )
    page.heading("PRECEDENCE")
    page.paragraph(
        "An option has the value of its flag, else of its variable of the environment, else of "
        "the profile, else of what holds for every profile, else its default. Where both files "
        "set the same, the user's goes before the system's."
    )
    page.heading("PROFILES")
    page.paragraph(
        "A profile is a table [profiles.NAME]. It is used where `--profile NAME`, the variable "
        "`ATTACHFS_PROFILE` or the key `profile` names it, in this order; without any, only what "
        "holds for every profile does. A name that is in neither file is refused. A profile may "
        "be in both files; each adds to the other."
    )
    page.heading("PERMISSIONS")
    page.paragraph(
        "Who can write the file can have the token sent anywhere. So it belongs to the user who "
        "runs the command, or to root, and neither group nor others may write it; it is refused "
        "otherwise (`chmod go-w FILE`). It holds no secrets: the files that `token-file` and "
        "`client-secret-file` name do, and those nobody but their owner may read (mode 0600)."
    )


def _keys(page: Page) -> None:
    page.heading("KEYS")
    page.tagged(
        bold("profile"),
        "The profile to use where none is asked for. It stands before the first table.",
        "A text in quotes. Default: none.",
        last_line='Example: `profile = "acme"`',
    )
    page.tagged(
        bold("mountpoint"),
        "The directory to mount on where `attachfs mount` is given none.",
        "A text in quotes. Default: none.",
        last_line='Example: `mountpoint = "~/evidence"`',
    )
    context = click.Context(app, info_name="attachfs")
    for key, option in configurable().items():
        about = described(option, context)
        # A number passes, to be refused with a better reason.
        kind = "a text in quotes" if isinstance(option.type, Umask) else value_kind(option)
        if isinstance(option.type, click.Choice):
            kind += f", one of {', '.join(option.type.choices)}"
        facts = [f"{kind[0].upper()}{kind[1:]}."]
        if about.range:
            facts.append(f"{about.range}.")
        facts.append(f"Default: {about.default or 'none'}.")
        example = f"Example: `{key} = {json.dumps(_example(key, option))}`"
        page.tagged(bold(key), about.text, " ".join(facts), last_line=example)


def _example(key: str, option: click.Option) -> object:
    """Return a value that the key may have: one from above, else its default, else some text."""
    if key in _EXAMPLES:
        return _EXAMPLES[key]
    if option.is_flag:
        return True
    if isinstance(option.type, click.IntRange) and option.default is None:
        return option.type.min
    return option.default if isinstance(option.default, str | int) else "..."
