"""The processes of a soak: told and telling by lines of JSON, ended by the end of their input."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from select import select
from typing import Any, Final

import click

_END_S: Final = 10.0


class Lost(click.ClickException):
    """A process of the soak itself has died or hangs."""


class Process:
    """A module that runs in a process of its own, out of reach of a terminal's Ctrl-C."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError  # they are pipes
        self._to, self._from = self._process.stdin, self._process.stdout

    def tell(self, what: dict[str, Any]) -> None:
        """Say something to it."""
        self._to.write(json.dumps(what) + "\n")
        self._to.flush()

    def heard(self, within_s: float) -> dict[str, Any]:
        """Return what it says next; raises `Lost`."""
        if not select([self._from], [], [], within_s)[0]:
            raise Lost(f"{self._module} has not answered for {within_s:g} s")
        line = self._from.readline()
        if not line:
            raise Lost(f"{self._module} has died; what it said is above")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def finish(self) -> None:
        """Have it come to an end."""
        self._to.close()

    def end(self) -> None:
        """End it, whatever it does."""
        self.finish()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._from.close()


@contextmanager
def running(module: str, *arguments: str) -> Iterator[Process]:
    """Run a module for the block."""
    process = Process(module, *arguments)
    try:
        yield process
    finally:
        process.end()


def say(what: dict[str, Any]) -> None:
    """Say something to the soak, as one of its processes."""
    print(json.dumps(what), flush=True)
