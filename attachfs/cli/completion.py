"""`attachfs completion`: what a shell needs to complete command lines."""

import click

from attachfs.cli.output import say_text


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(*, shell: str) -> None:
    """Print the script that has SHELL complete command lines of attachfs.

    SHELL is bash, zsh or fish. Packages install it where shells look for it; otherwise,
    `source <(attachfs completion bash)` in ~/.bashrc has the same effect, as has
    `source <(attachfs completion zsh)` in ~/.zshrc after compinit, or
    `attachfs completion fish | source` in config.fish.
    """
    from attachfs.cli.shells import script

    say_text(script(shell))
