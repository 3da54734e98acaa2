"""An interactive shell at a terminal: keys are pressed, and its line is looked at."""

import os
import pty
import re
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.mounts import PATIENCE_S

_KILL_LINE = "\x15"  # Ctrl-U, in bash and zsh
_SHOW = "\x14"  # Ctrl-T, which `SHOWING` has print the line
_LINE = re.compile(r"<<<(.*)>>>")

SHOWING = {
    "bash": r"""bind -x '"\C-t": printf "\n<<%s%s>>>\n" "<" "$READLINE_LINE"'""",
    "zsh": r"show() { printf '\n<<%s%s>>>\n' '<' $BUFFER }; zle -N show; bindkey '^T' show",
}
"""What makes a shell show its line; it does not itself look like what is shown."""


@dataclass
class Terminal:
    """The near end of a terminal."""

    descriptor: int
    seen: str = ""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.descriptor, keys.encode())

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return where a pattern matches what has been printed since the last match."""
        while not (match := re.search(pattern, self.seen)):
            ready, _, _ = select.select([self.descriptor], [], [], PATIENCE_S)
            assert ready, f"no {pattern} in {self.seen!r}"
            self.seen += os.read(self.descriptor, 65536).decode()
        self.seen = self.seen[match.end() :]
        return match

    def completed(self, line: str) -> str:
        """Return what becomes of a line when the tab key is pressed at its end."""
        self.type(f"{_KILL_LINE}{line}\t{_SHOW}")
        return self.wait_for(_LINE.pattern)[1].replace("\r", "")


@contextmanager
def terminal(
    *command: str, env: Mapping[str, str], cwd: os.PathLike[str], setting_up: Sequence[str]
) -> Iterator[Terminal]:
    """Run a shell at a terminal for the block, ready after some commands."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**env, "TERM": "dumb", "PS1": "> ", "COLUMNS": "500"},
            cwd=cwd,
            start_new_session=True,
        ) as shell:
            try:
                found = Terminal(ours)
                found.wait_for("> ")
                for line in setting_up:
                    found.type(f"{line}\n")
                found.type("printf '%s%s\\n' re ady\n")
                found.wait_for(r"ready\s+")
                found.wait_for("> ")
                yield found
            finally:
                shell.kill()
    finally:
        os.close(ours)
        os.close(theirs)
