"""What a kubelet does: lay out the files of a Secret, and pass mounts on between containers."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from tests.support.mounts import PATIENCE_S

_PROPAGATIONS: Final = {"Bidirectional": "shared", "HostToContainer": "slave", "None": "private"}


@dataclass
class SecretVolume:
    """The files of a Secret in a directory, as the kubelet's AtomicWriter lays them out.

    Each is a link to `..data/NAME`, and that one to a directory named after the time; a Secret that
    changes is written into another one, and `..data` renamed over. `gid` stands for fsGroup.
    """

    root: Path
    mode: int = 0o400
    gid: int | None = None
    _times: Iterator[int] = field(default_factory=count)

    def write(self, files: Mapping[str, str]) -> None:
        """Write all files, in place of those that there are."""
        data, written = self.root / "..data", self.root / f"..2026_11_28_{next(self._times)}"
        before = data.resolve() if data.is_symlink() else None
        written.mkdir(parents=True)
        for name, text in files.items():
            file = written / name
            file.write_text(text)
            # With an fsGroup, the group may read, whatever the mode says.
            file.chmod(self.mode if self.gid is None else self.mode | 0o440)
            if self.gid is not None:
                os.chown(file, -1, self.gid)
        (self.root / "..data_tmp").symlink_to(written.name)
        (self.root / "..data_tmp").rename(data)
        for name in files:
            if not (self.root / name).is_symlink():
                (self.root / name).symlink_to(f"..data/{name}")
        if before is not None:
            for file in before.iterdir():
                file.unlink()
            before.rmdir()


@contextmanager
def node(directory: Path) -> Iterator["Node"]:
    """Offer a node whose directory is passed on between containers; needs root."""
    with _shell(f"mount --bind {directory} {directory} && mount --make-shared {directory}") as host:
        yield Node(directory, host)


@dataclass(frozen=True)
class Node:
    """A directory of a node's, in a mount namespace of its own."""

    directory: Path
    host: subprocess.Popen[str]

    @contextmanager
    def container(self, propagation: str) -> Iterator[subprocess.Popen[str]]:
        """Have a container with the directory, as its `mountPropagation` says."""
        kind = {"Bidirectional": "shared", "HostToContainer": "slave", "None": "private"}[
            propagation
        ]
        with _shell(f"mount --make-r{kind} {self.directory}", inside=self.host.pid) as shell:
            yield shell


def inside(shell: subprocess.Popen[str], *command: object) -> list[str]:
    """Return a command that runs where a shell does."""
    return ["nsenter", "--mount", f"--target={shell.pid}", *map(str, command)]


def printed(shell: subprocess.Popen[str], *command: object) -> str:
    """Return what a command prints there, errors too."""
    done = subprocess.run(
        inside(shell, *command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.stdout


@contextmanager
def _shell(setup: str, inside: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Have a process in a mount namespace of its own, a copy of another's, until the block ends."""
    where = ["nsenter", "--mount", f"--target={inside}"] if inside else []
    with subprocess.Popen(
        [
            *(*where, "unshare", "--mount", "--propagation=unchanged", "sh", "-c"),
            f"{setup} && echo ready && exec cat",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(PATIENCE_S)
