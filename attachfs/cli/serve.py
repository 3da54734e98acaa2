"""`attachfs serve`: the embedded archive alone."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from attachfs.cli.output import say
from attachfs.cli.parameters import AbsolutePath, Duration

if TYPE_CHECKING:
    from attachfs.demo.launch import RunningArchive


@click.command("serve")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="TCP port on 127.0.0.1; 0 takes a free one.",
)
@click.option(
    "--data",
    type=AbsolutePath(file_okay=False),
    help="Directory to keep everything in.  [default: a temporary one, removed at the end]",
)
@click.option("--empty", is_flag=True, help="Start without the sample assets.  [default: no]")
@click.option(
    "--latency",
    type=Duration(),
    default="0s",
    show_default=True,
    help="Wait this long before every answer, like 50ms.",
)
def command(*, port: int, data: Path | None, empty: bool, latency: float) -> None:
    """Serve an archive on this machine until Ctrl-C.

    It speaks the API of RKVST / DataTrails. Its URL and the path of a token file are printed.
    """
    from attachfs.cli.embedded import run_embedded

    async def announce(archive: "RunningArchive") -> None:
        import trio

        say(f"url: {archive.url}")
        say(f"token file: {archive.token_file}")
        await trio.sleep_forever()

    run_embedded(announce, port=port, data=data, empty=empty, latency_s=latency)
