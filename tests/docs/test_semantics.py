"""The examples of docs/semantics.md are what happens."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from attachfs.demo.launch import ArchiveConfig, RunningArchive
from tests.conftest import serving
from tests.support.consoles import Block, blocks, check
from tests.support.mounts import Steering, bare_environment, mounting

pytestmark = pytest.mark.mount

_DOCUMENT = Path(__file__).parents[2] / "docs" / "semantics.md"
_PROGRAM = f'#!/bin/sh\nexec "{sys.executable}" -m attachfs "$@"\n'


class _Archive:
    """An archive that examples change, stop and start again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self._port = 0
        self.running = self.start()

    def start(self) -> RunningArchive:
        config = ArchiveConfig(data_dir=self._directory, port=self._port)
        self.running = self._stack.enter_context(serving(config))
        self._port = int(self.running.url.rpartition(":")[2])
        return self.running

    def stop(self) -> None:
        self._stack.close()

    def edit(self, kind: str, uuid: str, *changes: str) -> None:
        fields: dict[str, Any] = {}
        for change in changes:
            name, _, value = change.partition("=")
            fields[name] = json.loads(value)
        with Steering(self.running) as steering:
            steering.edit(kind, uuid, **fields)

    def obey(self, order: str) -> None:
        """Do what a comment of the document says."""
        verb, *words = re.findall(r"(?:\{[^}]*\}|\S)+", order)
        getattr(self, verb)(*words)


@contextmanager
def _archive(directory: Path) -> Iterator[_Archive]:
    archive = _Archive(directory)
    try:
        yield archive
    finally:
        archive.stop()


def _environment(home: Path) -> Mapping[str, str]:
    program = home / "bin" / "attachfs"
    program.parent.mkdir()
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    environment = bare_environment(home)
    return {**environment, "PATH": f"{program.parent}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}


def test_the_examples_are_what_happens(tmp_path: Path) -> None:
    """Every command prints what stands there, on a mount of the sample archive."""
    found = blocks(_DOCUMENT.read_text())
    assert sum(len(block.examples) for block in found) > 15
    environment = _environment(tmp_path)
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    token_file = tmp_path / "token.txt"
    with (
        _archive(tmp_path / "data") as archive,
        Steering(archive.running) as steering,
        mounting(steering, environment, tmp_path) as mount,
    ):
        token_file.touch(mode=0o600)
        token_file.write_text(archive.running.token_file.read_text())
        mounted = mount("--timeout", "3s", "--token-file", token_file, on=evidence)
        mounted.expected_warnings.update(
            ("were recorded", "SCANNED_BAD", "cannot be reached", "connection failed")
        )
        for block in found:
            _try(block, archive, environment)


def _try(block: Block, archive: _Archive, environment: Mapping[str, str]) -> None:
    for order in block.orders:
        archive.obey(order)
    with subprocess.Popen(
        ["bash", "--norc"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as shell:
        for example in block.examples:
            check(shell, example)
        shell.communicate("exit\n", timeout=10)
