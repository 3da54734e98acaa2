"""attachfs(1): every command with its options, and what those do not say."""

import click

from attachfs.cli.app import app
from attachfs.cli.credentials import SECRET_VARIABLE, TOKEN_VARIABLE
from manual_pages import prose
from manual_pages.commands import Command, commands, common_options
from manual_pages.exits import errnos, exits
from manual_pages.options import described
from manual_pages.roff import Page, bold, italic

_TOP = click.Context(app, info_name="attachfs")


def command_page(version: str) -> str:
    """Return attachfs(1)."""
    everything = commands()
    common = common_options(everything)
    page = Page("attachfs", 1, version, "User Commands")
    page.heading("NAME")
    page.paragraph("attachfs - read an RKVST / DataTrails archive with any program")
    _synopsis(page, everything)
    prose.description(page)
    page.heading("COMMANDS")
    for command in everything:
        _command(page, command, common)
    _options(page, common)
    page.heading("EXIT STATUS")
    page.listed("0", "All is well.")
    page.listed("1", "Not all could be done, or not all is well; which is said.")
    for code, told in exits():
        page.listed(str(code), told)
    page.listed("130", "Ended by Ctrl-C.")
    page.listed("141", "Nobody reads the output any more.")
    page.listed("143", "Ended by SIGTERM.")
    page.heading("ERRORS")
    page.paragraph("What programs meet that read in a mount:")
    for name, told in errnos():
        page.listed(name, told)
    _environment(page, common)
    prose.files(page)
    prose.signals(page)
    prose.examples(page)
    page.heading("SEE ALSO")
    page.paragraph(
        "`attachfs.toml`(5), `getfattr`(1), `sha256sum`(1), `fusermount3`(1), `fuser`(1), "
        "`fstab`(5), `systemd.automount`(5), `mount.fuse3`(8)"
    )
    return str(page)


def _synopsis(page: Page, everything: list[Command]) -> None:
    page.heading("SYNOPSIS")
    lines = [
        " ".join((bold(f"attachfs {command.name}"), *(italic(piece) for piece in command.usage)))
        for command in everything
    ]
    lines.append(f"{bold('attachfs')} {italic('SOURCE MOUNTPOINT')} {bold('-o')} {italic('...')}")
    lines.append(f"{bold('attachfs')} [{bold('--version')} | {bold('--help')}]")
    page.verse(lines)


def _command(page: Page, command: Command, common: dict[str, click.Option]) -> None:
    page.subheading(f"attachfs {command.name}")
    for paragraph in command.paragraphs:
        page.paragraph(paragraph)
    shared: list[str] = []
    for option in command.options:
        flag = option.opts[0]
        if flag in common and common[flag].help == option.help:
            shared.append(flag)
            continue
        about = described(option, command.context)
        page.tagged(about.term, about.text, about.facts)
    if shared:
        page.paragraph(f"It takes, as under OPTIONS: {', '.join(f'`{flag}`' for flag in shared)}.")


def _options(page: Page, common: dict[str, click.Option]) -> None:
    page.heading("OPTIONS")
    page.paragraph(
        "These say which archive, whose rights and how. Each is given by its flag, else by its "
        "variable of the environment, else in a profile of the configuration "
        "(`attachfs.toml`(5)), else by its default. Sizes are written like 64k, 512MiB or 10GiB, "
        "durations like 500ms, 30s, 10m or 1h30m."
    )
    for option in common.values():
        about = described(option, _TOP)
        page.tagged(about.term, about.text, about.facts)
    page.paragraph("Every command takes `-h` or `--help` as well.")


def _environment(page: Page, common: dict[str, click.Option]) -> None:
    page.heading("ENVIRONMENT")
    page.listed(
        "ATTACHFS_<OPTION>",
        "The value of an option, under its name in capitals with underscores: "
        "`ATTACHFS_CACHE_DIR`. A flag is set by 1 and not set by 0. `ATTACHFS_PUBLIC_ASSET` may "
        "hold several with white space between.",
    )
    for flag, option in common.items():
        _, *others = described(option, _TOP).variables
        for name in others:
            page.listed(name, f"As `{flag}`: a name that other programs know.")
    page.listed(TOKEN_VARIABLE, "The bearer token itself. It is wiped once it is read.")
    page.listed(
        SECRET_VARIABLE,
        "The secret itself of the app registration that `--client-id` names. It is wiped once it "
        "is read.",
    )
    prose.more_environment(page)
