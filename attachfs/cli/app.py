"""The command `attachfs` itself: its subcommands, and how a mistake ends."""

import errno
import gc
import importlib
import io
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from attachfs.cli.fstab import rewritten
from attachfs.cli.output import complain, escape_tracebacks, say, say_text
from attachfs.errors import AttachfsError, SetupError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_FAILED: Final = 1  # as the commands have it that could not do all of it
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BROKEN_PIPE: Final = 128 + signal.SIGPIPE  # as shells have it
# Modules make 50,000 objects that stay: collecting garbage among them took a tenth of each start.
_GARBAGE_THRESHOLD: Final = 10_000
_COMPLETE: Final = "_ATTACHFS_COMPLETE"  # set by shells that ask what there is to choose from

# Each command's module is imported when it is used: `--help` imports neither trio nor httpx.
_COMMANDS: Final[Mapping[str, str]] = {
    "mount": "Mount an archive on a directory.",
    "umount": "Unmount it.",
    "config": "Show what the configuration comes to.",
    "status": "Show how mounts fare.",
    "metrics": "Print the measurements of a mount, for Prometheus.",
    "doctor": "Check all that a mount needs, and say what to do.",
    "ls": "List a directory of an archive, mounted or not.",
    "info": "Show all that is known of a path.",
    "cat": "Write the bytes of files to standard output.",
    "prefetch": "Fetch attachments into the cache.",
    "verify": "Hash attachments again, compare with the records, and report.",
    "cache": "See what is kept on this machine, and remove it.",
    "refresh": "Forget what the server may have changed.",
    "demo": "Serve a sample archive and mount it, to try things.",
    "serve": "Serve an archive of your own on this machine, without a mount.",
    "completion": "Print what a shell needs to complete command lines.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"attachfs.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _leave_quietly()  # click would exit with 1, as for a failure

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        return [
            *(
                CompletionItem(name, help=sentence)
                for name, sentence in _COMMANDS.items()
                if name.startswith(incomplete)
            ),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    say(f"attachfs {version('attachfs')}")
    ctx.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
def app() -> None:
    """Read an RKVST / DataTrails archive with any program.

    Every attachment of every asset and event is a file; its bytes are fetched when they are read
    and verified by SHA-256 before they are seen.
    """


def main() -> None:
    """Run the command line and exit: 0, or the exit code of what went wrong.

    Every mistake of a user's ends here, as one sentence on standard error.
    """
    gc.set_threshold(_GARBAGE_THRESHOLD)
    _open_standard_streams()
    escape_tracebacks()
    interrupted = _interrupt_on_sigterm()
    if _COMPLETE in os.environ:
        from attachfs.cli.shells import register

        register()  # click's own answers are not those that our scripts expect
    try:
        status = app.main(
            rewritten(sys.argv[1:]),
            prog_name="attachfs",
            complete_var=_COMPLETE,
            standalone_mode=False,
        )
    except SetupError as error:
        complain(error)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        message = io.StringIO()
        error.show(message)
        say_text(message.getvalue(), err=True)
        sys.exit(error.exit_code)
    except AttachfsError as error:
        complain(error)
        sys.exit(_FAILED)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        complain(f"cannot write the output: {error.strerror}")
        sys.exit(_FAILED)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(interrupted())
    except BaseExceptionGroup as group:  # as nurseries wrap it
        if group.split(KeyboardInterrupt)[1] is not None:
            raise
        sys.exit(interrupted())
    sys.exit(status if isinstance(status, int) else 0)


def _interrupt_on_sigterm() -> Callable[[], int]:
    """Have SIGTERM end a command as Ctrl-C does, so that it leaves nothing half done behind.

    Returns what says the exit status of one that was interrupted. Where Ctrl-C is ignored, as by
    what a script has in the background, SIGTERM kills.
    """
    ended_by = [signal.SIGINT]

    def interrupt(_number: int, _frame: object) -> None:
        ended_by[:] = [signal.SIGTERM]
        signal.raise_signal(signal.SIGINT)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGTERM, interrupt)
    return lambda: 128 + ended_by[0]


def _leave_quietly() -> NoReturn:
    """End as a program does whose reader has gone: nothing is to be said to nobody."""
    # What is still in the buffer would fail, and be told of, at the end of the interpreter.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(_BROKEN_PIPE)


def _open_standard_streams() -> None:
    """Let streams that were closed lead nowhere, or a pipe or /dev/fuse would get their number."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            # The lowest free descriptor is taken: this one.
            setattr(sys, name, open(os.devnull, mode, buffering=1))  # noqa: PTH123, SIM115
            os.set_inheritable(number, True)  # noqa: FBT003 - os has no name for it
